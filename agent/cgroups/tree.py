"""The kernel's cgroup file system: directories and small files. The only place that touches it. Blocking."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

CGROUP_ROOT = Path("/sys/fs/cgroup")
TRIES_MAX = 5


class CgroupTree(Protocol):
    """One or, with v1, several hierarchies. Paths are relative to a hierarchy; v2's only one is called ""."""

    @property
    def version(self) -> str:
        """`1` or `2`."""
        ...

    def hierarchies(self) -> list[str]:
        """The names of all hierarchies."""
        ...

    def find_hierarchy(self, controller: str) -> str | None:
        """The hierarchy of a controller, or None where the kernel has no such controller."""
        ...

    def make(self, hierarchy: str, path: str) -> bool:
        """Make a cgroup and those above it, with all controllers; False if it is there already. Raises OSError."""
        ...

    def children(self, hierarchy: str, path: str) -> list[str]:
        """The names of the cgroups directly below; none of one that does not exist."""
        ...

    def read(self, hierarchy: str, path: str, name: str) -> str:
        """The text of a file. Raises OSError."""
        ...

    def write(self, hierarchy: str, path: str, name: str, text: str) -> None:
        """Set a file. Raises OSError."""
        ...

    def remove(self, hierarchy: str, path: str) -> None:
        """Remove a cgroup that is there. Raises OSError while something is in it."""
        ...


class LinuxCgroupTree:
    """Implements `CgroupTree` below /sys/fs/cgroup."""

    def __init__(self, root: Path = CGROUP_ROOT) -> None:
        self._root = root
        self._is_unified = (root / "cgroup.controllers").exists()
        self._found: dict[str, str | None] = {}

    @property
    def version(self) -> str:
        """`2` where one hierarchy has all controllers."""
        return "2" if self._is_unified else "1"

    def hierarchies(self) -> list[str]:
        """Mounted together, controllers of v1 have one directory and links to it."""
        if self._is_unified:
            return [""]
        return [
            entry.name
            for entry in sorted(self._root.iterdir())
            if not entry.is_symlink() and (entry / "cgroup.procs").exists()
        ]

    def find_hierarchy(self, controller: str) -> str | None:
        """By the mount's name, or by the list of v2. What there is and where does not change while the agent runs."""
        if controller not in self._found:
            self._found[controller] = self._look_for(controller)
        return self._found[controller]

    def _look_for(self, controller: str) -> str | None:
        if self._is_unified:
            return "" if controller in (self._root / "cgroup.controllers").read_text().split() else None
        directory = self._root / controller
        return directory.resolve().name if (directory / "cgroup.procs").exists() else None

    def make(self, hierarchy: str, path: str) -> bool:
        """Again where the one above goes meanwhile: it was empty, and its last cluster has just been deleted."""
        for _ in range(TRIES_MAX - 1):
            with suppress(FileNotFoundError):
                return self._make(hierarchy, path)
        return self._make(hierarchy, path)

    def _make(self, hierarchy: str, path: str) -> bool:
        """In v2 each cgroup passes controllers on to those below."""
        above, _, name = path.rpartition("/")
        directory = self._root / hierarchy / above
        if not directory.is_dir():
            self.make(hierarchy, above)
        if self._is_unified:
            self._delegate(directory)
        try:
            (directory / name).mkdir()
        except FileExistsError:
            return False
        return True

    def children(self, hierarchy: str, path: str) -> list[str]:
        """Directories are cgroups."""
        try:
            with os.scandir(self._root / hierarchy / path) as entries:
                return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []

    def read(self, hierarchy: str, path: str, name: str) -> str:
        """Without the line's end."""
        return (self._root / hierarchy / path / name).read_text().strip()

    def write(self, hierarchy: str, path: str, name: str, text: str) -> None:
        """In one call: the kernel takes each for a value of its own."""
        descriptor = os.open(self._root / hierarchy / path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def remove(self, hierarchy: str, path: str) -> None:
        """The kernel refuses while there are processes or cgroups in it."""
        with suppress(FileNotFoundError):
            (self._root / hierarchy / path).rmdir()

    def _delegate(self, directory: Path) -> None:
        available = (directory / "cgroup.controllers").read_text().split()
        enabled = (directory / "cgroup.subtree_control").read_text().split()
        for controller in available:
            if controller not in enabled:
                # One that cannot be passed on (cpu with real-time processes about) leaves the others be.
                with suppress(OSError):
                    (directory / "cgroup.subtree_control").write_text(f"+{controller}")
