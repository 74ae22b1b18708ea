"""The links that log collectors look for: /var/log/pods and /var/log/containers, as the kubelet's.

/var/log/pods/<namespace>_<pod>_<uid>/<container>/<attempt>.log    -> the file of Docker's driver
/var/log/containers/<pod>_<namespace>_<container>-<id>.log         -> the former
"""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.runtime.identity import ContainerIdentity
from agent.runtime.protocol import ContainerRecord


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
        own.parent.mkdir(parents=True, exist_ok=True)
        self._containers.mkdir(parents=True, exist_ok=True)
        _replace_link(own, record.log_path)
        _replace_link(self._containers / _collector_name(identity, record.id), str(own))

    def unlink(self, identity: ContainerIdentity, container_id: str) -> None:
        """Remove the links of a container that is removed."""
        (self._containers / _collector_name(identity, container_id)).unlink(missing_ok=True)
        directory = self._pod_directory(identity.pod_namespace, identity.pod_name, identity.pod_uid)
        (directory / identity.container_name / f"{identity.attempt}.log").unlink(missing_ok=True)

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


def _replace_link(link: Path, target: str) -> None:
    if link.is_symlink():
        if str(link.readlink()) == target:
            return
        link.unlink()
    link.symlink_to(target)
