"""All volumes of a Pod: preparing them before its containers start, keeping them current, removing them.

Implements `protocol.VolumeManager`. `CONTENT_TYPES` and `PLACE_TYPES` are the catalogue of volume types, with
`DOCKER_TYPES` of docker_volume.py; a new type is a file of its own and a line here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.volumes import config_map, downward_api, empty_dir, host_path, image, local, projected, secret
from agent.volumes.atomic_writer import write_files
from agent.volumes.docker_volume import DOCKER_TYPES, needs_mount
from agent.volumes.exclusive_volumes import ExclusiveVolumes
from agent.volumes.file_reading import read_volume_file
from agent.volumes.mounting import can_mount, has_mount_attributes, mount_tmpfs, mounts_below, unmount
from agent.volumes.mounts import compute_devices, compute_mounts
from agent.volumes.ownership import apply_fs_group, has_group
from agent.volumes.persistent_claim import VolumeSource, claimed_source
from agent.volumes.pod_directory import PodDirectory
from agent.volumes.protocol import (
    ConfigurationSource,
    Device,
    Mount,
    MountedVolume,
    MountOptionError,
    ObjectSource,
    VolumeError,
)
from agent.volumes.recursive_read_only import make_recursive
from agent.volumes.sub_path import prepare_sub_path
from agent.volumes.token_cache import TokenCache
from agent.volumes.volume_holders import VolumeHolders
from agent.volumes.volume_type import Files, VolumeRequest
from agent.volumes.written_files import WrittenFiles
from control.api.clock import Clock
from control.api.meta import uid_of
from control.api.objects import ReadOnlyObject

# Types whose files come from the API, and how they are collected. Their mounts are read-only.
CONTENT_TYPES: Mapping[str, Callable[[VolumeRequest], Awaitable[Files]]] = {
    "configMap": config_map.collect_files,
    "secret": secret.collect_files,
    "downwardAPI": downward_api.collect_files,
    "projected": projected.collect_files,
}
# Types that are a place on the node, and how it is prepared.
PLACE_TYPES: Mapping[str, Callable[[VolumeRequest], Path]] = {
    "emptyDir": empty_dir.prepare,
    "hostPath": host_path.prepare,
    "image": image.prepare,
}
# Places that only a claim can have; their files are given to the Pod's group at every mount.
CLAIMED_TYPES: Mapping[str, Callable[[VolumeRequest], Path]] = {"local": local.prepare}
# Types that stand for another volume, which the API names.
CLAIM_TYPES = frozenset({"persistentVolumeClaim", "ephemeral"})
# Types whose content is kept off the disk where the agent may mount, as the kubelet's.
MEMORY_TYPES = frozenset({"secret", "downwardAPI", "projected"})
MEMORY_MODE = 0o1777


class PodVolumes:
    """The volumes of all Pods of a node."""

    def __init__(
        self,
        *,
        root: Path,
        objects: ObjectSource,
        clock: Clock,
        node_allocatable: Callable[[], Mapping[str, str]] = dict,
        may_mount: bool | None = None,
        local_root: Path | None = None,
        engine_recurses: bool = False,
        holders: VolumeHolders | None = None,
    ) -> None:
        """`root` holds a directory per Pod and nothing else; `node_allocatable` is what a missing limit means.

        `engine_recurses`: the engine makes read-only mounts recursive where the agent cannot. Without `holders` there
        are no volumes of the engine's own.
        """
        self._root = root
        self._local_root = local_root or root.parent / "persistent"
        self._objects = objects
        self._clock = clock
        self._exclusive = ExclusiveVolumes(root)
        self._written = WrittenFiles()
        self._holders = holders
        self._tokens = TokenCache(objects=objects, clock=clock)
        self._node_allocatable = node_allocatable
        self._may_mount = can_mount() if may_mount is None else may_mount
        self._can_copy = self._may_mount and has_mount_attributes()
        self._engine_recurses = engine_recurses

    async def mount_all(
        self, pod: ReadOnlyObject, image_layers: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> Mapping[str, MountedVolume]:
        """Prepare every volume of the Pod; idempotent. Raises VolumeError in the words of a FailedMount event.

        `image_layers`, by name of the volume, are the directories of the images behind its image volumes.
        """
        volumes = pod["spec"].get("volumes") or ()
        mounted = await asyncio.gather(
            *(self._mount(pod, volume, image_layers.get(volume["name"], ())) for volume in volumes)
        )
        return {volume.name: volume for volume in mounted}

    async def refresh(self, pod: ReadOnlyObject, objects: ConfigurationSource) -> None:
        """Update configMap, secret, projected and downwardAPI volumes in place, atomically, from what is read there."""
        for volume in pod["spec"].get("volumes") or ():
            type_name = volume_type(volume)
            if type_name in CONTENT_TYPES:
                source = VolumeSource(type_name=type_name, spec=volume.get(type_name) or {})
                with _in_the_kubelets_words(volume["name"]):
                    await self._update_content(self._request(pod, volume["name"], source, objects), type_name)

    async def unmount_all(self, pod_uid: str) -> None:
        """Remove everything of the Pod from the node; idempotent."""
        self._tokens.forget_pod(pod_uid)
        self._written.forget_pod(pod_uid)
        if self._holders is not None and await self.are_held_by_containers(pod_uid):
            await self._holders.release(pod_uid)
        await asyncio.to_thread(_remove_tree, self._directory(pod_uid).path)

    async def are_held_by_containers(self, pod_uid: str) -> bool:
        """Volumes of the engine's own are: it keeps them while there is a container that names them."""
        return await asyncio.to_thread(self._directory(pod_uid).has_volumes, DOCKER_TYPES)

    async def collect_garbage(self, wanted_pod_uids: frozenset[str]) -> None:
        """Remove directories of Pods that no longer exist."""
        for name in await asyncio.to_thread(_entries, self._root):
            if name not in wanted_pod_uids:
                await self.unmount_all(name)
        if self._holders is not None:
            await self._holders.collect_garbage(wanted_pod_uids)

    async def read_file(self, volume: MountedVolume, path: str) -> str | None:
        """The text of a file of a volume, or None if there is none. Raises VolumeError."""
        return await asyncio.to_thread(read_volume_file, volume.host_path, path)

    def container_mounts(
        self,
        pod: ReadOnlyObject,
        container: ReadOnlyObject,
        volumes: Mapping[str, MountedVolume],
        environment: Mapping[str, str],
    ) -> list[Mount]:
        """The mounts of one container, subPath and subPathExpr resolved safely. Raises VolumeError."""
        directory = self._directory(pod["metadata"]["uid"])

        def resolve_sub_path(volume: MountedVolume, sub_path: str, index: int) -> Path:
            if volume.docker_volume:
                self._check_is_here(volume)
            bound = directory.sub_path(volume.name, container["name"], index)
            return prepare_sub_path(volume.host_path, sub_path, bound, may_bind=self._may_mount)

        def place_of_copy(volume_name: str, index: int) -> Path:
            if volumes[volume_name].docker_volume:
                self._check_is_here(volumes[volume_name])
            return directory.read_only(volume_name, container["name"], index)

        return make_recursive(
            container,
            compute_mounts(container, volumes, environment, resolve_sub_path),
            place_of_copy,
            can_copy=self._can_copy,
            engine_recurses=self._engine_recurses,
        )

    def container_devices(self, container: ReadOnlyObject, volumes: Mapping[str, MountedVolume]) -> list[Device]:
        """The block devices of one container. Raises VolumeError."""
        return compute_devices(container, volumes)

    def local_directories(self, pod: ReadOnlyObject) -> dict[str, Path]:
        """Where emptyDir volumes on the disk and configMap volumes are (upstream's IsLocalEphemeralVolume)."""
        directory = self._directory(pod["metadata"]["uid"])
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            type_name = volume_type(volume)
            if type_name == "configMap" or (type_name == "emptyDir" and not (volume["emptyDir"].get("medium"))):
                found[volume["name"]] = directory.volume(type_name, volume["name"])
        return found

    def _check_is_here(self, volume: MountedVolume) -> None:
        """Whether the files of a volume of the engine's are where the engine says. Raises VolumeError."""
        if not self._may_mount:
            raise VolumeError("a Docker volume has no subPath here: the engine's files are out of the agent's reach")
        if volume.needs_mount and not os.path.ismount(volume.host_path):
            raise VolumeError(f'Docker volume "{volume.docker_volume}" is not mounted at {volume.host_path}')

    async def _mount(self, pod: ReadOnlyObject, volume: Mapping[str, Any], layers: Sequence[str]) -> MountedVolume:
        with _in_the_kubelets_words(volume["name"]):
            type_name = volume_type(volume)
            if type_name in CLAIM_TYPES:
                source = await claimed_source(self._objects, pod, volume)
            else:
                is_image = type_name == "image"
                source = VolumeSource(
                    type_name=type_name, spec=volume.get(type_name) or {}, read_only=is_image, layers=layers
                )
        with _in_the_kubelets_words(source.volume_name or volume["name"]):
            if source.is_exclusive:
                await self._exclusive.take(uid_of(pod), source.volume_name)
            return await self._mount_source(self._request(pod, volume["name"], source, self._objects), source)

    async def _mount_source(self, request: VolumeRequest, source: VolumeSource) -> MountedVolume:
        type_name = source.type_name
        if type_name in DOCKER_TYPES:
            return await self._hold_docker_volume(request, source)
        if type_name in CONTENT_TYPES:
            await self._update_content(request, type_name)
            return MountedVolume(name=request.name, host_path=request.path, read_only=True)
        prepare = PLACE_TYPES.get(type_name) or (CLAIMED_TYPES.get(type_name) if source.volume_name else None)
        if prepare is None:
            raise VolumeError(f"volume type {type_name} is not supported")
        if source.mount_options and type_name in PLACE_TYPES:
            raise MountOptionError("Mount options are not supported for this volume type")
        place = await asyncio.to_thread(_prepare_place, request, type_name, prepare)
        return MountedVolume(name=request.name, host_path=place, read_only=source.read_only, is_block=source.is_block)

    async def _hold_docker_volume(self, request: VolumeRequest, source: VolumeSource) -> MountedVolume:
        """The volume's directory says that there is something to release, also to the next agent."""
        if source.is_block:
            raise VolumeError("a Docker volume is a directory: volumeMode Block is not supported")
        if self._holders is None:
            raise VolumeError("Docker volumes are not supported here")
        wanted = await DOCKER_TYPES[source.type_name](request.pod, request.name, source, self._objects)
        await asyncio.to_thread(lambda: request.path.mkdir(parents=True, exist_ok=True))
        held = await self._holders.hold(request.pod, request.name, wanted)
        return MountedVolume(
            name=request.name,
            host_path=Path(held.mountpoint),
            read_only=wanted.read_only,
            docker_volume=held.name,
            needs_mount=needs_mount(held.driver, held.options),
        )

    def _request(
        self, pod: ReadOnlyObject, name: str, source: VolumeSource, objects: ConfigurationSource
    ) -> VolumeRequest:
        return VolumeRequest(
            pod=pod,
            name=name,
            spec=source.spec,
            path=self._directory(pod["metadata"]["uid"]).volume(source.type_name, name),
            objects=objects,
            tokens=self._tokens,
            node_allocatable=self._node_allocatable(),
            may_mount=self._may_mount,
            is_block=source.is_block,
            read_only=source.read_only,
            mount_options=source.mount_options,
            layers=source.layers,
            local_root=self._local_root,
        )

    async def _update_content(self, request: VolumeRequest, type_name: str) -> None:
        files = await CONTENT_TYPES[type_name](request)
        await asyncio.to_thread(self._write_content, request, files, type_name in MEMORY_TYPES)

    def _write_content(self, request: VolumeRequest, files: Files, in_memory: bool) -> None:
        pod_uid = uid_of(request.pod)
        if self._written.has(pod_uid, request.path, files):
            return
        if not request.path.exists():
            request.path.mkdir(parents=True)
            request.path.chmod(empty_dir.MODE)
        if in_memory and self._may_mount and not os.path.ismount(request.path):
            mount_tmpfs(request.path, mode=MEMORY_MODE)
        group = _fs_group(request.pod)

        def set_permissions(written: Path) -> None:
            if group is not None:
                apply_fs_group(request.path, group, read_only=True)

        write_files(request.path, files, now=self._clock.now(), set_permissions=set_permissions)
        self._written.note(pod_uid, request.path, files)

    def _directory(self, pod_uid: str) -> PodDirectory:
        return PodDirectory(self._root / pod_uid)


