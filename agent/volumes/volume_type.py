"""What the file of a volume type provides, and what it is given.

Types whose files come from the API (configMap, secret, downwardAPI, projected) only say which files; the rest, writing
them atomically and refreshing them, is the same for all (pod_volumes.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.volumes.atomic_writer import FileContent
from agent.volumes.protocol import ConfigurationSource, VolumeError
from agent.volumes.token_cache import TokenCache
from control.api.objects import ReadOnlyObject

Files = dict[str, FileContent]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRequest:
    """One volume of a Pod: `spec` is what stands under its type, `path` its directory on the node.

    `volume_name` is the PersistentVolume's, `is_shared` says that other Pods of the node use it too.
    """

    pod: ReadOnlyObject
    name: str
    spec: Mapping[str, Any]
    path: Path
    objects: ConfigurationSource
    tokens: TokenCache
    node_allocatable: Mapping[str, str]
    may_mount: bool
    #: where the agent keeps the local volumes it makes
    local_root: Path
    volume_name: str = ""
    is_shared: bool = False
    is_block: bool = False
    read_only: bool = False
    #: what the PersistentVolume is said to hold
    size_bytes: int = 0
    mount_options: tuple[str, ...] = ()
    #: directories of the image behind an image volume, the topmost first
    layers: Sequence[str] = ()

    @property
    def namespace(self) -> str:
        """Namespace of the Pod, where its ConfigMaps and Secrets are."""
        return str(self.pod["metadata"].get("namespace", "default"))

    @property
    def fs_group(self) -> int | None:
        """The group that the Pod's volumes are given to."""
        group = (self.pod["spec"].get("securityContext") or {}).get("fsGroup")
        return None if group is None else int(group)

    @property
    def group_on_mismatch(self) -> bool:
        """Whether a volume whose root is the group's already is left alone."""
        return (self.pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy") == "OnRootMismatch"

    @property
    def default_mode(self) -> int:
        """Mode of files that say none."""
        mode = self.spec.get("defaultMode")
        return 0o644 if mode is None else int(mode)


def select_files(contents: Mapping[str, bytes], spec: Mapping[str, Any], *, default_mode: int, kind: str) -> Files:
    """The files of a ConfigMap's or Secret's keys: all of them, or `items` with their paths and modes.

    A missing key of `items` fails the volume unless it is optional; `kind` words that as the kubelet does.
    """
    items = spec.get("items")
    if not items:
        return {key: FileContent(data=data, mode=default_mode) for key, data in contents.items()}
    files: Files = {}
    for item in items:
        if item["key"] not in contents:
            if spec.get("optional"):
                continue
            raise VolumeError(f"references non-existent {kind} key: {item['key']}")
        mode = item.get("mode")
        files[item["path"]] = FileContent(data=contents[item["key"]], mode=default_mode if mode is None else int(mode))
    return files
