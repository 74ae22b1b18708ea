"""The container runtime seam: about twenty verbs on plain records.

`docker_runtime.py` is the real engine; `fake_runtime.py` behaves the same in memory and is held to it by one contract
suite. A container is described by the Docker Engine API's own create body (a JSON dict
made by the pure `translate.py`), so that what is asked of Docker can be read in a test. Docker is the agent's only
database: what an agent must remember about a container is in its labels (`identity.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from agent.runtime.volume_records import VolumeRecord

CreateBody = dict[str, Any]


class RuntimeFailure(Exception):  # noqa: N818 - "RuntimeError" is Python's own
    """A call to the engine failed. `reason` is a kubelet token where there is one (ErrImagePull, ...)."""

    def __init__(self, message: str, *, reason: str = "", retryable: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.retryable = retryable


class ContainerNotFoundError(RuntimeFailure):
    """The container does not exist (any more)."""


class NameConflictError(RuntimeFailure):
    """Create of a container name that is taken: the create-once lock."""


class ImageNotFoundError(RuntimeFailure):
    """The image does not exist locally, or in the registry."""


class VolumeNotFoundError(RuntimeFailure):
    """The engine has no volume of that name."""


class EngineUnavailableError(RuntimeFailure):
    """The engine did not answer: not running, restarting, timed out. The call may or may not have happened."""


class ContainerState(Enum):
    """State of a container as Docker reports it, reduced to what decisions need."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUser:
    """Who a process runs as."""

    user_id: int
    group_id: int
    supplementary_group_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """A container as inspected. Times are None where Docker has none yet; `pid` is 0 unless running.

    `user` is who the first process of a running container was first seen as; None where that cannot be seen.
    `writable_layer` is the directory on the engine's host that holds what the container has written, where the engine
    tells; `written_bytes` its size, where that was asked for.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    state: ContainerState
    image: str
    image_id: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    pid: int = 0
    log_path: str = ""
    user: ProcessUser | None = None
    writable_layer: str = ""
    written_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """A local image. `digests` are repo@sha256 references; `config` is the image's Config (User, Env, ...).

    `layers` are the directories of its layers on the engine's host, the topmost first, where the engine tells;
    `platform` is what it was built for (`linux/amd64`), empty where that is unknown.
    """

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size_bytes: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is. `size_bytes` is of the layers known so far; `is_queued` says that it waits for other pulls."""

    downloaded_bytes: int
    size_bytes: int
    is_queued: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What the engine is and may do."""

    version: str
    api_version: str
    operating_system: str
    kernel_version: str
    architecture: str
    cgroup_version: str
    cgroup_driver: str
    cpus: int
    memory_bytes: int
    root_dir: str
    rootless: bool = False
    userns_remap: bool = False
    seccomp: bool = True
    app_armor: bool = False
    selinux: bool = False
    #: how images are kept (`overlay2`)
    storage_driver: str = ""
    #: names of the runtimes that containers may have
    runtimes: tuple[str, ...] = ()

    def offers_api(self, *version: int) -> bool:
        """Whether the engine's API is of that version (major, minor) or a newer one."""
        return tuple(int(part) for part in self.api_version.split(".") if part.isdigit()) >= version


#: the events that say something new of a container that is known, by Docker's names
EVENT_ACTIONS = ("start", "die", "oom", "destroy")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeEvent:
    """Something happened to a container: action is one of `EVENT_ACTIONS`."""

    action: str
    container_id: str
    labels: Mapping[str, str]
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """Outcome of a command that ran to its end."""

    exit_code: int
    output: bytes


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SecretReference:
    """A Secret of the API."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryCredentials:
    """How to log in to a registry. The same login is equal to itself whichever Secret it is from."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    server: str = ""
    source: SecretReference | None = field(default=None, compare=False)

    @property
    def digest(self) -> str:
        """Tells logins apart without telling them."""
        parts = (self.username, self.password, self.identity_token, self.server)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledImage:
    """What a pull brought; `login` is the one of those given that the registry let in, None if it was none of them."""

    image: ImageRecord
    login: RegistryCredentials | None = None


class ExecStream(Protocol):
    """A running exec or an attachment: bytes in, (channel, bytes) out; channel 1 is stdout, 2 stderr."""

    async def read(self) -> tuple[int, bytes] | None:
        """Next chunk, or None at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send to stdin."""
        ...

    async def close_stdin(self) -> None:
        """Half-close."""
        ...

    async def resize(self, width: int, height: int) -> None:
        """Set the terminal size in characters."""
        ...

    async def exit_code(self) -> int:
        """Exit code once the stream has ended."""
        ...

    async def detach(self) -> None:
        """Leave the stream: its input ends, a command that still runs goes on."""
        ...

    async def close(self) -> None:
        """Abandon the stream; a command that still runs is killed by pid."""
        ...