@contextmanager
def _in_the_kubelets_words(volume_name: str) -> Iterator[None]:
    try:
        yield
    except VolumeError as error:
        raise type(error)(f'{error.failure} for volume "{volume_name}" : {error}') from error
    except OSError as error:
        detail = f"{error.strerror}: {error.filename}" if error.filename else error.strerror or str(error)
        raise VolumeError(f'{VolumeError.failure} for volume "{volume_name}" : {detail}') from error


def volume_type(volume: Mapping[str, Any]) -> str:
    """The type of a Pod's volume: the one field beside its name."""
    return next((name for name, value in volume.items() if name != "name" and value is not None), "emptyDir")


def _prepare_place(request: VolumeRequest, type_name: str, prepare: Callable[[VolumeRequest], Path]) -> Path:
    """fsGroup applies to what is the Pod's: an emptyDir when it is made, a claimed place each time."""
    is_new = not request.path.exists()
    place = prepare(request)
    group = _fs_group(request.pod)
    if group is None or request.is_block:
        return place
    is_claimed = type_name in CLAIMED_TYPES and not (_only_on_mismatch(request.pod) and has_group(place, group))
    if is_claimed or (type_name == "emptyDir" and is_new):
        apply_fs_group(place, group, read_only=False)
    return place


def _fs_group(pod: ReadOnlyObject) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def _only_on_mismatch(pod: ReadOnlyObject) -> bool:
    return (pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy") == "OnRootMismatch"


def _remove_tree(directory: Path) -> None:
    """Unmount, look again, and only then delete: below a mount that stayed are files that are not the Pod's."""
    for point in mounts_below(directory):
        try:
            unmount(point)
        except OSError as error:
            raise VolumeError(f"cannot unmount {point}: {error.strerror}") from error
    left = mounts_below(directory)
    if left:
        raise VolumeError(f"cannot remove {directory}: {left[0]} is still mounted")
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise VolumeError(f"cannot remove {directory}: {error.strerror}") from error


def _entries(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return []
