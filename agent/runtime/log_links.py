"""The links that log collectors look for: /var/log/pods and /var/log/containers, as the kubelet's.

/var/log/pods/<namespace>_<pod>_<uid>/<container>/<attempt>.log    -> the file of Docker's driver
/var/log/containers/<pod>_<namespace>_<container>-<id>.log         -> the former
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from agent.runtime.identity import ContainerIdentity
from agent.runtime.protocol import ContainerRecord

TRIES_MAX = 3


class LogLinks:
    """Makes and removes the links of a node's Pods."""

    def __init__(self, root: Path = Path("/var/log")) -> None:
        """`root` holds `pods` and `containers`."""
        self._pods = root / "pods"
        self._containers = root / "containers"

    def link(self, identity: ContainerIdentity, record: ContainerRecord) -> None:
        """Link the log of a container; nothing if it is linked."""
        directory = self._pod_directory(identity.pod_namespace, identity.pod_name, identity.pod_uid)
        own = directory / identity.container_name / f"{identity.attempt}.log"
        _make_link(own, record.log_path)
        _make_link(self._containers / _collector_name(identity, record.id), str(own))

    def sweep(self) -> None:
        """Remove the links of containers that are gone, whoever made them, and the directories left empty by that.

        A container is gone with the directory of its log: the file itself may be missing while it is rotated.
        """
        for link in self._pods.glob("*/*/*.log"):
            if link.is_symlink() and not _exists(link.readlink().parent):
                link.unlink(missing_ok=True)
                _remove_empty(link.parent, link.parent.parent)
        for link in self._containers.glob("*.log"):
            if link.is_symlink() and link.readlink().is_relative_to(self._pods) and not link.readlink().is_symlink():
                link.unlink(missing_ok=True)

    def remove_pod(self, *, namespace: str, name: str, uid: str) -> None:
        """Remove everything of a Pod that is gone."""
        directory = self._pod_directory(namespace, name, uid)
        if self._containers.is_dir():
            for link in self._containers.glob(f"{name}_{namespace}_*.log"):
                if link.is_symlink() and directory in link.readlink().parents:
                    link.unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)

    def _pod_directory(self, namespace: str, name: str, uid: str) -> Path:
        return self._pods / f"{namespace}_{name}_{uid}"


def _collector_name(identity: ContainerIdentity, container_id: str) -> str:
    return f"{identity.pod_name}_{identity.pod_namespace}_{identity.container_name}-{container_id}.log"


def _make_link(link: Path, target: str) -> None:
    """Make or replace a link in a directory that another agent may just have found empty, and removed."""
    for _ in range(TRIES_MAX):
        try:
            os.symlink(target, link)
            return
        except FileNotFoundError:
            link.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            with suppress(FileNotFoundError):
                if os.readlink(link) == target:
                    return
                link.unlink()


def _exists(path: Path) -> bool:
    """Whether something is there, as far as this process may see."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _remove_empty(*directories: Path) -> None:
    with suppress(OSError):  # only succeeds when nothing is in them
        for directory in directories:
            directory.rmdir()
