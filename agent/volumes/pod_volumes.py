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
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.volumes import config_map, downward_api, empty_dir, host_path, image, local, projected, secret
from agent.volumes.atomic_writer import write_files
from agent.volumes.claimed_places import note_place
from agent.volumes.docker_volume import DOCKER_TYPES, needs_mount
from agent.volumes.file_reading import read_volume_file
from agent.volumes.mounting import can_mount, has_mount_attributes, mount_tmpfs, mounts_below, unmount
from agent.volumes.mounts import compute_devices, compute_mounts
from agent.volumes.ownership import apply_fs_group, group_warning
from agent.volumes.persistent_claim import VolumeSource, claimed_source
from agent.volumes.pod_directory import PodDirectory
from agent.volumes.protocol import (
    SET_UP,
    ConfigurationSource,
    Device,
    MapError,
    Mount,
    MountedVolume,
    ObjectSource,
    ProcessingError,
    UnmountedVolumesError,
    VolumeError,
    unmounted_message,
)
from agent.volumes.recursive_read_only import make_recursive
from agent.volumes.sub_path import prepare_sub_path
from agent.volumes.token_cache import TokenCache
from agent.volumes.volume_holders import VolumeHolders
from agent.volumes.volume_type import Files, VolumeRequest
from agent.volumes.volume_users import VolumeUsers
from agent.volumes.written_files import WrittenFiles
from control.api.clock import Clock
from control.api.meta import labels_of, name_of, uid_of
from control.api.objects import ReadOnlyObject
from control.api.volumes import allows_node, used_volumes

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
TYPES_OF_PODS = frozenset({*CONTENT_TYPES, *PLACE_TYPES, *DOCKER_TYPES})
TYPES_OF_CLAIMS = frozenset({"hostPath", *CLAIMED_TYPES, *DOCKER_TYPES})
# Types whose content is kept off the disk where the agent may mount, as the kubelet's.
MEMORY_TYPES = frozenset({"secret", "downwardAPI", "projected"})


