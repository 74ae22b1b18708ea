"""Replacing the files of a volume all at once, so that a reader sees the old set or the new one, never a mixture.

The layout is the kubelet's, on which programs that watch their configuration rely:

    volume/..2026_11_20_10_00_00.123456/key     the files, in a directory with the time of writing
    volume/..data -> ..2026_11_20_10_00_00...   replaced by rename: the moment of the change
    volume/key -> ..data/key                    what the container opens
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from agent.volumes.protocol import VolumeError

DATA_LINK, NEW_DATA_LINK = "..data", "..data_tmp"
PATH_LENGTH_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """One file of a volume. `owner` is a user id, or None for the agent's own."""

    data: bytes
    mode: int = 0o644
    owner: int | None = None


def write_files(
    volume: Path,
    files: Mapping[str, FileContent],
    *,
    now: datetime,
    set_permissions: Callable[[Path], None] = lambda directory: None,
) -> bool:
    """Make the volume contain exactly these files; False if it does already. `set_permissions` sees the new
    directory before it becomes visible.
    """
    for path in files:
        _check_path(path)
    link = volume / DATA_LINK
    previous = volume / os.readlink(link) if link.is_symlink() else None
    if previous is not None and _contains_exactly(previous, files):
        _link_names(volume, files)  # a crash may have come between the change and the links
        return False
    written = Path(tempfile.mkdtemp(prefix=now.strftime("..%Y_%m_%d_%H_%M_%S."), dir=volume))
    try:
        written.chmod(0o755)
        for path, content in files.items():
            _write_file(written / path, content)
        set_permissions(written)
        new_link = volume / NEW_DATA_LINK
        new_link.unlink(missing_ok=True)
        new_link.symlink_to(written.name)
        new_link.replace(link)
    except BaseException:
        shutil.rmtree(written, ignore_errors=True)
        raise
    _link_names(volume, files)
    _remove_stale(volume, files, keep=written.name)
    return True


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not path or path.startswith(("/", "..")) or len(path) > PATH_LENGTH_MAX or ".." in parts:
        raise VolumeError(f'invalid path in volume: "{path}"')


def _contains_exactly(directory: Path, files: Mapping[str, FileContent]) -> bool:
    existing = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    if existing.keys() != {str(PurePosixPath(path)) for path in files}:
        return False
    return all(existing[str(PurePosixPath(path))].read_bytes() == content.data for path, content in files.items())


def _write_file(path: Path, content: FileContent) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.data)
    path.chmod(content.mode)
    if content.owner is not None:
        os.chown(path, content.owner, -1)


def _top_names(files: Mapping[str, FileContent]) -> set[str]:
    return {PurePosixPath(path).parts[0] for path in files}


def _link_names(volume: Path, files: Mapping[str, FileContent]) -> None:
    for name in _top_names(files):
        link = volume / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA_LINK}/{name}")


def _remove_stale(volume: Path, files: Mapping[str, FileContent], *, keep: str) -> None:
    names = _top_names(files)
    for entry in volume.iterdir():
        if entry.name in (DATA_LINK, keep) or entry.name in names:
            continue
        if entry.is_symlink():
            entry.unlink()
        elif entry.name.startswith(".."):
            shutil.rmtree(entry, ignore_errors=True)
