"""What the workers of all Pods share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agent.pods.backoff import RestartBackoff
from agent.pods.container_cache import ContainerCache
from agent.pods.executor import PodExecutor
from agent.pods.image_pull import ImagePulls
from agent.pods.pod_files import PodFiles
from agent.pods.probes import ProbeRunner
from agent.pods.rejection import Rejection
from agent.pods.resize import PendingResize
from agent.pods.status_sink import StatusSink
from agent.pods.termination_message import TerminationMessages
from agent.volumes.protocol import VolumeManager
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerServices:
    """What workers share. `admit` judges a Pod that is new to the node, `judge_resize` one that wants other resources;
    `unsupported` names fields not carried out. `retry_resizes` is called when the node may have got room for those that
    wait.
    """

    cache: ContainerCache
    executor: PodExecutor
    probes: ProbeRunner
    backoff: RestartBackoff
    reporter: StatusSink
    images: ImagePulls
    volumes: VolumeManager
    files: PodFiles
    messages: TerminationMessages
    clock: Clock
    record: Callable[..., None]
    unlink_logs: Callable[[ReadOnlyObject], None]
    host_ips: Callable[[], tuple[str, ...]]
    admit: Callable[[ReadOnlyObject], Awaitable[Rejection | None]]
    unsupported: Callable[[ReadOnlyObject], Sequence[str]]
    judge_resize: Callable[[ReadOnlyObject], PendingResize | None]
    retry_resizes: Callable[[], None]
