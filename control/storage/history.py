"""How much history the store holds, so that it is forgotten before it fills the disk. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from control.storage.protocol import Change

#: What a row and its index entries cost beside key and value.
_ROW_BYTES = 64
#: Into how many pieces the allowed history is cut: as exactly as it can be forgotten.
_PIECES = 16


class HistoryMeter:
    """Counts the bytes written since the last compaction, in pieces that end at a revision."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._pieces: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def note(self, changes: Iterable[Change]) -> None:
        """Count a committed group."""
        for change in changes:
            size = len(change.value) + len(change.key) + _ROW_BYTES
            self._bytes += size
            if self._pieces and self._pieces[-1][1] < self._bytes_max // _PIECES:
                size += self._pieces.pop()[1]
            self._pieces.append((change.revision, size))

    def forget(self, revision: int) -> None:
        """The changes up to a revision are compacted."""
        while self._pieces and self._pieces[0][0] <= revision:
            self._bytes -= self._pieces.popleft()[1]

    @property
    def is_too_large(self) -> bool:
        """Whether there is more than allowed."""
        return self._bytes > self._bytes_max

    def choose_revision(self) -> int:
        """The revision to compact to so that about half of what is allowed remains."""
        excess = self._bytes - self._bytes_max // 2
        chosen = 0
        for revision, size in self._pieces:
            chosen = revision
            excess -= size
            if excess <= 0:
                break
        return chosen
