"""What one start of a container is made of: environment, mounts, labels, and what its Pod says in other objects.

Called by `container_start.py` before the engine is asked for anything; every obstacle is a ConfigurationError or a
VolumeError, which the Pod's owner can mend.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from agent.pods.actions import StartContainer
from agent.pods.container_cache import ContainerCache
from agent.pods.environment import (
    ConfigurationError,
    EnvironmentInputs,
    FileReference,
    Reference,
    environment_references,
    expand_all,
    file_references,
    make_environment,
)
from agent.pods.field_reference import NodeFacts
from agent.pods.pod_files import PodFiles
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import is_host_network
from agent.pods.runtime_class import RuntimeHandlers
from agent.runtime.accounts import Accounts
from agent.runtime.identity import NodeIdentity, container_labels, hide_image_labels
from agent.runtime.image_reference import qualified_reference
from agent.runtime.protocol import ImageRecord
from agent.runtime.security_settings import (
    SECCOMP_OF_DOCKER,
    SECCOMP_UNCONFINED,
    is_strict,
    needs_accounts,
    run_as_root_error,
    seccomp_profile,
)
from agent.runtime.translate import ContainerRequest, HostLimits
from agent.volumes.protocol import Mount, ObjectSource, VolumeManager
from control.api.objects import ReadOnlyObject


class ConfinementError(Exception):
    """A profile that shall confine a container cannot be had; the container is not created."""


class SecurityFiles(Protocol):
    """What security contexts refer to on the node. Blocking: called in threads."""

    def read_seccomp_profile(self, name: str) -> str:
        """The profile of a `localhostProfile` as Docker takes it. Raises ConfinementError."""
        ...

    def read_accounts(self, layers: Sequence[str]) -> Accounts | None:
        """The users and groups of the image with these layers; None where they cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxReference:
    """The sandbox that a container joins. It need not run before the container starts."""

    id: str
    ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterSettings:
    """What containers are made with, besides their Pod."""

    owner: NodeIdentity
    host: HostLimits
    node_facts: Callable[[], NodeFacts]
    host_ip: Callable[[], str]
    security_files: SecurityFiles
    cgroup_parent: Callable[[ReadOnlyObject], str]
    allocate_gpus: Callable[[ReadOnlyObject, ReadOnlyObject], Sequence[str]]
    #: whether Docker's profile confines containers that name none (the kubelet's seccompDefault)
    seccomp_default: bool = False


