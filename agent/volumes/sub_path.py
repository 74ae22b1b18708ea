"""subPath: part of a volume as the mount of a container, without a way out of the volume.

A container may exchange a directory for a symbolic link between our check and the engine's mount (CVE-2017-1002101).
So the path is opened step by step without following links, and what was opened is bound to a place of the agent's,
which is what the engine gets to mount.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from agent.volumes.mounting import bind_descriptor, renew_mount_point
from agent.volumes.protocol import VolumeError

_REFERENCE = re.compile(r"\$(?:\$|\((?P<name>[^()]*)\))")


def expand_expression(expression: str, environment: Mapping[str, str]) -> str:
    """Expand `$(NAME)` from the container's environment; `$$` is a dollar sign. A missing name is an error."""

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "$"
        if name not in environment:
            raise VolumeError(f'failed to expand subPathExpr "{expression}": missing value for "{name}"')
        return environment[name]

    return _REFERENCE.sub(replace, expression)


def prepare_sub_path(volume: Path, sub_path: str, bound: Path, *, may_bind: bool) -> Path:
    """Return what the engine shall mount for a subPath, made as a directory if it is missing.

    Without the right to mount, the resolved path itself is returned: checked, but not held.
    """
    if sub_path.startswith("/") or ".." in Path(sub_path).parts:
        raise VolumeError(f'subPath "{sub_path}" must be relative and not contain ".."')
    root = Path(os.path.realpath(volume))
    wanted = Path(os.path.realpath(root / sub_path))
    if wanted != root and root not in wanted.parents:
        raise VolumeError(f'subPath "{sub_path}" leads out of the volume')
    descriptor = _open_inside(root, wanted.relative_to(root).parts)
    try:
        if not may_bind:
            return wanted
        _bind(descriptor, bound)
        return bound
    finally:
        os.close(descriptor)


def _open_inside(root: Path, parts: tuple[str, ...]) -> int:
    """A descriptor (O_PATH) of the file; missing directories are made with the volume's own mode."""
    mode = stat.S_IMODE(root.stat().st_mode)
    current = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            following = _open_part(current, part, mode)
        finally:
            os.close(current)
        current = following
    return current


def _open_part(parent: int, name: str, mode: int) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(name, dir_fd=parent)
        descriptor = os.open(name, flags, dir_fd=parent)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.chmod(f"/proc/self/fd/{descriptor}", mode)
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise VolumeError(f'subPath changed while it was opened: "{name}" is a symbolic link now')
    return descriptor


def _bind(descriptor: int, bound: Path) -> None:
    """Each start of a container binds anew: what an earlier one saw may have been replaced since."""
    try:
        renew_mount_point(bound, is_directory=stat.S_ISDIR(os.fstat(descriptor).st_mode))
    except OSError as error:
        raise VolumeError(f"cannot replace the mount {bound}: {error.strerror}") from error
    bind_descriptor(descriptor, bound)
