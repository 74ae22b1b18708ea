"""Liveness, readiness and startup probes: one task per container and probe, verdicts for the decisions.

`sync` starts and ends the tasks to match what is observed; a verdict that changes wakes the Pod's worker. Thresholds,
periods and Event texts are the kubelet's prober's (pkg/kubelet/prober, v1.36). Two deliberate differences: until its
first success a readiness or startup probe over HTTP or TCP is also tried at short intervals that count for nothing, so
that a Pod is Ready when it is and not a period later; and a restarted agent trusts the verdicts the API still holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from random import Random
from typing import Any

from agent.pods.container_history import reported_status
from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import all_containers, field_path, is_host_network
from agent.pods.probe_attempt import ProbeAttempt, ProbeResult
from agent.pods.probe_tally import ProbeIdentity, ProbeTally
from agent.pods.verdicts import NO_VERDICTS, ContainerVerdicts
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject

EARLY_SECONDS_FIRST = 0.05
JITTER_WITHIN_SECONDS = 10.0
TRIES_MAX = 3


class ProbeKind(Enum):
    """The three probes; the value is the word in Events."""

    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"

    @property
    def field(self) -> str:
        """The field of the container: `livenessProbe`."""
        return f"{self.value.lower()}Probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What one probe task works on."""

    pod_record: PodRecord
    container: ReadOnlyObject
    probe: Mapping[str, Any]
    kind: ProbeKind
    container_id: str
    started_at: datetime
    address: str

    @property
    def identity(self) -> ProbeIdentity:
        """What its counts are kept by."""
        metadata = self.pod_record.pod["metadata"]
        return ProbeIdentity(
            namespace=metadata["namespace"],
            pod=metadata["name"],
            pod_uid=metadata["uid"],
            container=self.container["name"],
            kind=self.kind.value,
        )


