"""hostPath volumes: a file or directory of the node, checked or made as its type says."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from agent.volumes.protocol import VolumeError
from agent.volumes.volume_type import VolumeRequest

# type -> (test of the mode, what it is not)
_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def prepare(request: VolumeRequest) -> Path:
    """Check and return the path. Without a type nothing is checked and a missing directory made, as runtimes do."""
    path = Path(request.spec["path"])
    type_name = request.spec.get("type") or ""
    if type_name in ("", "DirectoryOrCreate") and not path.exists():
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
    elif type_name == "FileOrCreate" and not path.exists():
        _create_file(path)
    if not type_name:
        return path
    check = _CHECKS.get(type_name)
    if check is None:
        raise VolumeError(f"hostPath type check failed: unknown type {type_name}")
    if not path.exists() or not check[0](path.stat().st_mode):
        raise VolumeError(f"hostPath type check failed: {path} is not {check[1]}")
    return path


def _create_file(path: Path) -> None:
    """Its directory must exist: the kubelet makes none for it."""
    try:
        path.touch(mode=0o644)
    except OSError as error:
        raise VolumeError(f"hostPath type check failed: cannot create {path}: {error.strerror}") from error
