"""recursiveReadOnly (KEP-3857): mounts that are read-only with all that is mounted below them.

Engines before Docker 25 make only the topmost mount read-only. For them the agent mounts a copy of the whole tree that
is read-only through and through, which the engine binds with the attributes it has; the copy lies in the Pod's
directory, goes with it, and is made anew at every start of a container, so that it shows what is mounted by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from agent.volumes.mounting import MOUNT_ATTR_RDONLY, mount_copy, renew_mount_point
from agent.volumes.protocol import Mount, VolumeError, is_recursive
from control.api.objects import ReadOnlyObject

#: (name of the volume, index of the mount) -> where its copy is mounted
PlaceOfCopy = Callable[[str, int], Path]


def make_recursive(
    container: ReadOnlyObject, mounts: Sequence[Mount], place: PlaceOfCopy, *, can_copy: bool, engine_recurses: bool
) -> list[Mount]:
    """The container's mounts, in the order of its volumeMounts, those copied that ask for it. Raises VolumeError."""
    made = []
    for index, (spec, mount) in enumerate(zip(container.get("volumeMounts") or (), mounts, strict=True)):
        possible = can_copy or (engine_recurses and not mount.docker_volume)
        if spec.get("recursiveReadOnly") == "Enabled" and not possible:
            raise VolumeError(
                f'failed to resolve recursive read-only mode: volume "{spec["name"]}" requested recursive read-only '
                "mode, but it is not supported by the runtime"
            )
        if not is_recursive(spec, possible=possible):
            made.append(mount)
        elif can_copy:
            copy = _copy(Path(mount.host_path), place(spec["name"], index))
            made.append(replace(mount, host_path=str(copy), docker_volume="", recursive_read_only=True))
        else:
            made.append(replace(mount, recursive_read_only=True))
    return made


def _copy(source: Path, copy: Path) -> Path:
    try:
        renew_mount_point(copy, is_directory=source.is_dir())
        mount_copy(source, copy, attributes=MOUNT_ATTR_RDONLY, recursive=True)
    except OSError as error:
        raise VolumeError(f"cannot mount {source} recursively read-only: {error.strerror}") from error
    return copy
