"""What the engine shows of one Pod: its sandboxes and its containers by name, attempts included.

Pure records. `container_cache.py` fills them from `ContainerRecord`s; the decisions (`compute_actions.py`,
`compute_termination.py`, `pod_status.py`) read them. Both lists run from the newest attempt to the oldest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agent.runtime.protocol import ContainerRecord, ContainerState


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedSandbox:
    """One pause container. `attached` says that this agent has wired it (or found it wired) since it started.

    `is_released` says that this agent has taken what belongs to it off the host, whoever ended it. `resources` is the
    JSON of what the Pod's cgroup was last made for (`identity.format_pod_resources`), if known.
    """

    record: ContainerRecord
    attempt: int
    ip: str = ""
    attached: bool = True
    is_released: bool = False
    resources: str = ""

    @property
    def id(self) -> str:
        """Docker's id."""
        return self.record.id

    @property
    def is_running(self) -> bool:
        """True while the pause process lives."""
        return self.record.state is ContainerState.RUNNING

    @property
    def is_ready(self) -> bool:
        """True when containers may join it."""
        return self.is_running and self.attached


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContainer:
    """One attempt of one container of the Pod.

    `resources` is the JSON of what it was created with, if known; `backoff_seconds` the delay that follows its end;
    `round` counts how often the whole Pod had been started over when it was made; `is_recursive` says that its mounts
    are recursively read-only that are so if possible.
    """

    record: ContainerRecord
    name: str
    attempt: int
    sandbox_id: str = ""
    spec_hash: str = ""
    resources: str = ""
    backoff_seconds: float = 0.0
    round: int = 0
    is_recursive: bool = False
    gpus: tuple[str, ...] = ()
    #: its end on the steady clock, where the cache has seen it
    ended_at: datetime | None = None

    @property
    def id(self) -> str:
        """Docker's id."""
        return self.record.id

    @property
    def is_running(self) -> bool:
        """True while its first process lives."""
        return self.record.state is ContainerState.RUNNING

    @property
    def failed_to_start(self) -> bool:
        """True when Docker could not run the command: it leaves the container `created`, with an exit code."""
        return self.record.state is ContainerState.CREATED and self.record.exit_code != 0

    @property
    def is_exited(self) -> bool:
        """True when it ran and ended, or could not be run at all."""
        return self.record.state is ContainerState.EXITED or self.failed_to_start

    @property
    def is_created(self) -> bool:
        """True when it exists and was never started."""
        return self.record.state is ContainerState.CREATED and self.record.exit_code == 0

    @property
    def succeeded(self) -> bool:
        """True when it ended with exit code 0."""
        return self.is_exited and self.record.exit_code == 0

    @property
    def finished_at(self) -> datetime:
        """When it ended; a container that never ran counts from its creation."""
        return self.record.finished_at or self.record.created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """A container that was told to stop, and the moment it is killed.

    `pod_deadline` is the end of the Pod's grace period as it stood then: a shorter one may be asked for later.
    """

    deadline: datetime
    pod_deadline: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPod:
    """All that exists of one Pod on the node. `stopping` is by container id, the other two are ids of containers.

    The pre-stop hook of `pre_stopped` ones has begun, and may have ended, although they were not told to stop yet.
    `restarting` ones were told to stop, and may have ended, in order to run again. `stop_deadline` is the end of the
    grace period of a Pod that stops as a whole, once it has begun to.
    """

    sandboxes: tuple[ObservedSandbox, ...] = ()
    containers: Mapping[str, tuple[ObservedContainer, ...]] = field(default_factory=dict)
    stopping: Mapping[str, Stopping] = field(default_factory=dict)
    pre_stopped: frozenset[str] = frozenset()
    restarting: frozenset[str] = frozenset()
    stop_deadline: datetime | None = None

    @property
    def sandbox(self) -> ObservedSandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def is_empty(self) -> bool:
        """True when nothing of the Pod exists."""
        return not self.sandboxes and not self.containers

    @property
    def has_processes(self) -> bool:
        """True while a container or a sandbox of the Pod runs."""
        return bool(self.running_containers()) or any(sandbox.is_running for sandbox in self.sandboxes)

    def find(self, container_name: str) -> ObservedContainer | None:
        """The newest attempt of a container, or None."""
        attempts = self.containers.get(container_name, ())
        return attempts[0] if attempts else None

    def find_in_sandbox(self, container_name: str) -> ObservedContainer | None:
        """The newest attempt if it belongs to the newest sandbox, or None."""
        container = self.find(container_name)
        if container is None or self.sandbox is None or container.sandbox_id != self.sandbox.id:
            return None
        return container

    def each_container(self) -> Iterator[ObservedContainer]:
        """Every attempt of every container."""
        for attempts in self.containers.values():
            yield from attempts

    def running_containers(self) -> list[ObservedContainer]:
        """Every attempt that runs."""
        return [container for container in self.each_container() if container.is_running]
