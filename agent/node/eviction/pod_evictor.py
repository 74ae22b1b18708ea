"""The eviction loop of a node: observe the signals, decide what runs out, let one Pod fail, look again.

Decisions are in the pure files beside it. Conditions and admission read `conditions`. Several nodes may share a host
and see the same signals: they take turns (`take_turn`), and whoever has waited looks again before it evicts.
Upstream: pkg/kubelet/eviction/eviction_manager.go (v1.36).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from agent.node.eviction.local_limits import exceeded_limit, has_local_limits
from agent.node.eviction.messages import REASON, eviction_message
from agent.node.eviction.pod_usage import PodUse
from agent.node.eviction.pressure import NO_PRESSURE, compute_pressure
from agent.node.eviction.ranking import rank_pods
from agent.node.eviction.settings import EvictionSettings
from agent.node.eviction.signals import CONDITIONS, RESOURCES, Observation, Observations, Signal, observe_signals
from agent.node.eviction.thresholds import Threshold, thresholds_met
from agent.node.host_facts import HostUsage
from agent.node.release import wait_until_released
from agent.pods.rejection import Rejection
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject
from control.api.pods import is_critical

logger = logging.getLogger(__name__)

# After an eviction the next look comes soon; a moment later all the same, so that nodes of one host get their turn.
URGENT_SECONDS = 1.0
CLEAN_UP_SECONDS_MAX = 30.0
HARD_GRACE_SECONDS = 1
# Measuring many files takes its time; it may have a tenth of it.
MEASURING_SHARE = 0.1

Measure = Callable[[Sequence[ReadOnlyObject]], Awaitable[Mapping[str, PodUse]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionServices:
    """What the loop acts through.

    `observe_allocatable_memory` tells what Pods leave of their share where one is kept from them, else None. `pods` are
    those that may be evicted; `measure_files` and `measure_all` tell what they use, by UID; `fail` lets one
    fail, and `is_released` says when it holds nothing any more. `reclaim_disk` frees disk without a Pod's harm.
    `take_turn` gives this node the right to evict for as long as its context lasts, or False.
    """

    read_usage: Callable[[], HostUsage]
    observe_allocatable_memory: Callable[[], Awaitable[Observation | None]]
    pods: Callable[[], Iterable[ReadOnlyObject]]
    measure_files: Measure
    measure_all: Measure
    fail: Callable[[str, Rejection], None]
    is_released: Callable[[str], bool]
    reclaim_disk: Sequence[Callable[[], Awaitable[object]]]
    take_turn: Callable[[], AbstractContextManager[bool]]
    record: Callable[..., None]
    record_of_node: Callable[..., None]
    on_change: Callable[[], None]
    clock: Clock


class PodEvictor:
    """Watches over one node."""

    def __init__(self, settings: EvictionSettings, services: EvictionServices) -> None:
        self._settings = settings
        self._services = services
        self._pressure = NO_PRESSURE
        self._observations: Observations = {}
        self._has_image_disk = False
        self._limits_due_at = 0.0

    @property
    def conditions(self) -> frozenset[str]:
        """The conditions of pressure that hold."""
        return self._pressure.conditions

    async def run(self) -> None:
        """Watch for ever, from a moment after the start on: Pods that run already are known then."""
        is_urgent = True
        while True:
            await self._services.clock.sleep(URGENT_SECONDS if is_urgent else self._settings.interval_seconds)
            is_urgent = False
            try:
                is_urgent = await self.step()
            except Exception:
                logger.exception("Cannot judge what the node has left")

    async def step(self) -> bool:
        """Look once, and do what is due: at most one Pod goes for the node's sake. True: look again at once."""
        await self.observe()
        if await self._enforce_limits():
            return True
        if not self._pressure.due:
            return False
        with self._services.take_turn() as is_ours:
            if is_ours:
                await self.observe()
            return not is_ours or (bool(self._pressure.due) and await self._relieve(self._pressure.due))

    async def observe(self) -> None:
        """Read the signals and judge them."""
        before = self._pressure.conditions
        usage = await self._read_signals()
        self._has_image_disk = usage.has_image_disk
        self._pressure = compute_pressure(
            self._pressure,
            self._settings.thresholds,
            self._observations,
            now=self._services.clock.monotonic(),
            transition_seconds=self._settings.transition_seconds,
        )
        if self._pressure.conditions != before:
            logger.info("Conditions of pressure changed conditions=%s", sorted(self._pressure.conditions))
            self._services.on_change()

    async def _read_signals(self) -> HostUsage:
        usage = self._services.read_usage()
        self._observations = observe_signals(usage, await self._services.observe_allocatable_memory())
        return usage

    # --- pressure -----------------------------------------------------------------------------------------------------

    async def _relieve(self, due: Sequence[Threshold]) -> bool:
        """Reclaim what the first threshold is about; whether a Pod was evicted for it."""
        services, threshold = self._services, due[0]
        resource = RESOURCES[threshold.signal]
        services.record_of_node("Warning", "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        if await self._reclaim(threshold.signal):
            logger.info("Reclaimed without evicting a Pod resource=%s", resource)
            return False
        pods = list(services.pods())
        uses = await services.measure_all(pods)
        ranked = rank_pods(pods, uses, threshold.signal, has_image_disk=self._has_image_disk)
        pod = next((item for item in ranked if not is_critical(item)), None)
        if pod is None:
            logger.warning("Cannot evict any Pod resource=%s pods=%d", resource, len(pods))
            return False
        use = uses.get(pod["metadata"]["uid"])
        message, annotations = eviction_message(pod, use, resource, due, self._observations)
        grace = HARD_GRACE_SECONDS if threshold.is_hard else self._settings.max_pod_grace_seconds
        self._evict(pod, message, annotations, grace_seconds=grace, is_disruption=True)
        await self._wait_until_released([pod])
        return True

    async def _reclaim(self, signal: Signal) -> bool:
        """Free what no Pod needs; True when that is enough. A disk that holds only volumes has nothing of the kind."""
        is_of_volumes = self._has_image_disk and signal in (Signal.NODEFS_AVAILABLE, Signal.NODEFS_INODES_FREE)
        if CONDITIONS[signal] != "DiskPressure" or is_of_volumes or not self._services.reclaim_disk:
            return False
        for reclaim in self._services.reclaim_disk:
            try:
                await reclaim()
            except Exception as error:
                logger.warning("Cannot reclaim everything that nobody needs error=%s", error)
        await self._read_signals()
        return not thresholds_met(self._settings.thresholds, self._observations, with_reclaim=True)

    # --- limits -------------------------------------------------------------------------------------------------------

    async def _enforce_limits(self) -> bool:
        """Evict every Pod that holds more of the disk than it may; whether there was one."""
        services, clock = self._services, self._services.clock
        pods = [pod for pod in services.pods() if has_local_limits(pod)]
        began = clock.monotonic()
        if not pods or began < self._limits_due_at:
            return False
        uses = await services.measure_files(pods)
        self._limits_due_at = began + (clock.monotonic() - began) / MEASURING_SHARE
        gone = []
        for pod in pods:
            use = uses.get(pod["metadata"]["uid"])
            message = exceeded_limit(pod, use) if use is not None else ""
            if message and not is_critical(pod):
                self._evict(pod, message, {}, grace_seconds=HARD_GRACE_SECONDS, is_disruption=False)
                gone.append(pod)
        await self._wait_until_released(gone)
        return bool(gone)

    # --- both ---------------------------------------------------------------------------------------------------------

    def _evict(
        self,
        pod: ReadOnlyObject,
        message: str,
        annotations: Mapping[str, str],
        *,
        grace_seconds: int,
        is_disruption: bool,
    ) -> None:
        metadata = pod["metadata"]
        logger.warning("Evicting a Pod pod=%s/%s cause=%s", metadata["namespace"], metadata["name"], message)
        self._services.record(pod, "Warning", REASON, message, annotations=annotations)
        self._services.fail(
            metadata["uid"],
            Rejection(
                reason=REASON,
                message=message,
                grace_seconds=grace_seconds,
                disruption=message if is_disruption else "",
                removes_containers=True,
            ),
        )

    async def _wait_until_released(self, pods: Sequence[ReadOnlyObject]) -> None:
        """What a Pod held is only free when it has ended: do not evict another one before, within reason."""
        services = self._services
        if not await wait_until_released(pods, services.is_released, services.clock, seconds_max=CLEAN_UP_SECONDS_MAX):
            logger.warning("An evicted Pod does not end")
