"""A cgroup file system in memory."""

from __future__ import annotations


class FakeCgroupTree:
    """Implements `agent.cgroups.tree.CgroupTree`. `files` are by (hierarchy, path, name)."""

    def __init__(self, version: str = "2", controllers: tuple[str, ...] = ("cpu", "memory", "pids", "hugetlb")) -> None:
        self.version = version
        self.controllers = controllers
        self.directories: set[tuple[str, str]] = set()
        self.files: dict[tuple[str, str, str], str] = {}
        self.error: OSError | None = None

    def hierarchies(self) -> list[str]:
        return [""] if self.version == "2" else [*self.controllers, "freezer"]

    def find_hierarchy(self, controller: str) -> str | None:
        if controller not in self.controllers:
            return None
        return "" if self.version == "2" else controller

    def make(self, hierarchy: str, path: str) -> bool:
        if self.error is not None:
            raise self.error
        is_new = (hierarchy, path) not in self.directories
        parts = path.split("/")
        self.directories |= {(hierarchy, "/".join(parts[:count])) for count in range(1, len(parts) + 1)}
        return is_new

    def children(self, hierarchy: str, path: str) -> list[str]:
        prefix = f"{path}/" if path else ""
        below = [
            own.removeprefix(prefix) for where, own in self.directories if where == hierarchy and own.startswith(prefix)
        ]
        return sorted({name for name in below if "/" not in name})

    def read(self, hierarchy: str, path: str, name: str) -> str:
        return self.files.get((hierarchy, path, name), "max")

    def write(self, hierarchy: str, path: str, name: str, text: str) -> None:
        if (hierarchy, path) not in self.directories:
            raise FileNotFoundError(path)
        self.files[hierarchy, path, name] = text

    def remove(self, hierarchy: str, path: str) -> None:
        if self.children(hierarchy, path):
            raise OSError(f"{path} is busy")
        self.directories.discard((hierarchy, path))
        self.files = {key: text for key, text in self.files.items() if key[:2] != (hierarchy, path)}

    def values(self, path: str) -> dict[str, str]:
        """The files of a cgroup that were written, whatever their hierarchy."""
        return {name: text for (_, own, name), text in self.files.items() if own == path}

    def pods(self) -> set[str]:
        """The paths of all cgroups of Pods."""
        return {own for _, own in self.directories if own.rpartition("/")[2].startswith("pod") and own.count("/") > 2}
