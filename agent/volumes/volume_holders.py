"""Volumes of the engine's own, held mounted for as long as their Pod lives.

Docker mounts a volume for a container and unmounts it after the last one. So each such volume of a Pod has a holder: a
pause container that does nothing but mount it. It makes the volume, shows before any container of the Pod whether it
can be mounted, keeps its files at hand for subPath, and what is in memory (`type: tmpfs`) over container restarts. The
holder's labels are the record of what is to be released.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent.runtime.identity import (
    DISPOSABLE_LABEL,
    HELD_VOLUME_LABEL,
    POD_UID_LABEL,
    NodeIdentity,
    container_name,
    holder_labels,
    volume_labels,
)
from agent.runtime.protocol import (
    ContainerRecord,
    ContainerState,
    CreateBody,
    NameConflictError,
    Runtime,
    RuntimeFailure,
)
from agent.runtime.volume_records import VolumeRecord
from agent.volumes.docker_volume import DockerVolume
from agent.volumes.protocol import EngineVolumeError
from control.api.objects import ReadOnlyObject

PLACE = "/volume"
_UNKNOWN_PROTOCOL = "protocol not supported"
_CAUSES_TO_GO_ON = (_UNKNOWN_PROTOCOL, "invalid argument", "no such file or directory", "connection refused")


class VolumeHolders:
    """The holders of one node. `image` is that of the pause container."""

    def __init__(self, runtime: Runtime, owner: NodeIdentity, image: str) -> None:
        self._runtime = runtime
        self._owner = owner
        self._image = image

    async def hold(self, pod: ReadOnlyObject, volume_name: str, wanted: DockerVolume) -> VolumeRecord:
        """Make the volume if it does not exist, and mount it; idempotent. Raises EngineVolumeError."""
        name = container_name(pod, f"VOLUME.{volume_name}", 0)
        failures: list[RuntimeFailure] = []
        with _as_volume_error():
            for choice in wanted.in_turn():
                try:
                    return await self._hold(name, self._body(pod, choice), wanted)
                except RuntimeFailure as failure:
                    failures.append(failure)
                    if not _asks_for_another_choice(failure):
                        break
            raise min(failures, key=_says_little)

    async def _hold(self, name: str, body: CreateBody, wanted: DockerVolume) -> VolumeRecord:
        holder_id, is_running = await self._ensure_holder(name, body)
        try:
            if not is_running:
                await self._runtime.start_container(holder_id)
            return await self._inspect(wanted)
        except (RuntimeFailure, EngineVolumeError):
            # The next try must see other options, if the volume or its secret has others by then.
            await self._runtime.remove_container(holder_id)
            await self._dispose(wanted.name)
            raise

    async def release(self, pod_uid: str) -> None:
        """Remove the Pod's holders, and the volumes that nobody needs; idempotent. Raises EngineVolumeError."""
        with _as_volume_error():
            for holder in await self._list_holders({POD_UID_LABEL: pod_uid}):
                await self._release(holder)

    async def collect_garbage(self, wanted_pod_uids: frozenset[str]) -> None:
        """Remove holders of Pods that no longer exist, and volumes whose removal a crash has cut short."""
        with _as_volume_error():
            for holder in await self._list_holders({}):
                if holder.labels.get(POD_UID_LABEL) not in wanted_pod_uids:
                    await self._release(holder)
            await remove_volumes(self._runtime, self._owner.cluster, disposable_only=True)

    async def _ensure_holder(self, name: str, body: CreateBody) -> tuple[str, bool]:
        """The holder's id, and whether it runs. One that does not run was made by a try that failed, or has died."""
        try:
            return await self._runtime.create_container(name, body), False
        except NameConflictError:
            existing = await self._runtime.inspect_container(name)
            if existing.state is ContainerState.RUNNING:
                return existing.id, True
            await self._runtime.remove_container(existing.id)
            return await self._runtime.create_container(name, body), False

    async def _inspect(self, wanted: DockerVolume) -> VolumeRecord:
        """The volume as it is. The engine takes one that exists, whatever options it has."""
        volume = await self._runtime.find_volume(wanted.name)
        if volume is None:
            raise EngineVolumeError(f'Docker volume "{wanted.name}" vanished')
        if not wanted.may_be(volume):
            raise EngineVolumeError(f'Docker volume "{wanted.name}" exists with another driver or other options')
        return volume

    async def _list_holders(self, labels: Mapping[str, str]) -> list[ContainerRecord]:
        return await self._runtime.list_containers({**self._owner.holder_labels(), **labels})

    async def _release(self, holder: ContainerRecord) -> None:
        await self._runtime.remove_container(holder.id)
        await self._dispose(holder.labels.get(HELD_VOLUME_LABEL, ""))

    async def _dispose(self, volume_name: str) -> None:
        """Remove a volume of ours that holds nothing; the engine keeps it while another Pod uses it."""
        volume = await self._runtime.find_volume(volume_name)
        ours = volume_labels(self._owner.cluster, is_disposable=True)
        if volume is not None and ours.items() <= volume.labels.items():
            await self._runtime.remove_volume(volume_name)

    def _body(self, pod: ReadOnlyObject, wanted: DockerVolume) -> CreateBody:
        options: dict[str, Any] = {
            "NoCopy": True,
            "Labels": volume_labels(self._owner.cluster, is_disposable=wanted.is_disposable),
        }
        if wanted.driver:
            options["DriverConfig"] = {"Name": wanted.driver, "Options": dict(wanted.options)}
        return {
            "Image": self._image,
            "Labels": holder_labels(self._owner, pod, wanted.name),
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                "NetworkMode": "none",
                "RestartPolicy": {"Name": "no"},
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "Mounts": [{"Type": "volume", "Source": wanted.name, "Target": PLACE, "VolumeOptions": options}],
            },
        }


def _says_little(failure: RuntimeFailure) -> bool:
    return _UNKNOWN_PROTOCOL in str(failure)


def _asks_for_another_choice(failure: RuntimeFailure) -> bool:
    """Whether mount.nfs would go on to an older version: the server lacks this one, or exports no such path in it."""
    return any(cause in str(failure) for cause in _CAUSES_TO_GO_ON)


async def remove_volumes(runtime: Runtime, cluster: str, *, disposable_only: bool) -> None:
    """Remove the volumes that were made for a cluster and that no container uses. Raises RuntimeFailure."""
    for volume in await runtime.list_volumes(volume_labels(cluster, is_disposable=False)):
        if not disposable_only or DISPOSABLE_LABEL in volume.labels:
            await runtime.remove_volume(volume.name)


@contextmanager
def _as_volume_error() -> Iterator[None]:
    try:
        yield
    except RuntimeFailure as error:
        raise EngineVolumeError(str(error)) from error
