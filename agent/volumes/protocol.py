"""The volume seam: each type prepares a directory (or names a Docker volume) on the node before containers start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self

from control.api.objects import ReadOnlyObject

#: the step of a volume with files that is not told more exactly
SET_UP = "MountVolume.SetUp"


class VolumeError(Exception):
    """A volume cannot be prepared (yet); the worker retries.

    `step` is what the kubelet calls the step that failed, `reasons` are those of the Events that tell of it.
    """

    def __init__(self, message: str, *, step: str = SET_UP, reasons: Sequence[str] = ("FailedMount",)) -> None:
        super().__init__(message)
        self.step = step
        self.reasons = tuple(reasons)

    def about(self, volume_name: str) -> Self:
        """The same as an Event says it."""
        message = f'{self.step} failed for volume "{volume_name}" : {self}'
        return type(self)(message, step=self.step, reasons=self.reasons)


class MapError(VolumeError):
    """A block volume cannot be handed to containers."""

    def __init__(
        self, message: str, *, step: str = "MapVolume.SetUpDevice", reasons: Sequence[str] = ("FailedMapVolume",)
    ) -> None:
        super().__init__(message, step=step, reasons=reasons)


class ProcessingError(VolumeError):
    """It is not known yet what is to be mounted: the claim, its volume, or the type of that does not do."""


class EngineVolumeError(VolumeError):
    """The engine cannot mount a volume of its own. Each try costs a container, so they become rare."""


class ImageSubPathError(VolumeError):
    """A part of an image volume that cannot be mounted. To the kubelet that is the runtime's business."""


class UnmountedVolumesError(VolumeError):
    """Some volumes of a Pod cannot be prepared: `failures`, each to be told by itself. `unmounted` are their names."""

    def __init__(self, failures: Sequence[VolumeError], unmounted: Sequence[str]) -> None:
        super().__init__("; ".join(map(str, failures)))
        self.failures = tuple(failures)
        self.unmounted = tuple(unmounted)


def unmounted_message(unmounted: Sequence[str], unprocessed: Sequence[str], why: str) -> str:
    """How the kubelet sums up a Pod's volumes that are not there (WaitForAttachAndMount, v1.36)."""
    names, strangers = " ".join(sorted(unmounted)), " ".join(sorted(unprocessed))
    return (
        f"Unable to attach or mount volumes: unmounted volumes=[{names}], unattached volumes=[], "
        f"failed to process volumes=[{strangers}]: {why}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedVolume:
    """Where a prepared volume is on the host."""

    name: str
    host_path: Path
    read_only: bool = False
    #: a device for `volumeDevices`, not a place for `volumeMounts`
    is_block: bool = False
    #: name of the volume of the engine's own that it is: containers mount that, and not `host_path`
    docker_volume: str = ""
    #: the files of an image: what is missing there cannot be made
    is_image: bool = False
    #: the files are only there while something is mounted on `host_path`
    needs_mount: bool = False
    #: a group that all processes of the Pod get, so that they may use the volume
    group: int | None = None
    #: what its user should know: reason and message of an Event
    warning: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of a container: what `translate.py` turns into HostConfig.Devices."""

    host_path: str
    container_path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount of a container: of a path of the host or, if it is named, of a volume of the engine's own at that path.

    `translate.py` turns it into HostConfig.Mounts. `propagation` is for paths; an empty one is private, but that the
    engine lets its own mounts go on where `host_path` holds them (`/`).
    """

    host_path: str
    container_path: str
    docker_volume: str = ""
    read_only: bool = False
    propagation: str = ""
    #: read-only with all that is mounted below it
    recursive_read_only: bool = False


def is_recursive(volume_mount: ReadOnlyObject, *, possible: bool) -> bool:
    """Whether a container's mount of a volume is read-only with all that is mounted below it (KEP-3857)."""
    mode = volume_mount.get("recursiveReadOnly")
    return mode == "Enabled" or (mode == "IfPossible" and possible)


class ConfigurationSource(Protocol):
    """Where volumes read ConfigMaps and Secrets; backed by the API."""

    async def get_config_map(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """The ConfigMap, or None."""
        ...

    async def get_secret(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """The Secret, or None."""
        ...


class ObjectSource(ConfigurationSource, Protocol):
    """Where volumes read all else that they are made of, and ask for tokens; backed by the API."""

    async def get_claim(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """The PersistentVolumeClaim, or None."""
        ...

    async def get_volume(self, name: str) -> ReadOnlyObject | None:
        """The PersistentVolume, or None."""
        ...

    async def create_token(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Sequence[str],
        expiration_seconds: int,
        pod: ReadOnlyObject,
    ) -> str:
        """A token bound to the Pod (TokenRequest)."""
        ...


class VolumeManager(Protocol):
    """All volumes of a Pod (`manager` is upstream's word for it)."""

    async def mount_all(
        self, pod: ReadOnlyObject, image_layers: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> Mapping[str, MountedVolume]:
        """Prepare the volumes that containers of the Pod use; idempotent. Raises UnmountedVolumesError.

        `image_layers`, by name of the volume, are the directories of the images behind its image volumes.
        """
        ...

    async def refresh(self, pod: ReadOnlyObject, objects: ConfigurationSource) -> None:
        """Update configMap, secret, projected and downwardAPI volumes in place, atomically, from what is read there."""
        ...

    async def unmount_all(self, pod_uid: str) -> None:
        """Remove everything of the Pod from the node; idempotent."""
        ...

    async def are_held_by_containers(self, pod_uid: str) -> bool:
        """Whether the Pod's containers have to be removed before its volumes can be."""
        ...

    async def collect_garbage(self, wanted_pod_uids: frozenset[str]) -> None:
        """Remove directories of Pods that no longer exist."""
        ...

    def container_mounts(
        self,
        pod: ReadOnlyObject,
        container: ReadOnlyObject,
        volumes: Mapping[str, MountedVolume],
        environment: Mapping[str, str],
    ) -> list[Mount]:
        """The mounts of one container, subPath and subPathExpr resolved safely. Raises VolumeError."""
        ...

    def container_devices(self, container: ReadOnlyObject, volumes: Mapping[str, MountedVolume]) -> list[Device]:
        """The block devices of one container. Raises VolumeError."""
        ...

    def local_directories(self, pod: ReadOnlyObject) -> Mapping[str, Path]:
        """The directories, by volume, that count as the Pod's ephemeral storage; they may not exist."""
        ...

    async def read_file(self, volume: MountedVolume, path: str) -> str | None:
        """The text of a file of a volume, or None if there is none. Raises VolumeError."""
        ...
