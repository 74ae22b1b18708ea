"""systemd's slices over a cgroup file system in memory."""

from __future__ import annotations

from collections.abc import Mapping

from agent.cgroups.systemd_bus import NO_SUCH_UNIT, UNIT_EXISTS, BusError
from tests.fakes.cgroup_tree import FakeCgroupTree


class FakeSlices:
    """Implements `agent.cgroups.systemd_driver.Slices`. `units` are the properties of the slices that run."""

    def __init__(self, tree: FakeCgroupTree) -> None:
        self.tree = tree
        self.units: dict[str, dict[str, int]] = {}

    def start_slice(self, name: str, description: str, properties: Mapping[str, int]) -> None:
        if name in self.units:
            raise BusError(UNIT_EXISTS, f"Unit {name} was already loaded or has a fragment file.")
        parts = name.removesuffix(".slice").split("-")
        for count in range(1, len(parts) + 1):
            self.units.setdefault("-".join(parts[:count]) + ".slice", {})
        self.units[name] = dict(properties)
        for hierarchy in self.tree.hierarchies():
            self.tree.make(hierarchy, self._place(name))

    def set_properties(self, name: str, properties: Mapping[str, int]) -> None:
        if name not in self.units:
            raise BusError(NO_SUCH_UNIT, f"Unit {name} not loaded.")
        self.units[name].update(properties)

    def stop_unit(self, name: str) -> None:
        self.units.pop(name)
        for hierarchy in self.tree.hierarchies():
            self.tree.remove(hierarchy, self._place(name))

    def _place(self, name: str) -> str:
        parts = name.removesuffix(".slice").split("-")
        return "/".join("-".join(parts[:count]) + ".slice" for count in range(1, len(parts) + 1))