class ProbeRunner:
    """All probes of the node."""

    def __init__(
        self,
        attempt: ProbeAttempt,
        *,
        clock: Clock,
        random: Random,
        record: Callable[..., None],
        host_ip: Callable[[], str],
    ) -> None:
        self._attempt = attempt
        self._clock = clock
        self._random = random
        self._record = record
        self._host_ip = host_ip
        self._started_at = clock.monotonic()
        self.tally = ProbeTally()
        self._verdicts: dict[str, ContainerVerdicts] = {}
        self._tasks: dict[tuple[str, ProbeKind], asyncio.Task[None]] = {}
        self._container_ids: dict[str, set[str]] = {}

    @property
    def verdicts(self) -> Mapping[str, ContainerVerdicts]:
        """What the probes say, by container id."""
        return self._verdicts

    def sync(self, pod_record: PodRecord, observed: ObservedPod, *, terminating: bool = False) -> None:
        """Start the probes that should run and end those of containers that do not."""
        pod = pod_record.pod
        wanted: set[tuple[str, ProbeKind]] = set()
        known = self._container_ids.setdefault(pod_record.uid, set())
        for container in all_containers(pod):
            newest = observed.find(container["name"])
            if newest is None or not newest.is_running:
                continue
            if newest.id not in known:
                known.add(newest.id)
                self._verdicts[newest.id] = _initial_verdicts(pod, newest)
            for kind in self._kinds(container, newest, terminating=terminating):
                wanted.add((newest.id, kind))
                if (newest.id, kind) not in self._tasks:
                    self._start(pod_record, container, newest, kind, observed)
        for key in [key for key in self._tasks if key[0] in known and key not in wanted]:
            self._tasks.pop(key).cancel()
        # Somebody may have removed a running container: what was known of it goes all the same.
        for container_id in known - {container.id for container in observed.running_containers()}:
            known.discard(container_id)
            del self._verdicts[container_id]

    def forget(self, pod_uid: str) -> None:
        """End every probe of a Pod that is gone."""
        container_ids = self._container_ids.pop(pod_uid, set())
        for key in [key for key in self._tasks if key[0] in container_ids]:
            self._tasks.pop(key).cancel()
        for container_id in container_ids:
            del self._verdicts[container_id]
        self.tally.forget_pod(pod_uid)

    async def close(self) -> None:
        """End every probe."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _kinds(self, container: ReadOnlyObject, running: ObservedContainer, *, terminating: bool) -> list[ProbeKind]:
        """Liveness and readiness wait for the startup probe; a Pod that goes is only asked for readiness."""
        started = not container.get("startupProbe") or self._verdicts[running.id].startup is True
        if not started:
            return [] if terminating else [ProbeKind.STARTUP]
        kinds = (ProbeKind.READINESS,) if terminating else (ProbeKind.LIVENESS, ProbeKind.READINESS)
        return [kind for kind in kinds if container.get(kind.field)]

    def _start(
        self,
        pod_record: PodRecord,
        container: ReadOnlyObject,
        running: ObservedContainer,
        kind: ProbeKind,
        observed: ObservedPod,
    ) -> None:
        sandbox = observed.sandbox
        address = self._host_ip() if is_host_network(pod_record.pod) else (sandbox.ip if sandbox else "")
        target = _Target(
            pod_record=pod_record,
            container=container,
            probe=container[kind.field],
            kind=kind,
            container_id=running.id,
            started_at=running.record.started_at or running.record.created_at,
            address=address,
        )
        self._tasks[(running.id, kind)] = asyncio.ensure_future(self._run(target))

    async def _run(self, target: _Target) -> None:
        period = float(target.probe.get("periodSeconds") or 10)
        await self._wait_to_begin(target, period)
        if await self._probe_early(target, period):
            await self._clock.sleep(period)
        last: bool | None = None
        run_length = 0
        while True:
            tried_at = self._clock.monotonic()
            result = await self._try(target)
            if result.errored or result.warns or not result.passed:
                self._report(target, result)
            # A probe that could not be carried out says nothing about the container.
            if not result.errored:
                self._count(target, result, tried_at)
                run_length = run_length + 1 if result.passed == last else 1
                last = result.passed
                if self._has_decided(target, result.passed, run_length):
                    return
            await self._clock.sleep(max(0.0, period - (self._clock.monotonic() - tried_at)))

    async def _try(self, target: _Target) -> ProbeResult:
        """One attempt; one that could not be carried out is repeated at once, as upstream's."""
        for _ in range(TRIES_MAX):
            result = await self._attempt.probe(target.container, target.container_id, target.probe, target.address)
            if not result.errored:
                break
        return result

    def _has_decided(self, target: _Target, passed: bool, run_length: int) -> bool:
        """Judge once the threshold is reached; True when the probe has nothing more to say."""
        name = "successThreshold" if passed else "failureThreshold"
        if run_length < int(target.probe.get(name) or (1 if passed else 3)):
            return False
        self._judge(target, passed)
        if passed:
            return target.kind is ProbeKind.STARTUP
        return target.kind is not ProbeKind.READINESS  # The container is killed now.

    async def _wait_to_begin(self, target: _Target, period: float) -> None:
        """Wait for the initial delay; after a restart of the agent, spread the first probes over their period."""
        age = max(0.0, (self._clock.now() - target.started_at).total_seconds())  # the clock may have been set back
        delay = float(target.probe.get("initialDelaySeconds") or 0) - age
        if age > period and self._clock.monotonic() - self._started_at < JITTER_WITHIN_SECONDS:
            delay = max(delay, self._random.random() * period)
        if delay > 0:
            await self._clock.sleep(delay)

    async def _probe_early(self, target: _Target, period: float) -> bool:
        """Try at short intervals during the first period; True when the probe has given its verdict."""
        if (
            target.kind is ProbeKind.LIVENESS
            or "exec" in target.probe
            or int(target.probe.get("successThreshold") or 1) > 1
        ):
            return False
        verdicts = self._verdicts.get(target.container_id, NO_VERDICTS)
        if target.kind is ProbeKind.READINESS and verdicts.readiness:
            return False
        spent, pause = 0.0, EARLY_SECONDS_FIRST
        while spent + pause < period:
            tried_at = self._clock.monotonic()
            result = await self._attempt.probe(target.container, target.container_id, target.probe, target.address)
            if result.passed:
                self._count(target, result, tried_at)
                if result.warns:
                    self._report(target, result)
                self._judge(target, True)
                return True
            await self._clock.sleep(pause)
            spent += pause
            pause *= 2
        return False

    def _count(self, target: _Target, result: ProbeResult, tried_at: float) -> None:
        self.tally.add(target.identity, passed=result.passed, seconds=self._clock.monotonic() - tried_at)

    def _judge(self, target: _Target, passed: bool) -> None:
        old = self._verdicts.get(target.container_id, NO_VERDICTS)
        new = replace(old, **{target.kind.value.lower(): passed})
        if new != old:
            self._verdicts[target.container_id] = new
            target.pod_record.wake()

    def _report(self, target: _Target, result: ProbeResult) -> None:
        word = target.kind.value
        reason = "Unhealthy"
        if result.errored:
            message = f"{word} probe errored and resulted in unknown state: {result.output}"
        elif result.passed:
            reason, message = "ProbeWarning", f"{word} probe warning: {result.output}"
        else:
            message = f"{word} probe failed: {result.output}"
        path = field_path(target.pod_record.pod, target.container["name"])
        self._record(target.pod_record.pod, "Warning", reason, message, field_path=path)


def _initial_verdicts(pod: ReadOnlyObject, running: ObservedContainer) -> ContainerVerdicts:
    """What the API says of exactly this container, which a former agent probed."""
    reported = reported_status(pod, running.name)
    if reported is None or reported.get("containerID") != f"docker://{running.id}":
        return NO_VERDICTS
    return ContainerVerdicts(
        readiness=True if reported.get("ready") else None, startup=True if reported.get("started") else None
    )
