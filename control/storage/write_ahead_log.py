"""Judging SQLite's write-ahead log before SQLite sees it (https://www.sqlite.org/fileformat2.html#the_write_ahead_log).

SQLite takes the first frame that does not fit for the end of the log and forgets what follows. That is right for a
write that a crash cut short, and silently loses acknowledged writes when the log was damaged. The two differ: a
transaction is written only when the one before it is on disk, so whole frames of two transactions behind a broken one
prove that something acknowledged is gone; and a crash leaves frames of this log, of older ones or zeros, never others.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_MAGIC_LITTLE, _MAGIC_BIG = 0x377F0682, 0x377F0683
#: A log that is begun anew counts its salt up by one; what lies behind its end is of one of the logs before it.
_OLDER_LOGS_MAX = 1 << 24
_WORD = 0xFFFFFFFF

Checksum = tuple[int, int]


def find_damage(log: bytes) -> str:
    """Say what is wrong with the bytes of a log; empty if nothing is, or nothing but a write cut short."""
    if len(log) < _HEADER_BYTES:
        return ""  # the crash came before the first transaction
    magic, _, page_bytes, _, salt_1, salt_2, *stored = struct.unpack(">8I", log[:_HEADER_BYTES])
    if magic not in (_MAGIC_LITTLE, _MAGIC_BIG) or page_bytes not in (1 << power for power in range(9, 17)):
        return "its write-ahead log has no valid header"
    order = "<" if magic == _MAGIC_LITTLE else ">"
    if _checksum(order, (0, 0), log[:24]) != tuple(stored):
        return "its write-ahead log has no valid header"
    frames = _Frames(log, page_bytes, order, (salt_1, salt_2), (stored[0], stored[1]))
    return frames.find_damage()


class _Frames:
    def __init__(
        self, log: bytes, page_bytes: int, order: str, salts: tuple[int, int], header_checksum: Checksum
    ) -> None:
        self._log = log
        self._page_bytes = page_bytes
        self._order = order
        self._salts = salts
        self._header_checksum = header_checksum
        self._count = (len(log) - _HEADER_BYTES) // (_FRAME_HEADER_BYTES + page_bytes)

    def find_damage(self) -> str:
        """Walk the frames that fit, then look at what follows them."""
        number = 0
        while number < self._count and self._fits(number):
            number += 1
        for later in range(number, self._count):
            if self._is_foreign(later):
                return f"frame {later + 1} of its write-ahead log is not one of SQLite's"
        ends = (later for later in range(number + 1, self._count) if self._ends_transaction(later))
        for end in ends:
            if end + 1 < self._count and self._fits(end + 1):
                return f"frame {number + 1} of its write-ahead log is damaged and acknowledged writes follow it"
        return ""

    def _head(self, number: int) -> Sequence[int]:
        start = _HEADER_BYTES + number * (_FRAME_HEADER_BYTES + self._page_bytes)
        return struct.unpack_from(">6I", self._log, start)

    def _stored_checksum(self, number: int) -> Checksum:
        if number < 0:
            return self._header_checksum
        head = self._head(number)
        return head[4], head[5]

    def _fits(self, number: int) -> bool:
        """Whether a frame is of this log and continues the checksum that the frame before it holds."""
        page, _, salt_1, salt_2, *stored = self._head(number)
        if (salt_1, salt_2) != self._salts or page == 0:
            return False
        start = _HEADER_BYTES + number * (_FRAME_HEADER_BYTES + self._page_bytes)
        content = start + _FRAME_HEADER_BYTES
        checksum = _checksum(self._order, self._stored_checksum(number - 1), self._log[start : start + 8])
        checksum = _checksum(self._order, checksum, self._log[content : content + self._page_bytes])
        return checksum == tuple(stored)

    def _ends_transaction(self, number: int) -> bool:
        return self._head(number)[1] != 0 and self._fits(number)

    def _is_foreign(self, number: int) -> bool:
        head = self._head(number)
        if not any(head):
            return False
        if (head[2], head[3]) == self._salts:
            return False
        return not 0 < (self._salts[0] - head[2]) & _WORD < _OLDER_LOGS_MAX


def _checksum(order: str, begin: Checksum, content: bytes) -> Checksum:
    """SQLite's checksum of a multiple of eight bytes, continued from another."""
    first, second = begin
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _WORD
        second = (second + odd + first) & _WORD
    return first, second