class PodVolumes:
    """The volumes of all Pods of a node."""

    def __init__(
        self,
        *,
        root: Path,
        objects: ObjectSource,
        clock: Clock,
        node: Callable[[], ReadOnlyObject | None] = lambda: None,
        may_mount: bool | None = None,
        local_root: Path | None = None,
        engine_recurses: bool = False,
        holders: VolumeHolders | None = None,
    ) -> None:
        """`root` holds a directory per Pod and nothing else; `node` is the Node as the API has it, None before that.

        `engine_recurses`: the engine makes read-only mounts recursive where the agent cannot. Without `holders` there
        are no volumes of the engine's own.
        """
        self._root = root
        self._local_root = local_root or root.parent / "persistent"
        self._objects = objects
        self._clock = clock
        self._users = VolumeUsers(root)
        self._written = WrittenFiles()
        self._holders = holders
        self._tokens = TokenCache(objects=objects, clock=clock)
        self._node = node
        self._may_mount = can_mount() if may_mount is None else may_mount
        self._can_copy = self._may_mount and has_mount_attributes()
        self._engine_recurses = engine_recurses

    async def mount_all(
        self, pod: ReadOnlyObject, image_layers: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> Mapping[str, MountedVolume]:
        """Prepare the volumes that containers of the Pod use; idempotent. Raises UnmountedVolumesError.

        `image_layers`, by name of the volume, are the directories of the images behind its image volumes.
        """
        volumes = list(used_in(pod))
        results = await asyncio.gather(
            *(self._mount(pod, volume, image_layers.get(volume["name"], ())) for volume in volumes),
            return_exceptions=True,
        )
        mounted, failures = {}, {}
        for volume, result in zip(volumes, results, strict=True):
            if isinstance(result, MountedVolume):
                mounted[volume["name"]] = result
            elif isinstance(result, VolumeError):
                failures[volume["name"]] = result
            else:
                raise result
        if failures:
            raise _unmounted_volumes(failures)
        return mounted

    async def refresh(self, pod: ReadOnlyObject, objects: ConfigurationSource) -> None:
        """Update configMap, secret, projected and downwardAPI volumes in place, atomically, from what is read there."""
        for volume in used_in(pod):
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
        type_name = volume_type(volume)
        if type_name in CLAIM_TYPES:
            source = await claimed_source(self._objects, pod, volume)
        else:
            is_image = type_name == "image"
            source = VolumeSource(
                type_name=type_name, spec=volume.get(type_name) or {}, read_only=is_image, layers=layers
            )
        name = source.volume_name or volume["name"]
        if source.type_name not in (TYPES_OF_PODS if source.persistent_volume is None else TYPES_OF_CLAIMS):
            message = f'failed to get Plugin from volumeSpec for volume "{name}" err=no volume plugin matched'
            raise ProcessingError(message)
        with _in_the_kubelets_words(name, is_block=source.is_block):
            self._check_node(source)
            return await self._mount_source(self._request(pod, volume["name"], source, self._objects), source)

    def _check_node(self, source: VolumeSource) -> None:
        """Whether the PersistentVolume can be reached from this node: a Pod may name its node itself."""
        node = self._node()
        if node is None or source.persistent_volume is None:
            return
        if not allows_node(source.persistent_volume, name_of(node), labels_of(node)):
            step = f"{'MapVolume' if source.is_block else 'MountVolume'}.NodeAffinity check"
            raise VolumeError("no matching NodeSelectorTerms", step=step)

    async def _mount_source(self, request: VolumeRequest, source: VolumeSource) -> MountedVolume:
        type_name = source.type_name
        if type_name in DOCKER_TYPES:
            return await self._hold_docker_volume(request, source)
        if type_name in CONTENT_TYPES:
            await self._update_content(request, type_name)
            return MountedVolume(name=request.name, host_path=request.path, read_only=True)
        if source.mount_options and type_name in PLACE_TYPES:
            reasons = ("UnsupportedMountOption", "FailedMount")
            message = "Mount options are not supported for this volume type"
            raise VolumeError(message, step="MountVolume.MountOptionSupport check", reasons=reasons)
        is_shared = await self._use(uid_of(request.pod), source)
        request = replace(request, is_shared=is_shared)
        place = await asyncio.to_thread({**PLACE_TYPES, **CLAIMED_TYPES}[type_name], request)
        if type_name in CLAIMED_TYPES and not source.is_block:
            await asyncio.to_thread(note_place, self._directory(uid_of(request.pod)), request.name, place)
        return MountedVolume(
            name=request.name,
            host_path=place,
            read_only=source.read_only,
            is_block=source.is_block,
            is_image=type_name == "image",
            group=source.group,
            warning=await asyncio.to_thread(group_warning, request, place) if is_shared else None,
        )

    async def _use(self, pod_uid: str, source: VolumeSource) -> bool:
        """Note that the Pod uses a PersistentVolume; returns whether others do. Raises VolumeError if they must not."""
        if source.persistent_volume is None:
            return False
        return await self._users.add(pod_uid, source.volume_name, is_exclusive=source.is_exclusive)

    async def _hold_docker_volume(self, request: VolumeRequest, source: VolumeSource) -> MountedVolume:
        """The volume's directory says that there is something to release, also to the next agent."""
        if source.is_block:
            raise VolumeError("a Docker volume is a directory: volumeMode Block is not supported")
        if self._holders is None:
            raise VolumeError("Docker volumes are not supported here")
        wanted = await DOCKER_TYPES[source.type_name](request.pod, request.name, source, self._objects)
        await self._use(uid_of(request.pod), source)
        await asyncio.to_thread(lambda: request.path.mkdir(parents=True, exist_ok=True))
        held = await self._holders.hold(request.pod, request.name, wanted)
        return MountedVolume(
            name=request.name,
            host_path=Path(held.mountpoint),
            read_only=wanted.read_only,
            group=source.group,
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
            node_allocatable=((self._node() or {}).get("status") or {}).get("allocatable") or {},
            may_mount=self._may_mount,
            volume_name=source.volume_name,
            is_block=source.is_block,
            read_only=source.read_only,
            size_bytes=source.size_bytes,
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
            mount_tmpfs(request.path)

        def set_permissions(written: Path) -> None:
            if request.fs_group is not None:
                apply_fs_group(request.path, request.fs_group, read_only=True)

        write_files(request.path, files, now=self._clock.now(), set_permissions=set_permissions)
        self._written.note(pod_uid, request.path, files)

    def _directory(self, pod_uid: str) -> PodDirectory:
        return PodDirectory(self._root / pod_uid)


@contextmanager
def _in_the_kubelets_words(volume_name: str, *, is_block: bool = False) -> Iterator[None]:
    try:
        yield
    except ProcessingError:
        raise
    except VolumeError as error:
        needs_step = is_block and error.step == SET_UP
        raise (MapError(str(error)) if needs_step else error).about(volume_name) from error
    except OSError as error:
        detail = f"{error.strerror}: {error.filename}" if error.filename else error.strerror or str(error)
        raise (MapError(detail) if is_block else VolumeError(detail)).about(volume_name) from error


def _unmounted_volumes(failures: Mapping[str, VolumeError]) -> UnmountedVolumesError:
    """One error of all. What could not be processed is summed up, as it is not a single volume's step that failed."""
    unprocessed = {name: error for name, error in failures.items() if isinstance(error, ProcessingError)}
    told = [error for name, error in failures.items() if name not in unprocessed]
    if unprocessed:
        why = "; ".join(map(str, unprocessed.values()))
        told.append(ProcessingError(unmounted_message(list(failures), list(unprocessed), why)))
    return UnmountedVolumesError(told, list(failures))


def used_in(pod: ReadOnlyObject) -> Iterator[Mapping[str, Any]]:
    """The volumes of a Pod that its containers use; others are never mounted."""
    mounted, mapped = used_volumes(pod)
    return (volume for volume in pod["spec"].get("volumes") or () if volume["name"] in mounted | mapped)


def volume_type(volume: Mapping[str, Any]) -> str:
    """The type of a Pod's volume: the one field beside its name."""
    return next((name for name, value in volume.items() if name != "name" and value is not None), "emptyDir")


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
