"""What protobuf messages are made of: tags with a wire type, numbers of variable length, and what has a length."""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
#: negative numbers are written as what remains to this
INT_WRAP = 1 << 64

#: a field's value as it stands in the message: a number, or the bytes of a text or a message
Raw = int | bytes

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


def read_fields(data: bytes) -> Iterator[tuple[int, Raw]]:
    """Walk the fields of a message: number and value. Raises IndexError or struct.error where it breaks off."""
    position, end = 0, len(data)
    while position < end:
        tag, position = read_varint(data, position)
        wire_type = tag & 7
        value: Raw
        if wire_type == VARINT:
            value, position = read_varint(data, position)
        elif wire_type == BYTES:
            length, position = read_varint(data, position)
            if position + length > end:
                raise IndexError("unexpected end of message")
            value = data[position : position + length]
            position += length
        elif wire_type in (FIXED64, FIXED32):
            size = 8 if wire_type == FIXED64 else 4
            value = struct.unpack_from("<d" if size == 8 else "<f", data, position)[0]
            position += size
        else:
            raise IndexError(f"unknown wire type {wire_type}")
        yield tag >> 3, value


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Decode a number of up to 64 bits; return it and where the next thing stands. Raises IndexError."""
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result, position
        shift += 7
        if shift > 63:
            raise IndexError("integer overflow")
