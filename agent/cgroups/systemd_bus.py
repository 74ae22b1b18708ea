"""Calls of systemd's manager over its own socket, as root: enough of D-Bus for slices and no more.

A process for each call (busctl) would cost 15 ms of CPU; this takes well under one. The message format is that of the
D-Bus specification ("Message Protocol"), the socket the one that systemctl uses.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

PRIVATE_SOCKET = Path("/run/systemd/private")
CALL_SECONDS_MAX = 10.0
DESTINATION = "org.freedesktop.systemd1"
MANAGER_PATH, MANAGER = "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
UNIT_EXISTS, NO_SUCH_UNIT = "org.freedesktop.systemd1.UnitExists", "org.freedesktop.systemd1.NoSuchUnit"

_CALL, _RETURN, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 6, 8
_HEADER = struct.Struct("<4c2I")


class BusError(OSError):
    """systemd refused a call; `name` is D-Bus' name of the error."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message or name)
        self.name = name


class SystemdBus:
    """A connection for each call: calls are few, and a systemd that restarts is met anew."""

    def __init__(self, path: Path = PRIVATE_SOCKET) -> None:
        self._path = path

    def start_slice(self, name: str, description: str, properties: Mapping[str, int]) -> None:
        """Start a transient slice. Raises BusError, with UNIT_EXISTS for one that runs, and OSError."""
        body = Writer()
        body.string(name)
        body.string("replace")
        body.properties({"Description": description, **_SLICE_PROPERTIES, **properties})
        body.array(8, b"")
        self._call("StartTransientUnit", "ssa(sv)a(sa(sv))", body)

    def set_properties(self, name: str, properties: Mapping[str, int]) -> None:
        """Change properties of a unit until the next boot. Raises BusError, OSError."""
        body = Writer()
        body.string(name)
        body.boolean(True)
        body.properties(properties)
        self._call("SetUnitProperties", "sba(sv)", body)

    def stop_unit(self, name: str) -> None:
        """Stop a unit with all that is in it. Raises BusError, OSError."""
        body = Writer()
        body.string(name)
        body.string("replace")
        self._call("StopUnit", "ss", body)

    def _call(self, member: str, signature: str, body: Writer) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CALL_SECONDS_MAX)
            connection.connect(str(self._path))
            connection.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\nBEGIN\r\n")
            with connection.makefile("rb") as answers:
                if not answers.readline().startswith(b"OK "):
                    raise BusError("", "systemd refuses the connection")
                # Not earlier: what systemd reads together with the handshake it may not look at until more comes.
                connection.sendall(method_call(member, signature, bytes(body.data)))
                while (kind_and_error := read_answer(answers.read)) is None:
                    """A signal that nobody asked for."""
        error_name, message = kind_and_error
        if error_name:
            raise BusError(error_name, message)


#: as libcontainer's: accounted for, and not stopped before others when the machine goes down
_SLICE_PROPERTIES = {
    "DefaultDependencies": False,
    "CPUAccounting": True,
    "MemoryAccounting": True,
    "TasksAccounting": True,
}


class Writer:
    """Values in D-Bus' little-endian format, each aligned to its own size."""

    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int) -> None:
        """Fill up to a multiple of the size."""
        self.data += bytes(-len(self.data) % size)

    def integer(self, value: int) -> None:
        """A `u`."""
        self.align(4)
        self.data += struct.pack("<I", value)

    def string(self, text: str) -> None:
        """An `s` or `o`."""
        encoded = text.encode()
        self.integer(len(encoded))
        self.data += encoded + b"\0"

    def boolean(self, value: bool) -> None:
        """A `b`."""
        self.integer(int(value))

    def signature(self, text: str) -> None:
        """A `g`."""
        self.data += bytes([len(text)]) + text.encode() + b"\0"

    def array(self, alignment: int, elements: bytes) -> None:
        """An `a` of elements that were written from an aligned beginning."""
        self.integer(len(elements))
        self.align(alignment)
        self.data += elements

    def properties(self, values: Mapping[str, str | int | bool]) -> None:
        """An `a(sv)` of strings, booleans and unsigned 64-bit numbers."""
        elements = Writer()
        for name, value in values.items():
            elements.align(8)
            elements.string(name)
            if isinstance(value, str):
                elements.signature("s")
                elements.string(value)
            elif isinstance(value, bool):
                elements.signature("b")
                elements.boolean(value)
            else:
                elements.signature("t")
                elements.align(8)
                elements.data += struct.pack("<Q", value)
        self.array(8, bytes(elements.data))


def method_call(member: str, signature: str, body: bytes) -> bytes:
    """The message of a call of systemd's manager."""
    fields = Writer()
    for code, kind, text in (
        (_PATH, "o", MANAGER_PATH),
        (_INTERFACE, "s", MANAGER),
        (_MEMBER, "s", member),
        (_DESTINATION, "s", DESTINATION),
        (_SIGNATURE, "g", signature),
    ):
        fields.align(8)
        fields.data += bytes([code])
        fields.signature(kind)
        (fields.signature if kind == "g" else fields.string)(text)
    message = Writer()
    message.data += _HEADER.pack(b"l", bytes([_CALL]), b"\0", b"\1", len(body), 1)
    message.array(8, bytes(fields.data))
    message.align(8)
    return bytes(message.data + body)


def read_answer(read: Callable[[int], bytes]) -> tuple[str, str] | None:
    """The next message: the name and text of an error, both empty for success; None for a message of another kind."""
    head = _read_all(read, 16)
    order = "<" if head[:1] == b"l" else ">"
    body_length, _, fields_length = struct.unpack(f"{order}3I", head[4:])
    fields = _read_all(read, fields_length + -fields_length % 8)[:fields_length]
    body = _read_all(read, body_length)
    match head[1]:
        case kind if kind == _RETURN:
            return "", ""
        case kind if kind == _ERROR:
            return _error_name(fields, order), _string_at(body, 0, order) if body_length >= 4 else ""
    return None


def _read_all(read: Callable[[int], bytes], count: int) -> bytes:
    data = read(count)
    if len(data) < count:
        raise BusError("", "systemd closed the connection")
    return data


def _error_name(fields: bytes, order: str) -> str:
    """Header fields are structures of a byte and a variant of one basic type, aligned to 8."""
    offset = 0
    while offset < len(fields):
        offset += -offset % 8
        code, kind = fields[offset], fields[offset + 2 : offset + 3]
        offset += 4
        if kind == b"g":
            offset += 1 + fields[offset] + 1
        elif kind == b"u":
            offset += -offset % 4 + 4
        else:
            offset += -offset % 4
            if code == _ERROR_NAME:
                return _string_at(fields, offset, order)
            offset += 4 + struct.unpack_from(f"{order}I", fields, offset)[0] + 1
    return ""


def _string_at(data: bytes, offset: int, order: str) -> str:
    (length,) = struct.unpack_from(f"{order}I", data, offset)
    return data[offset + 4 : offset + 4 + length].decode(errors="replace")
