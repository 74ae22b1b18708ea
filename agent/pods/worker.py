"""The life of one Pod on the node: one serial worker per UID, three phases: sync, terminating, terminated.

`step` is one full observe → decide → apply → report. Workers are woken by the engine's events, by changes of the
object, by probes and by their own timers; nothing polls. A worker never kills a Pod because the API is away: it knows
the last object it saw and only `update` and `remove` change its mind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum

from agent.network.protocol import NetworkError
from agent.pods.compute_actions import compute_actions
from agent.pods.compute_termination import compute_removal, compute_termination, deletion_deadline, stop_deadline
from agent.pods.deadline_watch import DeadlineWatch
from agent.pods.echo import is_echo
from agent.pods.executor import Outcome
from agent.pods.observed import ObservedPod
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import all_containers, has_post_start
from agent.pods.pod_status import (
    TERMINAL_PHASES,
    StatusInputs,
    Waiting,
    compute_pod_status,
    compute_rejected_status,
    with_status,
)
from agent.pods.pod_time import PodTime
from agent.pods.rejection import DEADLINE_EXCEEDED, Rejection
from agent.pods.resize_progress import PENDING_RESIZE_SECONDS, ResizeProgress
from agent.pods.status_inputs import gather_status_inputs
from agent.pods.worker_services import WorkerServices
from agent.runtime.protocol import RuntimeFailure
from agent.volumes.protocol import VolumeError
from control.api.errors import ApiError
from control.api.meta import is_deleting, object_key
from control.api.objects import Object, ReadOnlyObject
from control.client.running import run_together, run_until
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

RETRY_SECONDS_FIRST = 0.5
RETRY_SECONDS_MAX = 10.0


class Phase(Enum):
    """Where a worker is: keeping the Pod running, stopping it, or done with it."""

    SYNC = "sync"
    TERMINATING = "terminating"
    TERMINATED = "terminated"


class PodWorker:
    """Drives one Pod."""

    def __init__(self, pod: ReadOnlyObject, services: WorkerServices) -> None:
        self.phase = Phase.SYNC
        self._services = services
        self._wake = asyncio.Event()
        self._object_changed = asyncio.Event()
        self._record = PodRecord(uid=pod["metadata"]["uid"], pod=pod, wake=self.wake)
        self._removed = False
        self._judged = self._admitted = False
        self._resize = ResizeProgress(self._record, services.judge_resize, services.record)
        self._time = PodTime(services.cache.steady)
        self._seen_at = services.clock.now()
        self._deadline = DeadlineWatch(self._record, services.clock)
        self._rejection: Rejection | None = None
        self._status: Object = {}
        self._released = False
        self._reported_fields: Sequence[str] = ()

    @property
    def pod(self) -> ReadOnlyObject:
        """The newest object seen."""
        return self._record.pod

    @property
    def is_admitted(self) -> bool:
        """True when the node has taken the Pod on: it counts against what the node has, until it has ended."""
        return self._admitted and not self._released

    @property
    def is_failing(self) -> bool:
        """True when the Pod is to fail, or has."""
        return self._rejection is not None

    @property
    def is_released(self) -> bool:
        """True when a Pod that has failed or is complete holds nothing of the node any more but dead containers."""
        return self._released

    @property
    def is_removed(self) -> bool:
        """True when the object is gone from the API."""
        return self._removed

    @property
    def status(self) -> Object:
        """The newest status computed."""
        return self._status

    def wake(self) -> None:
        """Something changed: take another step."""
        self._wake.set()

    def retry_resize(self) -> None:
        """There may be room for the resources that the Pod waits for."""
        if self._resize.pending is not None:
            self._wake.set()

    def update(self, pod: ReadOnlyObject) -> None:
        """The object changed. The echo of our own status report is no reason to act."""
        old, self._record.pod = self._record.pod, pod
        if self._status:
            self._services.reporter.reconcile(pod, self._status)
        if is_echo(old, pod):
            return
        if is_deleting(pod):
            self._record.ending.set()
        self._deadline.set(self._time.active_seconds_left(self._with_status()))
        self._object_changed.set()
        self._wake.set()
        self._services.retry_resizes()

    def remove(self) -> None:
        """The object is gone from the API (or was never there): stop the Pod."""
        self._removed = True
        self._record.ending.set()
        self._object_changed.set()
        self._wake.set()
        self._services.retry_resizes()

    def fail(self, rejection: Rejection) -> None:
        """Let the Pod fail, whatever it does; the first reason stands."""
        self._rejection = self._rejection or rejection
        self._record.ending.set()
        self._object_changed.set()
        self._wake.set()

    async def remove_dead_containers(self) -> None:
        """Remove what is left of a Pod that has ended; the API keeps what they were."""
        if self._released:
            await self._services.executor.execute(
                self._record, compute_removal(self._record.observe(self._services.cache))
            )

    async def run(self) -> None:
        """Step until the Pod is done with."""
        self._deadline.set(self._time.active_seconds_left(self._with_status()))
        failures = 0
        while self.phase is not Phase.TERMINATED:
            self._wake.clear()
            self._object_changed.clear()
            try:
                delay = await self.step()
            except (RuntimeFailure, NetworkError, VolumeError, ApiError, ServerUnavailableError) as error:
                failures += 1
                logger.warning("Cannot sync a Pod pod=%s failures=%d error=%s", object_key(self.pod), failures, error)
            except Exception:
                failures += 1
                logger.exception("Sync failed pod=%s failures=%d", object_key(self.pod), failures)
            else:
                failures = 0
                await self._wait(self._wake, delay)
                continue
            # What our own failed try changed must not wake us; a changed object may.
            delay = min(RETRY_SECONDS_FIRST * 2.0 ** (failures - 1), RETRY_SECONDS_MAX)
            await self._wait(self._object_changed, delay)

    async def step(self) -> float | None:
        """One turn. Returns after how many seconds the next one is due without being woken; None: not at all."""
        if self._record.is_unsure:
            await self._services.cache.relist_pod(self._record.uid)
            self._record.is_unsure = False
        if self.phase is Phase.SYNC and (self._removed or is_deleting(self.pod)):
            self.phase = Phase.TERMINATING
        if self.phase is Phase.TERMINATING:
            return await self._terminate()
        if self.phase is Phase.SYNC:
            return await self._sync()
        return None

    async def close(self) -> None:
        """Stop working on the Pod without touching it: the agent ends, the Pod does not."""
        self._record.cancel_tasks()

    # --- sync ---------------------------------------------------------------------------------------------------------

    async def _sync(self) -> float | None:
        services, pod = self._services, self._with_status()
        observed = self._record.observe(services.cache)
        if not self._judged:
            await self._admit(pod, observed)
        if self._rejection is not None or (pod.get("status") or {}).get("phase") in TERMINAL_PHASES:
            return await self._stop_for_good(pod)
        unsupported = services.unsupported(pod)
        if unsupported:
            self._report_fields(pod, unsupported)
            if observed.is_empty:
                await self._refuse(unsupported)
                return None
        outcome = Outcome()
        services.probes.sync(self._record, observed)
        pod = self._resize.allocate(pod, observed)
        actions = compute_actions(pod, observed, services.backoff, services.probes.verdicts, self._time.now())
        if actions:
            for action in actions:
                logger.debug("Decided pod=%s action=%s", object_key(self.pod), action)
            if not self._status and any(has_post_start(item) for item in all_containers(pod)):
                # Hooks may take for ever: who looks at the Pod meanwhile sees that its node has taken it on.
                await self._report(observed)
            try:
                outcome = await services.executor.execute(self._record, actions)
            finally:
                observed = self._record.observe(services.cache)
                services.probes.sync(self._record, observed)
                self._resize.note_execution(self._with_status(), observed)
                await self._report(observed)
        else:
            await self._report(observed)
        return self._next_delay(outcome)

    async def _admit(self, pod: ReadOnlyObject, observed: ObservedPod) -> None:
        """Judge a Pod that is new here; one that has containers or a status of ours was admitted before."""
        self._judged = self._admitted = True
        if observed.is_empty and not (pod.get("status") or {}).get("startTime"):
            rejection = await self._services.admit(pod)
            if rejection is not None:
                self._services.record(pod, "Warning", rejection.reason, rejection.message)
                # The kubelet's words, in the status alone (rejectPod in pkg/kubelet/kubelet.go).
                self._rejection = replace(rejection, message=f"Pod was rejected: {rejection.message}")
                self._admitted = False

    def _report_fields(self, pod: ReadOnlyObject, fields: Sequence[str]) -> None:
        """Name what is not carried out, once: also what was added to a Pod that runs (an ephemeral container)."""
        if fields != self._reported_fields:
            self._reported_fields = fields
            self._services.record(pod, "Warning", "UnsupportedField", _unsupported_message(fields))

    async def _refuse(self, fields: Sequence[str]) -> None:
        """Run nothing rather than something else than what was asked for."""
        waiting = Waiting(reason="CreateContainerConfigError", message=_unsupported_message(fields))
        self._record.waiting = {container["name"]: waiting for container in all_containers(self.pod)}
        await self._report(ObservedPod())

    async def _stop_for_good(self, pod: ReadOnlyObject) -> float | None:
        """A Pod that has failed or is complete keeps its dead containers and nothing else."""
        services, rejection = self._services, self._rejection
        deadline = stop_deadline(pod, first_seen=self._time.stop_seen(), rejection=rejection)
        observed, outcome, is_over = await self._stop(pod, deadline)
        services.probes.sync(self._record, observed, terminating=True)
        if self._released:
            return outcome.wake_seconds
        if rejection is not None and not self._admitted:
            self._submit(compute_rejected_status(pod, await self._inputs(observed)))
        elif rejection is not None or not observed.is_empty:
            await self._report(observed, is_terminated=is_over)
        if is_over:
            await services.volumes.unmount_all(self._record.uid)
            self._record.volumes = None
            if rejection is not None and rejection.removes_containers:
                # Not before the API has the states of the containers, which nobody could tell afterwards.
                await services.reporter.flush(self._record.uid)
                await services.executor.execute(self._record, compute_removal(observed))
            self._released = True
        return outcome.wake_seconds

    def _next_delay(self, outcome: Outcome) -> float | None:
        """The executor's timer, the next look at a resize that waits, or the Pod's deadline, whichever comes first.

        A Pod that has completed is released at once: nothing may be left of it whose end would wake the worker.
        """
        if self._status.get("phase") in TERMINAL_PHASES:
            return 0.0
        if self._resize.pending is not None:
            outcome.wake_after(PENDING_RESIZE_SECONDS)
        remaining = self._time.active_seconds_left(self._with_status())
        if remaining is None:
            return outcome.wake_seconds
        if remaining <= 0:
            self._rejection = DEADLINE_EXCEEDED
            self._services.record(self.pod, "Normal", self._rejection.reason, self._rejection.message)
            return 0.0
        return remaining if outcome.wake_seconds is None else min(remaining, outcome.wake_seconds)

    # --- terminating --------------------------------------------------------------------------------------------------

    async def _terminate(self) -> float | None:
        services, pod = self._services, self._with_status()
        services.images.forget_pod(self._record.uid)
        deadline = deletion_deadline(
            pod, first_seen=self._time.stop_seen(), removed=self._removed, wall_step=self._time.wall_step(pod)
        )
        observed, outcome, _ = await self._stop(pod, deadline)
        if observed.has_processes:
            await self._report(observed)
            return outcome.wake_seconds
        await self._finish(pod, observed)
        return None

    async def _stop(self, pod: ReadOnlyObject, deadline: datetime) -> tuple[ObservedPod, Outcome, bool]:
        """Stop what is there, as far as that goes without waiting; the last word says that nothing is left to stop."""
        services, outcome = self._services, Outcome()
        observed = self._record.observe(services.cache)
        while actions := compute_termination(pod, observed, deadline, self._time.now()):
            outcome = await services.executor.execute(self._record, actions)
            before, observed = observed, self._record.observe(services.cache)
            services.probes.sync(self._record, observed, terminating=True)
            if observed == before:
                outcome.wake_after(RETRY_SECONDS_FIRST)
            if outcome.wake_seconds is not None:
                return observed, outcome, False
        return observed, outcome, True

    async def _finish(self, pod: ReadOnlyObject, observed: ObservedPod) -> None:
        """Nothing runs any more: give the volumes back, then let the API forget the Pod while the node is cleared."""
        self._record.cancel_tasks()
        self._services.probes.forget(self._record.uid)
        # First what only the containers' labels tell of: whoever goes on after an interruption still sees them.
        self._services.unlink_logs(self.pod)
        if self._removed:
            await self._clear_node(observed)
        else:
            if not (self._released and self._admitted):
                await self._report(observed, is_terminated=True)
            await run_together(self._services.reporter.flush(self._record.uid), self._give_back_volumes(observed))
            await run_together(self._services.reporter.delete(pod), self._clear_node(observed))
        self.phase = Phase.TERMINATED

    async def _give_back_volumes(self, observed: ObservedPod) -> None:
        """The object goes after its volumes (SyncTerminatedPod of the kubelet); a mount under way holds nobody up."""
        services, uid = self._services, self._record.uid
        if self._record.mounting is not None and not self._record.mounting.done():
            return
        if await services.volumes.are_held_by_containers(uid):
            await services.executor.execute(self._record, compute_removal(observed))
        await services.volumes.unmount_all(uid)

    async def _clear_node(self, observed: ObservedPod) -> None:
        services, uid = self._services, self._record.uid
        if self._record.mounting is not None:
            await asyncio.wait({self._record.mounting})
        await services.executor.execute(self._record, compute_removal(observed))
        await services.volumes.unmount_all(uid)
        await asyncio.to_thread(services.files.remove, uid)
        services.messages.forget(uid)

    # --- status -------------------------------------------------------------------------------------------------------

    async def _report(self, observed: ObservedPod, *, is_terminated: bool = False) -> None:
        """Compute the status from what is observed and hand it to the reporter."""
        if self._removed:
            return
        inputs = await self._inputs(observed, is_terminated=is_terminated)
        self._submit(compute_pod_status(self._with_status(), observed, inputs))

    async def _inputs(self, observed: ObservedPod, *, is_terminated: bool = False) -> StatusInputs:
        return await gather_status_inputs(
            self._record,
            observed,
            self._services,
            seen_at=self._seen_at,
            rejection=self._rejection,
            resize=self._resize,
            is_terminated=is_terminated,
        )

    def _submit(self, status: Object) -> None:
        self._status = status
        self._services.reporter.submit(self.pod, status)
        if status.get("phase") in TERMINAL_PHASES:
            self._services.retry_resizes()

    def _with_status(self) -> ReadOnlyObject:
        """The object with our own newest status, which the API's may lag behind, and the conditions of others."""
        return with_status(self.pod, self._status) if self._status else self.pod

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def _wait(self, event: asyncio.Event, delay: float | None) -> None:
        """Wait for the event, at most for the delay."""
        if self.phase is Phase.TERMINATED or event.is_set():
            return
        if delay is None:
            await event.wait()
        else:
            await run_until(event, self._services.clock.sleep(delay))


def _unsupported_message(fields: Sequence[str]) -> str:
    return f"this node does not support: {', '.join(fields)}"
