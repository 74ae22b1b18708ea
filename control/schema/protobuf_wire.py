"""What protobuf messages are made of: tags with a wire type, numbers of variable length, and what has a length."""

from __future__ import annotations

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
#: negative numbers are written as what remains to this
INT_WRAP = 1 << 64

_SHORT_VARINTS = tuple(bytes([number]) for number in range(128))


def varint(number: int) -> bytes:
    """Encode a number of up to 64 bits."""
    if 0 <= number < 128:
        return _SHORT_VARINTS[number]
    if number < 0:
        number += INT_WRAP
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    result.append(number)
    return bytes(result)


def tag(number: int, wire_type: int) -> bytes:
    """Encode what stands before a field."""
    return varint(number << 3 | wire_type)


def bytes_field(number: int, value: bytes) -> bytes:
    """Encode a field of bytes: also a message, once that is encoded."""
    return tag(number, BYTES) + varint(len(value)) + value


def text_field(number: int, value: str) -> bytes:
    """Encode a field of text."""
    return bytes_field(number, value.encode())


def integer_field(number: int, value: int) -> bytes:
    """Encode a field of a number or of a truth value."""
    return tag(number, VARINT) + varint(value)
