"""The Pod's directory on the node: the network files of its containers and their termination messages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from agent.small_file import write_small_file
from agent.volumes.protocol import Mount
from control.api.objects import ReadOnlyObject

TERMINATION_MESSAGE_BYTES_MAX = 4096


class NetworkFiles(Protocol):
    """/etc/hosts, /etc/hostname and /etc/resolv.conf of a Pod."""

    def write(self, directory: Path, pod: ReadOnlyObject, pod_ips: Sequence[str]) -> list[str]:
        """Write them in place: containers hold the inode. Returns what of the Pod's DNS settings they cannot hold."""
        ...

    def mounts(self, directory: Path, taken: Collection[str]) -> list[Mount]:
        """Their mounts; `taken` are the paths that the container mounts itself."""
        ...


class PodFiles:
    """A directory per Pod under the agent's state directory."""

    def __init__(self, root: Path, network_files: NetworkFiles) -> None:
        self._root = root
        self._network_files = network_files

    def container_mounts(
        self, pod: ReadOnlyObject, container: ReadOnlyObject, *, attempt: int, pod_ip: str
    ) -> tuple[list[Mount], list[str]]:
        """Write the files. Returns their mounts, and what of the Pod's DNS settings they cannot hold. Blocking.

        A path that the container mounts itself is left to it.
        """
        pod_uid = pod["metadata"]["uid"]
        directory = self._root / pod_uid
        directory.mkdir(parents=True, exist_ok=True)
        warnings = self._network_files.write(directory, pod, [pod_ip] if pod_ip else [])
        message_path = container.get("terminationMessagePath") or "/dev/termination-log"
        message_file = self._message_file(pod_uid, container["name"], attempt)
        if not message_file.exists():
            write_small_file(message_file, b"", mode=0o666)  # any user of the container may leave a message
        taken = {mount["mountPath"] for mount in container.get("volumeMounts") or ()}
        mounts = self._network_files.mounts(directory, taken)
        if message_path not in taken:
            mounts.append(Mount(host_path=str(message_file), container_path=message_path))
        return mounts, warnings

    def termination_message(self, pod_uid: str, container_name: str, attempt: int) -> str:
        """The end of what the container left in its termination message file."""
        try:
            with self._message_file(pod_uid, container_name, attempt).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TERMINATION_MESSAGE_BYTES_MAX))
                return file.read(TERMINATION_MESSAGE_BYTES_MAX).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def remove(self, pod_uid: str) -> None:
        """Remove the Pod's directory."""
        shutil.rmtree(self._root / pod_uid, ignore_errors=True)

    def collect_garbage(self, wanted_pod_uids: frozenset[str]) -> None:
        """Remove the directories of Pods that are gone."""
        if not self._root.exists():
            return
        for directory in self._root.iterdir():
            if directory.name not in wanted_pod_uids:
                self.remove(directory.name)

    def _message_file(self, pod_uid: str, container_name: str, attempt: int) -> Path:
        return self._root / pod_uid / f"termination-{container_name}-{attempt}"
