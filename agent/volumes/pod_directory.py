"""Where the files of a Pod are on the node: the kubelet's layout under the agent's state directory.

<root>/<pod uid>/volumes/kubernetes.io~<type>/<volume>     the volume
<root>/<pod uid>/volume-subpaths/<volume>/<container>/<n>  bind mounts of subPaths
<root>/<pod uid>/used-volumes/<persistent volume>          an empty file for each that the Pod uses
<root>/<pod uid>/claimed-volumes/<volume>                  a file that says where the volume of a claim is
<root>/<pod uid>/read-only/<volume>/<container>/<n>        copies of mounts, read-only with all below them
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Plugin directories as the kubelet's, which backup tools and log collectors look for.
_PLUGIN_NAMES = {
    "emptyDir": "empty-dir",
    "configMap": "configmap",
    "downwardAPI": "downward-api",
}


@dataclass(frozen=True, slots=True)
class PodDirectory:
    """The directory of one Pod."""

    path: Path

    def volume(self, type_name: str, volume_name: str) -> Path:
        """Directory of a volume; `type_name` is the field of the Pod's volume (`emptyDir`)."""
        return self._plugin(type_name) / volume_name

    def has_volumes(self, type_names: Iterable[str]) -> bool:
        """Whether there are volumes of one of the types."""
        return any(self._plugin(type_name).exists() for type_name in type_names)

    def sub_path(self, volume_name: str, container_name: str, index: int) -> Path:
        """Where the subPath of a container's n-th mount is bound to."""
        return self.path / "volume-subpaths" / volume_name / container_name / str(index)

    def used_volume(self, volume_name: str) -> Path:
        """What says that the Pod uses a PersistentVolume."""
        return self.path / "used-volumes" / volume_name

    def claimed_place(self, volume_name: str) -> Path:
        """What says where the volume behind a claim is; `volume_name` is that of the Pod's volume."""
        return self.path / "claimed-volumes" / volume_name

    def read_only(self, volume_name: str, container_name: str, index: int) -> Path:
        """Where the recursively read-only copy of a container's n-th mount is."""
        return self.path / "read-only" / volume_name / container_name / str(index)

    def _plugin(self, type_name: str) -> Path:
        return self.path / "volumes" / f"kubernetes.io~{_PLUGIN_NAMES.get(type_name, type_name)}"
