"""Starting one container: image, configuration, create, start, post-start hook; each obstacle in the kubelet's words.

Called by the executor for `StartContainer`. The order, the reasons and the Event texts are those of the kubelet's
startContainer (pkg/kubelet/kuberuntime/kuberuntime_container.go, v1.36).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from agent.pods.actions import StartContainer, StopContainer
from agent.pods.container_cache import ContainerCache
from agent.pods.container_configuration import ConfinementError, ContainerConfigurer, SandboxReference, StarterSettings
from agent.pods.environment import ConfigurationError
from agent.pods.hooks import HookError, HookRunner
from agent.pods.image_pull import ImageProblemError, ImagePulls, ImageRequest
from agent.pods.pod_files import PodFiles
from agent.pods.pod_mounting import PodMounting
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import field_path, find_container, grace_period_seconds, image_volumes
from agent.pods.registry_credentials import credentials_from_secrets
from agent.pods.runtime_class import RuntimeHandlers
from agent.pods.start_failure import AlreadyStartedError, SandboxGoneError, StartFailure
from agent.runtime.identity import container_name, parse_identity, spec_hash
from agent.runtime.protocol import (
    ContainerRecord,
    ContainerState,
    EngineUnavailableError,
    ImageNotFoundError,
    ImageRecord,
    NameConflictError,
    RegistryCredentials,
    Runtime,
    RuntimeFailure,
)
from agent.runtime.translate import ContainerRequest, container_create_body
from agent.volumes.protocol import ImageSubPathError, ObjectSource, VolumeError, VolumeManager
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject

logger = logging.getLogger(__name__)

CONFIGURATION_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedContainer:
    """A container that exists and was not started yet."""

    id: str
    container: ReadOnlyObject
    sandbox: SandboxReference


class ContainerStarter:
    """Starts containers."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        cache: ContainerCache,
        images: ImagePulls,
        volumes: VolumeManager,
        files: PodFiles,
        objects: ObjectSource,
        services: Callable[[], Sequence[ReadOnlyObject]],
        hooks: HookRunner,
        handlers: RuntimeHandlers,
        record: Callable[..., None],
        link_log: Callable[[ContainerRecord], None],
        clock: Clock,
        settings: StarterSettings,
    ) -> None:
        self._runtime = runtime
        self._cache = cache
        self._images = images
        self.mounting = PodMounting(volumes=volumes, record=record, clock=clock)
        self._objects = objects
        self._hooks = hooks
        self._record = record
        self._link_log = link_log
        self._clock = clock
        self._configurer = ContainerConfigurer(
            cache=cache,
            volumes=volumes,
            files=files,
            objects=objects,
            services=services,
            handlers=handlers,
            record=record,
            settings=settings,
        )

    async def create(
        self, pod_record: PodRecord, action: StartContainer, sandbox: SandboxReference
    ) -> CreatedContainer:
        """Mount, find the image, configure and create. Raises StartFailure, ImagePendingError, ImageNotFoundError."""
        pod = pod_record.allocated or pod_record.pod
        container = find_container(pod, action.container_name)
        assert container is not None
        await self._ensure_volume_images(pod_record, action)
        await self.mounting.finish(pod_record)
        image = await self._ensure_image(pod_record, container, action)
        try:
            request = await self._configurer.configure(pod_record, container, action, sandbox, image)
        except (ConfigurationError, VolumeError, ConfinementError) as error:
            pod_record.volumes = None  # what is not mounted any more is mounted again by the next try
            if error.__cause__ is not None:  # which the kubelet's words leave out
                logger.info("Cannot configure a container name=%s cause=%s", container["name"], error.__cause__)
            self._event(pod, container, "Warning", "Failed", f"Error: {error}")
            # To the kubelet a profile or a part of an image that cannot be had is the runtime's failure to create.
            is_runtimes = isinstance(error, ConfinementError | ImageSubPathError)
            reason = "CreateContainerError" if is_runtimes else "CreateContainerConfigError"
            raise StartFailure(reason, str(error), CONFIGURATION_RETRY_SECONDS) from error
        container_id = await self._create(pod, container, action, request)
        self._event(pod, container, "Normal", "Created", "Container created")
        return CreatedContainer(id=container_id, container=container, sandbox=sandbox)

    async def start(self, pod_record: PodRecord, action: StartContainer, created: CreatedContainer) -> None:
        """Start it; its sandbox must run. Raises StartFailure, SandboxGoneError."""
        pod, container = pod_record.pod, created.container
        try:
            await self._runtime.start_container(created.id)
        except RuntimeFailure as error:
            await self._explain_failure(created, error)
            self._event(pod, container, "Warning", "Failed", f"Error: {error}")
            raise StartFailure("RunContainerError", str(error), 0.0) from error
        self._event(pod, container, "Normal", "Started", "Container started")
        started = await self._cache.refresh(created.id)
        if started is not None:
            self._link_log(started)

    async def post_start(self, pod_record: PodRecord, created: CreatedContainer) -> None:
        """Run the post-start hook, which may take its time. Raises StartFailure, which says how the container stops."""
        container = created.container
        try:
            await self._hooks.post_start(pod_record, container, created.id)
        except HookError as error:
            # Upstream keeps the hook's output out of the Event: it may hold secrets.
            self._event(pod_record.pod, container, "Warning", "FailedPostStartHook", "PostStartHook failed")
            stop = StopContainer(
                container_id=created.id,
                container_name=container["name"],
                grace_seconds=grace_period_seconds(pod_record.pod),
                cause="FailedPostStartHook",
            )
            raise StartFailure("PostStartHookError", str(error), stop=stop) from error

    async def stop_signal(self, container: ReadOnlyObject | None, container_id: str) -> str:
        """The container's own stop signal, the image's, or SIGTERM."""
        if container is not None and (container.get("lifecycle") or {}).get("stopSignal"):
            return str(container["lifecycle"]["stopSignal"])
        record = self._cache.find(container_id)
        image = await self._images.find_by_id(record.image_id) if record is not None else None
        return str((image.config.get("StopSignal") if image is not None else None) or "SIGTERM")

    # --- before the engine --------------------------------------------------------------------------------------------

    async def _ensure_volume_images(self, pod_record: PodRecord, action: StartContainer) -> None:
        """Pull the images of image volumes as a container's. Raises what `_ensure_image` raises."""
        for volume in image_volumes(pod_record.pod):
            if volume["name"] in pod_record.image_layers:
                continue
            source = volume["image"]
            wanted = {
                "name": volume["name"],
                "image": source.get("reference", ""),
                "imagePullPolicy": source.get("pullPolicy"),
            }
            image = await self._ensure_image(pod_record, wanted, action)
            pod_record.image_layers[volume["name"]] = image.layers

    async def _ensure_image(
        self, pod_record: PodRecord, container: ReadOnlyObject, action: StartContainer
    ) -> ImageRecord:
        pod = pod_record.pod

        async def credentials() -> Sequence[RegistryCredentials]:
            return await self._credentials(pod, str(container.get("image", "")))

        request = ImageRequest(
            pod=pod,
            container=container,
            attempt=action.attempt,
            credentials=credentials,
            record=partial(self._event, pod, container),
            wake=pod_record.wake,
        )
        try:
            return await self._images.ensure(request)
        except ImageProblemError as problem:
            self._event(pod, container, "Warning", "Failed", f"Error: {problem.reason}")
            raise StartFailure(problem.reason, problem.message, problem.retry_seconds) from problem

    async def _credentials(self, pod: ReadOnlyObject, image: str) -> Sequence[RegistryCredentials]:
        namespace = pod["metadata"]["namespace"]
        names = [item.get("name", "") for item in pod["spec"].get("imagePullSecrets") or ()]
        secrets = {name: await self._objects.get_secret(namespace, name) for name in names if name}
        missing = [name for name, secret in secrets.items() if secret is None]
        if missing:
            message = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed."
            )
            self._record(pod, "Warning", "FailedToRetrieveImagePullSecret", message)
        return credentials_from_secrets([secret for secret in secrets.values() if secret is not None], image)

    # --- the engine ---------------------------------------------------------------------------------------------------

    async def _explain_failure(self, created: CreatedContainer, error: RuntimeFailure) -> None:
        """Return if the container itself could not be started. Raises what has nothing to do with it."""
        if error.reason not in ("RunContainerError", "StartError"):
            await self._cache.refresh(created.id)
            raise error
        sandbox = await self._cache.refresh(created.sandbox.id)
        if sandbox is None or sandbox.state is not ContainerState.RUNNING:
            # The try does not count: it must not leave an attempt that looks like a failure of the container.
            await self._runtime.remove_container(created.id)
            self._cache.forget(created.id)
            raise SandboxGoneError from error
        await self._cache.refresh(created.id)

    async def _create(
        self, pod: ReadOnlyObject, container: ReadOnlyObject, action: StartContainer, request: ContainerRequest
    ) -> str:
        """Create under the name that is the lock; a container that stands there already is adopted if it fits.

        Raises AlreadyStartedError for one that has been started: this attempt is under way, or over.
        """
        name = container_name(pod, action.container_name, action.attempt)
        body = container_create_body(request)
        try:
            return await self._runtime.create_container(name, body)
        except NameConflictError:
            existing = await self._runtime.inspect_container(name)
            if _fits(existing, container, request):
                if existing.state is not ContainerState.CREATED:
                    await self._cache.refresh(existing.id)
                    raise AlreadyStartedError from None
                if existing.exit_code == 0:
                    return existing.id
            await self._runtime.remove_container(existing.id)
            self._cache.forget(existing.id)
            return await self._runtime.create_container(name, body)
        except ImageNotFoundError:
            self._images.forget_image(request.image)
            raise
        except EngineUnavailableError:
            raise
        except RuntimeFailure as error:
            self._event(pod, container, "Warning", "Failed", f"Error: {error}")
            raise StartFailure("CreateContainerError", str(error), CONFIGURATION_RETRY_SECONDS) from error

    def _event(self, pod: ReadOnlyObject, container: ReadOnlyObject, type: str, reason: str, message: str) -> None:
        self._record(pod, type, reason, message, field_path=field_path(pod, container["name"]))


def _fits(existing: ContainerRecord, container: ReadOnlyObject, request: ContainerRequest) -> bool:
    """Whether an existing container is what would be created: same spec, same sandbox."""
    identity = parse_identity(existing.labels)
    return (
        identity is not None
        and identity.sandbox_id == request.sandbox_id
        and identity.spec_hash == spec_hash(container)
    )