class Runtime(Protocol):
    """The engine as the agent sees it."""

    async def info(self) -> EngineInfo:
        """Describe the engine. Raises EngineUnavailableError."""
        ...

    async def list_containers(self, labels: Mapping[str, str]) -> list[ContainerRecord]:
        """List containers, stopped ones too, that carry all the labels, each as inspected."""
        ...

    async def inspect_container(self, container_id: str, *, with_size: bool = False) -> ContainerRecord:
        """Inspect one container by id or name; its size costs the engine much. Raises ContainerNotFoundError."""
        ...

    async def create_container(self, name: str, body: CreateBody) -> str:
        """Create a container and return its id. Raises NameConflictError, ImageNotFoundError, RuntimeFailure."""
        ...

    async def start_container(self, container_id: str) -> None:
        """Start it. A failure of the command itself is RuntimeFailure with reason `RunContainerError`/`StartError`."""
        ...

    async def stop_container(self, container_id: str, *, signal: str, grace_seconds: int) -> None:
        """Signal, wait up to the grace period, then SIGKILL; returns when it has stopped."""
        ...

    async def kill_container(self, container_id: str, signal: str = "SIGKILL") -> None:
        """Send a signal; succeeds if it is not running."""
        ...

    async def update_container(self, container_id: str, settings: Mapping[str, int]) -> None:
        """Change CpuShares, CpuPeriod, CpuQuota, Memory and MemorySwap of a running container; what is not named stays.

        Raises RuntimeFailure, also where the kernel cannot take memory back that is in use.
        """
        ...

    async def remove_container(self, container_id: str) -> None:
        """Kill and remove with its anonymous volumes; succeeds if it is gone."""
        ...

    async def find_image(self, reference: str) -> ImageRecord | None:
        """Return the local image of a reference or id, or None."""
        ...

    async def list_images(self) -> list[ImageRecord]:
        """All local images."""
        ...

    async def images_in_use(self) -> frozenset[str]:
        """Ids of the images of all containers of the engine, whosever they are, stopped ones too."""
        ...

    async def pull_image(
        self,
        reference: str,
        credentials: Sequence[RegistryCredentials] = (),
        on_progress: Callable[[PullProgress], None] = lambda progress: None,
    ) -> PulledImage:
        """Pull. Raises RuntimeFailure with reason ErrImagePull or RegistryUnavailable and the registry's words.

        The engine gives a pull up when the caller is cancelled; `on_progress` hears of every sign of life.
        """
        ...

    async def load_image(self, archive: bytes) -> None:
        """Import a `docker save` archive."""
        ...

    async def remove_image(self, reference: str) -> None:
        """Remove a tag or image; succeeds if it is gone."""
        ...

    async def find_volume(self, name: str) -> VolumeRecord | None:
        """Return the engine's volume of that name, or None."""
        ...

    async def list_volumes(self, labels: Mapping[str, str]) -> list[VolumeRecord]:
        """List the engine's volumes that carry all the labels."""
        ...

    async def remove_volume(self, name: str) -> bool:
        """Remove a volume with its data; False while a container uses it, True if it is gone."""
        ...

    async def open_exec(
        self, container_id: str, command: Sequence[str], *, stdin: bool = False, tty: bool = False
    ) -> ExecStream:
        """Start a command in a running container."""
        ...

    async def run_exec(self, container_id: str, command: Sequence[str], *, timeout_seconds: float) -> ExecResult:
        """Run a command to its end, output merged and cut at 10 KiB. Raises TimeoutError after killing its pid."""
        ...

    async def open_attach(
        self, container_id: str, *, stdin: bool = False, stdin_once: bool = False, tty: bool = False
    ) -> ExecStream:
        """Attach to the container's first process. Its input ends with the stream's only with `stdin_once`."""
        ...

    def events(self, labels: Mapping[str, str]) -> AsyncIterator[RuntimeEvent]:
        """Yield the events of `EVENT_ACTIONS` until the stream breaks (EngineUnavailableError).

        The caller re-lists and reopens.
        """
        ...

    def image_events(self) -> AsyncIterator[str]:
        """Yield what happens to images (pull, tag, untag, delete, ...) until the stream breaks, as `events`."""
        ...

    async def stats(self, container_id: str) -> Mapping[str, Any]:
        """One sample of Docker's stats."""
        ...

    async def close(self) -> None:
        """Release sockets and threads."""
        ...
