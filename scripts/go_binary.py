"""Read the type descriptions that a Go program carries for its `reflect` package.

kubectl links upstream's API records, so their field names, struct tags and types can be read from the binary, without
a Go toolchain or the sources. Understands statically linked 64-bit little-endian ELF files of Go 1.24 or newer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

BOOL, INTERFACE, MAP, POINTER, SLICE, STRING, STRUCT = 1, 20, 21, 22, 23, 24, 25
FLOATS = (13, 14)
INTEGERS = range(2, 13)
_EXTRA_STAR, _HAS_UNCOMMON, _NAMED = 2, 1, 4
#: where the description of a named type continues (package path, methods), by kind
_UNCOMMON_AT = {18: 64, INTERFACE: 80, MAP: 112, POINTER: 56, SLICE: 56, STRUCT: 80, 17: 72, 19: 56}


@dataclass
class GoField:
    """One field of a struct."""

    name: str
    tag: str
    embedded: bool
    type: GoType


@dataclass
class GoType:
    """A type. `name` is qualified by the last element of `package`, as `%T` prints it."""

    kind: int
    name: str
    package: str = ""
    named: bool = False
    element: GoType | None = None
    fields: list[GoField] = field(default_factory=list)


class GoBinary:
    """All types that can be reached from the type links of one binary."""

    def __init__(self, path: Path) -> None:
        self._bytes = path.read_bytes()
        sections = self._sections()
        self._address, self._offset, self._size = sections[".rodata"]
        self._types: dict[int, GoType] = {}
        _, offset, size = sections[".typelink"]
        for link in struct.unpack_from(f"<{size // 4}i", self._bytes, offset):
            self._type_at(self._address + link)

    def structs(self) -> dict[tuple[str, str], GoType]:
        """Return named structs by package and unqualified name."""
        return {
            (found.package, found.name.rpartition(".")[2]): found
            for found in self._types.values()
            if found.kind == STRUCT and found.named
        }

    def _sections(self) -> dict[str, tuple[int, int, int]]:
        (table,) = struct.unpack_from("<Q", self._bytes, 0x28)
        entry_size, count, names_index = struct.unpack_from("<HHH", self._bytes, 0x3A)
        headers = [struct.unpack_from("<IIQQQQ", self._bytes, table + index * entry_size) for index in range(count)]
        names = headers[names_index][4]
        result = {}
        for name, _, _, address, offset, size in headers:
            end = self._bytes.index(b"\0", names + name)
            result[self._bytes[names + name : end].decode()] = (address, offset, size)
        return result

    def _words(self, offset: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{count}Q", self._bytes, offset)

    def _name(self, offset: int) -> tuple[str, str, bool]:
        flags = self._bytes[offset]
        text, offset = self._text(offset + 1)
        tag = self._text(offset)[0] if flags & 2 else ""
        return text, tag, bool(flags & 8)

    def _text(self, offset: int) -> tuple[str, int]:
        length = shift = 0
        while True:
            byte = self._bytes[offset]
            offset += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return self._bytes[offset : offset + length].decode(), offset + length

    def _type_at(self, address: int) -> GoType:
        found = self._types.get(address)
        if found is not None:
            return found
        offset = address - self._address + self._offset
        flags, kind = self._bytes[offset + 20], self._bytes[offset + 23] & 31
        (name_offset,) = struct.unpack_from("<i", self._bytes, offset + 40)
        name = self._name(self._offset + name_offset)[0]
        made = GoType(kind, name[1:] if flags & _EXTRA_STAR else name, named=bool(flags & _NAMED))
        self._types[address] = made
        if flags & _HAS_UNCOMMON:
            (path,) = struct.unpack_from("<i", self._bytes, offset + _UNCOMMON_AT.get(kind, 48))
            made.package = self._name(self._offset + path)[0] if path else ""
        if kind in (POINTER, SLICE):
            made.element = self._type_at(self._words(offset + 48, 1)[0])
        elif kind == MAP:
            made.element = self._type_at(self._words(offset + 56, 1)[0])
        elif kind == STRUCT:
            made.fields = self._fields(offset)
        return made

    def _fields(self, offset: int) -> list[GoField]:
        first, count = self._words(offset + 56, 2)
        result = []
        for index in range(count):
            name_at, type_at, _ = self._words(first - self._address + self._offset + 24 * index, 3)
            name, tag, embedded = self._name(name_at - self._address + self._offset)
            result.append(GoField(name, tag, embedded, self._type_at(type_at)))
        return result
