"""Cgroups as slices of systemd: for engines with the systemd driver, where the tree is systemd's alone to change."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from agent.cgroups.control_files import ControlFile
from agent.cgroups.slices import child_name, slice_name, slice_path, unit_properties
from agent.cgroups.systemd_bus import UNIT_EXISTS, BusError
from agent.cgroups.tree import CgroupTree

LOOKS_MAX, LOOK_SECONDS = 500, 0.002
#: those that systemd manages; it has no property for huge pages
CONTROLLERS = ("cpu", "memory", "pids")


class Slices(Protocol):
    """What is asked of systemd; `systemd_bus.SystemdBus` is the real one. Every method may raise BusError, OSError."""

    def start_slice(self, name: str, description: str, properties: Mapping[str, int]) -> None:
        """Start a transient slice."""
        ...

    def set_properties(self, name: str, properties: Mapping[str, int]) -> None:
        """Change properties of a unit."""
        ...

    def stop_unit(self, name: str) -> None:
        """Stop a unit with all that is in it."""
        ...


class SystemdDriver:
    """Implements `agent.cgroups.driver.CgroupDriver`. What there is is read from the kernel's file system."""

    def __init__(self, tree: CgroupTree, slices: Slices) -> None:
        self._tree = tree
        self._slices = slices

    @property
    def version(self) -> str:
        """The kernel's."""
        return self._tree.version

    def can_limit(self, controller: str) -> bool:
        """What both the kernel and systemd can."""
        return controller in CONTROLLERS and self._tree.find_hierarchy(controller) is not None

    def parent_name(self, path: str) -> str:
        """The slice's unit."""
        return slice_name(path)

    def make(self, path: str, files: Sequence[ControlFile]) -> bool:
        """Slices above it come by themselves. Returns when systemd has made it."""
        try:
            self._slices.start_slice(slice_name(path), f"cgroup {path}", unit_properties(files))
        except BusError as error:
            if error.name != UNIT_EXISTS:
                raise
            return False
        self._wait(path, exists=True)
        return True

    def change(self, path: str, files: Sequence[ControlFile]) -> None:
        """As properties: systemd would undo what is written past it."""
        properties = unit_properties(files)
        if properties:
            self._slices.set_properties(slice_name(path), properties)

    def change_container(self, path: str, container_id: str, file: ControlFile) -> None:
        """The engine's scope, of which systemd does not know this value."""
        hierarchy = self._tree.find_hierarchy(file.controller)
        if hierarchy is not None:
            self._tree.write(hierarchy, f"{slice_path(path)}/docker-{container_id}.scope", file.name, file.text)

    def read(self, path: str, file: ControlFile) -> str:
        """As the kernel shows it."""
        hierarchy = self._tree.find_hierarchy(file.controller)
        return self._tree.read(hierarchy, slice_path(path), file.name) if hierarchy is not None else ""

    def children(self, path: str) -> frozenset[str]:
        """Slices alone: the scopes of containers are the engine's."""
        return frozenset(filter(None, (child_name(path, directory) for directory in self._directories(path))))

    def remove(self, paths: Iterable[str]) -> None:
        """Stopping a slice would kill what is in it, so one that has anything below it is left.

        Returns when they are gone: one that is left would keep those above it.
        """
        for path in paths:
            if self._exists(path) and not self._directories(path):
                with suppress(OSError):
                    self._slices.stop_unit(slice_name(path))
                    self._wait(path, exists=False)

    def _wait(self, path: str, *, exists: bool) -> None:
        """See what a job of systemd's, which has begun, brings about."""
        for _ in range(LOOKS_MAX):
            if self._exists(path) == exists:
                return
            time.sleep(LOOK_SECONDS)
        raise TimeoutError(f"systemd has not {'made' if exists else 'removed'} {slice_name(path)}")

    def _exists(self, path: str) -> bool:
        parent, _, name = slice_path(path).rpartition("/")
        return any(name in self._tree.children(one, parent) for one in self._tree.hierarchies())

    def _directories(self, path: str) -> set[str]:
        place = slice_path(path)
        return {name for one in self._tree.hierarchies() for name in self._tree.children(one, place)}


def has_systemd(root: Path = Path("/run/systemd/system")) -> bool:
    """Whether systemd runs this host (sd_booted)."""
    return root.is_dir()
