"""What security contexts refer to on the node: seccomp profiles, and the accounts in an image's layers. Blocking.

Layers are overlay2's: directories of the engine, the topmost first. A file of an image may be a symbolic link with the
host's files at its end, so none is followed.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from agent.pods.container_configuration import ConfinementError
from agent.runtime.accounts import Accounts

ACCOUNT_FILE_BYTES_MAX = 1 << 20


class HostSecurityFiles:
    """Implements `agent.pods.container_configuration.SecurityFiles`."""

    def __init__(self, seccomp_profile_root: Path) -> None:
        self._seccomp_profile_root = seccomp_profile_root

    def read_seccomp_profile(self, name: str) -> str:
        """The profile as Docker takes it: JSON without blanks. Raises ConfinementError."""
        path = self._seccomp_profile_root / name
        if name.startswith("/") or ".." in Path(name).parts:
            raise ConfinementError(f'seccomp profile path must be relative and not contain "..", but got "{name}"')
        try:
            return json.dumps(json.loads(path.read_bytes()), separators=(",", ":"))
        except OSError as error:
            cause = f"open {path}: {(error.strerror or str(error)).lower()}"
            raise ConfinementError(f'cannot load seccomp profile "{path}": {cause}') from error
        except ValueError as error:
            raise ConfinementError(f'cannot load seccomp profile "{path}": {error}') from error

    def read_accounts(self, layers: Sequence[str]) -> Accounts | None:
        """The accounts of the image with these layers; None where they cannot be read."""
        if not layers:
            return None
        try:
            return Accounts(passwd=_read_file(layers, "passwd"), group=_read_file(layers, "group"))
        except OSError:
            return None


def _read_file(layers: Sequence[str], name: str) -> str:
    """The text of /etc/NAME of the image; empty if it has none. Raises OSError for what cannot be read or followed."""
    for layer in layers:
        os.stat(layer)
        directory, file = Path(layer, "etc"), Path(layer, "etc", name)
        if not os.path.lexists(directory):
            continue
        if _is_whiteout(directory):
            break
        if directory.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(directory))
        if os.path.lexists(file):
            return "" if _is_whiteout(file) else _read_regular(file)
        if _is_opaque(directory):
            break
    return ""


def _read_regular(file: Path) -> str:
    if not stat.S_ISREG(os.lstat(file).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(file))
    with file.open("rb") as opened:
        return opened.read(ACCOUNT_FILE_BYTES_MAX).decode("utf-8", "replace")


def _is_whiteout(path: Path) -> bool:
    """Whether a layer takes away what those below it have: a character device 0/0."""
    found = os.lstat(path)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(directory: Path) -> bool:
    """Whether a layer's directory hides those of the layers below it."""
    try:
        return os.getxattr(directory, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
