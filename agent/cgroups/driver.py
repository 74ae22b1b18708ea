"""Who makes cgroups: the agent itself in the kernel's file system, or systemd. Paths are those of `layout.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from agent.cgroups.control_files import ControlFile
from agent.cgroups.tree import CgroupTree

LIMITING_CONTROLLERS = ("cpu", "memory", "pids", "hugetlb")


class CgroupDriver(Protocol):
    """Makes, changes and removes cgroups. Blocking; every method may raise OSError."""

    @property
    def version(self) -> str:
        """Of the cgroups: `1` or `2`."""
        ...

    def can_limit(self, controller: str) -> bool:
        """Whether a controller is at hand."""
        ...

    def parent_name(self, path: str) -> str:
        """What Docker is told as CgroupParent."""
        ...

    def make(self, path: str, files: Sequence[ControlFile]) -> bool:
        """Make a cgroup and those above it with these values; False, and nothing is changed, if it is there already."""
        ...

    def change(self, path: str, files: Sequence[ControlFile]) -> None:
        """Set values of a cgroup."""
        ...

    def change_container(self, path: str, container_id: str, file: ControlFile) -> None:
        """Set a value of the cgroup that the engine has made for a container below one of ours."""
        ...

    def read(self, path: str, file: ControlFile) -> str:
        """The value that a cgroup has."""
        ...

    def children(self, path: str) -> frozenset[str]:
        """The names of the cgroups directly below, of any hierarchy."""
        ...

    def remove(self, paths: Iterable[str]) -> None:
        """Remove those of the cgroups that are there and that nothing is in. Raises nothing."""
        ...


class CgroupfsDriver:
    """Implements `CgroupDriver` with directories and files."""

    def __init__(self, tree: CgroupTree) -> None:
        self._tree = tree

    @property
    def version(self) -> str:
        """The kernel's."""
        return self._tree.version

    def can_limit(self, controller: str) -> bool:
        """One that is mounted."""
        return self._tree.find_hierarchy(controller) is not None

    def parent_name(self, path: str) -> str:
        """Its path."""
        return f"/{path}"

    def make(self, path: str, files: Sequence[ControlFile]) -> bool:
        """In the hierarchies that limit; the engine makes it in the others."""
        found = (self._tree.find_hierarchy(controller) for controller in LIMITING_CONTROLLERS)
        made = [self._tree.make(name, path) for name in dict.fromkeys(found) if name is not None]
        if any(made):
            self.change(path, files)
        return any(made)

    def change(self, path: str, files: Sequence[ControlFile]) -> None:
        """What no hierarchy takes is left out."""
        for file in files:
            hierarchy = self._tree.find_hierarchy(file.controller)
            if hierarchy is not None:
                self._tree.write(hierarchy, path, file.name, file.text)

    def change_container(self, path: str, container_id: str, file: ControlFile) -> None:
        """The engine names it after the container."""
        self.change(f"{path}/{container_id}", [file])

    def read(self, path: str, file: ControlFile) -> str:
        """As the kernel shows it."""
        hierarchy = self._tree.find_hierarchy(file.controller)
        return self._tree.read(hierarchy, path, file.name) if hierarchy is not None else ""

    def children(self, path: str) -> frozenset[str]:
        """One may be left in a single hierarchy."""
        return frozenset(name for one in self._tree.hierarchies() for name in self._tree.children(one, path))

    def remove(self, paths: Iterable[str]) -> None:
        """Of all hierarchies; what is in use stays for a later sweep."""
        listed = list(paths)
        for hierarchy in self._tree.hierarchies():
            for path in listed:
                with suppress(OSError):
                    self._tree.remove(hierarchy, path)
