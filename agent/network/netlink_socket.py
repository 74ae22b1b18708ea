"""A netlink socket: requests to the kernel, their answers, and the attributes both are made of. Synchronous.

Written against linux/netlink.h. Used for links and routes (`netlink.py`) and for tracked flows (`conntrack.py`).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

NESTED, CREATE, REPLACE, EXCLUSIVE = 0x8000, 0x400, 0x100, 0x200
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP = 0x001, 0x004, 0x300
_RECEIVE_BYTES = 1 << 16


class NetlinkError(OSError):
    """The kernel refused a request."""


class NetlinkSocket:
    """One netlink socket and its requests. Use as a context manager."""

    def __init__(self, protocol: int) -> None:
        """Opens in the calling thread's network namespace."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._sequence = 0
        self._first = 0
        self._gathered: list[tuple[int, int, bytes]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def ask(self, kind: int, flags: int, content: bytes) -> None:
        """Make a request and wait for its acknowledgement. Raises OSError."""
        if self._gathered is not None:
            self._gathered.append((kind, flags, content))
            return
        self._send([(kind, flags | _REQUEST | _ACK, content)])
        self._wait_for_acknowledgement()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make the requests of the block at its end, in one packet. Raises OSError for the first that is refused.

        The kernel carries them out in order, also those after a refused one.
        """
        gathered: list[tuple[int, int, bytes]] = []
        self._gathered = gathered
        try:
            yield
        finally:
            self._gathered = None
        if gathered:
            # The kernel tells of refusals unasked: the last acknowledgement says that nothing more is to come.
            acknowledged = [0] * (len(gathered) - 1) + [_ACK]
            self._send(
                (kind, flags | _REQUEST | ack, content)
                for (kind, flags, content), ack in zip(gathered, acknowledged, strict=True)
            )
            self._wait_for_acknowledgement()

    def dump(self, kind: int, content: bytes) -> Iterator[bytes]:
        """Ask for all objects of a kind; yields the content of each. Raises OSError."""
        self._send([(kind, _REQUEST | _DUMP, content)])
        return self._answers()

    def _send(self, requests: Iterable[tuple[int, int, bytes]]) -> None:
        packet = b""
        self._first = self._sequence + 1  # what answers an earlier one is of no interest any more
        for kind, flags, content in requests:
            self._sequence += 1
            packet += struct.pack("=IHHII", 16 + len(content), kind, flags, self._sequence, 0) + content
            packet += b"\0" * (-len(packet) % 4)
        self._socket.send(packet)

    def _wait_for_acknowledgement(self) -> None:
        for _ in self._answers():
            pass

    def _answers(self) -> Iterator[bytes]:
        """The contents that answer what was sent last; ends at the acknowledgement or the end of the dump."""
        while True:
            packet = self._socket.recv(_RECEIVE_BYTES)
            offset = 0
            while offset + 16 <= len(packet):
                length, kind, _, sequence, _ = struct.unpack_from("=IHHII", packet, offset)
                content = packet[offset + 16 : offset + length]
                offset += (length + 3) & ~3
                if sequence < self._first:
                    continue
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", content)[0]
                    if code:
                        raise _error(code)
                    return
                yield content


def attribute(kind: int, content: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(content), kind) + content + b"\0" * (-len(content) % 4)


def attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, content) of attributes in a row; nested ones are the content of theirs."""
    offset = 0
    while offset + 4 <= len(content):
        length, kind = struct.unpack_from("=HH", content, offset)
        if length < 4:
            return
        yield kind & ~NESTED, content[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _error(code: int) -> OSError:
    if code == errno.EEXIST:
        return FileExistsError(code, os.strerror(code))
    return NetlinkError(code, os.strerror(code))