class ContainerConfigurer:
    """Puts together what containers are made with."""

    def __init__(
        self,
        *,
        cache: ContainerCache,
        volumes: VolumeManager,
        files: PodFiles,
        objects: ObjectSource,
        services: Callable[[], Sequence[ReadOnlyObject]],
        handlers: RuntimeHandlers,
        record: Callable[..., None],
        settings: StarterSettings,
    ) -> None:
        self._cache = cache
        self._volumes = volumes
        self._files = files
        self._objects = objects
        self._services = services
        self._handlers = handlers
        self._record = record
        self._settings = settings

    async def configure(
        self,
        pod_record: PodRecord,
        container: ReadOnlyObject,
        action: StartContainer,
        sandbox: SandboxReference,
        image: ImageRecord,
    ) -> ContainerRequest:
        """What the container is created from.

        Raises ConfigurationError, VolumeError, ConfinementError, RuntimeFailure.
        """
        pod, settings = pod_record.allocated or pod_record.pod, self._settings
        image_user = str(image.config.get("User") or "")
        root_error = run_as_root_error(pod, container, image_user)
        if root_error:
            raise ConfigurationError(root_error)
        host_ip = settings.host_ip()
        pod_ip = host_ip if is_host_network(pod) else sandbox.ip
        inputs = EnvironmentInputs(
            objects=await self._read_references(pod, environment_references(container)),
            files=await self._read_files(pod_record, file_references(container)),
            services=self._services(),
            pod_ip=pod_ip,
            host_ip=host_ip,
            node=settings.node_facts(),
        )
        environment = make_environment(pod, container, inputs)
        make_mounts = partial(self._make_mounts, pod_record, container, environment, action.attempt, pod_ip)
        mounts, warnings = await asyncio.to_thread(make_mounts)
        if action.attempt == 0:
            for message in warnings:
                self._record(pod, "Warning", "DNSConfigForming", message)
        gpus = settings.allocate_gpus(pod, container)
        return ContainerRequest(
            pod=pod,
            container=container,
            image=qualified_reference(str(container.get("image", ""))),
            sandbox_id=sandbox.id,
            labels=hide_image_labels(
                container_labels(
                    settings.owner,
                    pod,
                    container,
                    attempt=action.attempt,
                    sandbox_id=sandbox.id,
                    backoff_seconds=action.backoff_seconds,
                    round=action.round,
                    is_recursive=any(mount.recursive_read_only for mount in mounts),
                    gpus=gpus,
                ),
                image.config.get("Labels") or {},
            ),
            target_id=self._target_id(pod_record, container),
            runtime=await self._handlers.find(pod),
            host=settings.host,
            cgroup_parent=settings.cgroup_parent(pod),
            image_user=image_user,
            accounts=await self._read_accounts(pod, container, image),
            volume_groups=sorted(
                volume.group for volume in (pod_record.volumes or {}).values() if volume.group is not None
            ),
            seccomp_profile=await self._find_seccomp_profile(pod, container),
            environment=list(environment.items()),
            command=expand_all(container.get("command") or (), environment),
            args=expand_all(container.get("args") or (), environment),
            mounts=mounts,
            devices=self._volumes.container_devices(container, pod_record.volumes or {}),
            gpus=gpus,
        )

    def _make_mounts(
        self,
        pod_record: PodRecord,
        container: ReadOnlyObject,
        environment: Mapping[str, str],
        attempt: int,
        pod_ip: str,
    ) -> tuple[list[Mount], list[str]]:
        """The mounts of volumes, of the Pod's network files and of the termination message; warnings about the second.

        In a thread: the server of a network volume may not answer. Raises ConfigurationError, VolumeError.
        """
        pod = pod_record.allocated or pod_record.pod
        mounts = self._volumes.container_mounts(pod, container, pod_record.volumes or {}, environment)
        try:
            files, warnings = self._files.container_mounts(pod, container, attempt=attempt, pod_ip=pod_ip)
        except OSError as error:
            raise ConfigurationError(f"cannot write the files of the container: {error.strerror}") from error
        return [*mounts, *files], warnings

    async def _read_accounts(
        self, pod: ReadOnlyObject, container: ReadOnlyObject, image: ImageRecord
    ) -> Accounts | None:
        """The image's users and groups, where it takes more than Docker to know a container's groups."""
        if not needs_accounts(pod, container, str(image.config.get("User") or "")):
            return None
        accounts = await asyncio.to_thread(self._settings.security_files.read_accounts, image.layers)
        if accounts is None and is_strict(pod):
            raise ConfigurationError(
                f"cannot apply supplementalGroupsPolicy Strict to container {container['name']}: "
                "the users of its image cannot be read"
            )
        return accounts

    async def _find_seccomp_profile(self, pod: ReadOnlyObject, container: ReadOnlyObject) -> str:
        """What confines the container's system calls, as a ContainerRequest says it. Raises ConfinementError."""
        profile = seccomp_profile(pod, container, is_confined_by_default=self._settings.seccomp_default)
        match profile["type"]:
            case "Unconfined":
                return SECCOMP_UNCONFINED
            case "Localhost":
                name = str(profile.get("localhostProfile") or "")
                return await asyncio.to_thread(self._settings.security_files.read_seccomp_profile, name)
            case _:
                return SECCOMP_OF_DOCKER

    async def _read_references(
        self, pod: ReadOnlyObject, references: Sequence[Reference]
    ) -> dict[Reference, ReadOnlyObject | None]:
        namespace = pod["metadata"]["namespace"]
        found: dict[Reference, ReadOnlyObject | None] = {}
        for reference in references:
            read: Any = self._objects.get_config_map if reference.kind == "configmap" else self._objects.get_secret
            found[reference] = await read(namespace, reference.name)
        return found

    async def _read_files(
        self, pod_record: PodRecord, references: Sequence[FileReference]
    ) -> dict[FileReference, str | None]:
        """Raises ConfigurationError, VolumeError."""
        found: dict[FileReference, str | None] = {}
        for reference in references:
            volume = (pod_record.volumes or {}).get(reference.volume)
            if volume is None:
                raise ConfigurationError(f'cannot find the volume "{reference.volume}" that a fileKeyRef names')
            found[reference] = await self._volumes.read_file(volume, reference.path)
        return found

    def _target_id(self, pod_record: PodRecord, container: ReadOnlyObject) -> str:
        """The container whose processes an ephemeral container asks to see. Raises ConfigurationError."""
        name = container.get("targetContainerName")
        if not name:
            return ""
        target = pod_record.observe(self._cache).find(name)
        if target is None or not target.is_running:
            raise ConfigurationError(f"unable to find target container {name}")
        return target.id
