"""The node's Pod range as it was last time: with it a restarted agent runs its static Pods while the API is away."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from control.private_file import write_private_file

FILE_NAME = "pod-range"


class RememberedRange:
    """One line in a file of the node's directory."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME

    def read(self) -> str:
        """The range, empty if there is none."""
        with suppress(OSError):
            return self._path.read_text().strip()
        return ""

    def write(self, pod_range: str) -> None:
        """Remember a range."""
        if self.read() != pod_range:
            with suppress(OSError):
                write_private_file(self._path, pod_range.encode())
