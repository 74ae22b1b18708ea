"""Why a Pod's containers start, restart and stop: one pure decision over (Pod, observed, back-off, probes, now).

Called by the Pod worker in its sync phase; `compute_termination.py` decides for Pods that must go. The rules are those
of the kubelet's computePodActions (pkg/kubelet/kuberuntime/kuberuntime_manager.go, v1.36): a dead sandbox takes all
containers with it, init containers run one after the other, each restart is a new attempt. Calling it again after any
part of its answer was carried out leads to the same end: that is what makes a crash between two actions harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent.pods.actions import (
    Action,
    BackOff,
    CreateSandbox,
    KillContainer,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StartSandbox,
    StopContainer,
    StopSandbox,
    WakeAfter,
)
from agent.pods.backoff import Backoff, restart_key
from agent.pods.observed import ObservedContainer, ObservedPod, ObservedSandbox
from agent.pods.pod_spec import (
    find_container,
    grace_period_seconds,
    init_containers,
    is_host_network,
    is_sidecar,
    needs_restart,
    pod_restart_policy,
    regular_containers,
    restarts_after,
)
from agent.pods.verdicts import NO_VERDICTS, ContainerVerdicts
from agent.runtime.identity import spec_hash
from agent.runtime.protocol import ContainerState
from control.api.objects import ReadOnlyObject

Probes = Mapping[str, ContainerVerdicts]


def compute_actions(
    pod: ReadOnlyObject, observed: ObservedPod, backoff: Backoff, probes: Probes, now: datetime
) -> list[Action]:
    """Return what must happen now, in order. An empty list means that the Pod is as it should be."""
    decision = _Decision(pod, observed, backoff, probes, now)
    decision.decide()
    return decision.actions


def next_attempt(pod: ReadOnlyObject, observed: ObservedPod, container_name: str) -> int:
    """Number of the next attempt: after the newest that exists, or after the one the API remembers."""
    newest = observed.find(container_name)
    if newest is not None:
        # An attempt that was never started does not count; the executor replaces what does not fit.
        return newest.attempt if newest.is_created else newest.attempt + 1
    remembered = reported_status(pod, container_name) or {}
    # Without an id the count is already that of the attempt to come: the last one was lost.
    return int(remembered.get("restartCount") or 0) + (1 if remembered.get("containerID") else 0)


def reported_status(pod: ReadOnlyObject, container_name: str) -> Any | None:
    """The status of a container that the API holds, or None."""
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses"):
        for item in status.get(field) or ():
            if item.get("name") == container_name:
                return item
    return None


def is_finished(pod: ReadOnlyObject, observed: ObservedPod, container: ReadOnlyObject) -> bool:
    """True when the container ended and must not run again; what the API holds counts once the container is gone."""
    newest = observed.find(container["name"])
    if newest is not None:
        return newest.is_exited and not needs_restart(pod, container, newest)
    reported = reported_status(pod, container["name"]) or {}
    terminated = (reported.get("state") or {}).get("terminated")
    return terminated is not None and not restarts_after(pod, container, int(terminated.get("exitCode") or 0))


class _Decision:
    """One evaluation; the methods append to `actions`."""

    def __init__(
        self, pod: ReadOnlyObject, observed: ObservedPod, backoff: Backoff, probes: Probes, now: datetime
    ) -> None:
        self.pod = pod
        self.observed = observed
        self.backoff = backoff
        self.probes = probes
        self.now = now
        self.actions: list[Action] = []

    def decide(self) -> None:
        sandbox = self.observed.sandbox
        if sandbox is not None and sandbox.is_ready and self._others_running(sandbox):
            self._stop_other_sandboxes(sandbox)
        if self._all_finished():
            self._finish()
        elif sandbox is None or not sandbox.is_running:
            self._replace_sandbox(sandbox)
        else:
            if not sandbox.attached:
                cause = "sandbox is not wired yet"
                self.actions.append(StartSandbox(sandbox_id=sandbox.id, ip=sandbox.ip, cause=cause))
            self._sync_containers(sandbox)
        self._remove_leftovers()

    # --- sandbox ------------------------------------------------------------------------------------------------------

    def _others_running(self, sandbox: ObservedSandbox) -> bool:
        return any(other.is_running for other in self.observed.sandboxes if other.id != sandbox.id)

    def _stop_other_sandboxes(self, sandbox: ObservedSandbox) -> None:
        for other in self.observed.sandboxes:
            if other.id != sandbox.id and other.is_running:
                cause = f"sandbox attempt {sandbox.attempt} replaced it"
                self.actions.append(StopSandbox(sandbox_id=other.id, ip=other.ip, cause=cause))

    def _replace_sandbox(self, sandbox: ObservedSandbox | None) -> None:
        """Kill what still runs without a sandbox, then make a new one and start over."""
        if sandbox is not None and sandbox.record.state is ContainerState.CREATED and not sandbox.record.exit_code:
            cause = "sandbox was created but never started"
            self.actions.append(StartSandbox(sandbox_id=sandbox.id, ip=sandbox.ip, cause=cause))
            self._start_first_containers(sandbox_exists=True)
            return
        running = self.observed.running_containers()
        for container in running:
            self._stop(container, "Pod sandbox changed, it will be killed and re-created.")
        if running:
            return
        attempt = 0 if sandbox is None else sandbox.attempt + 1
        cause = "Pod has no sandbox" if sandbox is None else f"sandbox attempt {sandbox.attempt} is dead"
        if sandbox is not None and not is_host_network(self.pod):
            self.actions.append(StopSandbox(sandbox_id=sandbox.id, ip=sandbox.ip, cause=cause))
        self.actions.append(CreateSandbox(attempt=attempt, cause=cause))
        self._start_first_containers(sandbox_exists=False)

    def _start_first_containers(self, *, sandbox_exists: bool) -> None:
        """Start what a fresh sandbox begins with: the first init container, or all regular ones."""
        initial = init_containers(self.pod)
        if initial:
            self._start(initial[0], sandbox_exists=sandbox_exists, init=True)
            return
        for container in regular_containers(self.pod):
            if not is_finished(self.pod, self.observed, container):
                self._start(container, sandbox_exists=sandbox_exists)

    # --- containers ---------------------------------------------------------------------------------------------------

    def _sync_containers(self, sandbox: ObservedSandbox) -> None:
        for container in self.observed.running_containers():
            newest = self.observed.find(container.name)
            if container.sandbox_id and container.sandbox_id != sandbox.id:
                self._stop(container, "Pod sandbox changed, it will be killed and re-created.")
            elif newest is not None and newest.id != container.id:
                self._stop(container, f"Container {container.name} was replaced by attempt {newest.attempt}")
            elif find_container(self.pod, container.name) is None:
                self._stop(container, f"Container {container.name} is not part of the Pod")
        initialized = self._sync_init_containers()
        if not initialized:
            return
        for container in regular_containers(self.pod):
            self._sync_container(container)

    def _is_initialized_already(self) -> bool:
        """True when a regular container exists in this sandbox: all init containers must have been done then."""
        return any(self.observed.find_in_sandbox(item["name"]) for item in regular_containers(self.pod))

    def _sync_init_containers(self) -> bool:
        """Bring the init containers forward; returns True when the regular containers may run."""
        already = self._is_initialized_already()
        for container in init_containers(self.pod):
            if is_sidecar(container):
                if not self._sync_sidecar(container) and not already:
                    return False
            elif not already and not self._sync_init_container(container):
                return False
        return True

    def _sync_sidecar(self, container: ReadOnlyObject) -> bool:
        """Keep a restartable init container running; True once it has started (its startup probe passed)."""
        newest = self.observed.find_in_sandbox(container["name"])
        self._sync_container(container, init=True)
        if newest is None or not newest.is_running:
            return False
        return not container.get("startupProbe") or self._verdicts(newest).startup is True

    def _sync_init_container(self, container: ReadOnlyObject) -> bool:
        """Run an init container to its end; True once it has succeeded."""
        newest = self.observed.find_in_sandbox(container["name"])
        if newest is not None and newest.succeeded:
            return True
        if newest is None or newest.is_created or (newest.is_exited and pod_restart_policy(self.pod) != "Never"):
            self._start(container, sandbox_exists=True, init=True)
        elif newest.is_running:
            self._continue_or_kill(container, newest)
        return False

    def _sync_container(self, container: ReadOnlyObject, *, init: bool = False) -> None:
        newest = self.observed.find_in_sandbox(container["name"])
        if newest is not None and newest.is_running:
            self._continue_or_kill(container, newest)
        elif newest is None or newest.is_created:
            if not is_finished(self.pod, self.observed, container):
                self._start(container, sandbox_exists=True, init=init)
        elif newest.is_exited and needs_restart(self.pod, container, newest):
            self._start(container, sandbox_exists=True, init=init)

    def _continue_or_kill(self, container: ReadOnlyObject, running: ObservedContainer) -> None:
        """Kill a running container whose image changed or whose probes failed; a stop under way continues."""
        name = container["name"]
        verdicts = self._verdicts(running)
        will_restart = (container.get("restartPolicy") or pod_restart_policy(self.pod)) != "Never"
        probe_grace: float | None = None
        if running.id in self.observed.stopping:
            message = f"Container {name} is stopping"
        elif running.spec_hash and running.spec_hash != spec_hash(container):
            message = f"Container {name} definition changed"
            will_restart = True
        elif verdicts.liveness is False:
            message = f"Container {name} failed liveness probe"
            probe_grace = (container.get("livenessProbe") or {}).get("terminationGracePeriodSeconds")
        elif verdicts.startup is False:
            message = f"Container {name} failed startup probe"
            probe_grace = (container.get("startupProbe") or {}).get("terminationGracePeriodSeconds")
        else:
            return
        self._stop(running, f"{message}, will be restarted" if will_restart else message, grace_seconds=probe_grace)

    def _start(self, container: ReadOnlyObject, *, sandbox_exists: bool, init: bool = False) -> None:
        name = container["name"]
        newest = self.observed.find(name)
        if any(attempt.is_running for attempt in self.observed.containers.get(name, ())):
            return
        in_sandbox = self.observed.find_in_sandbox(name) if sandbox_exists else None
        if in_sandbox is not None and in_sandbox.is_created and in_sandbox.spec_hash == spec_hash(container):
            cause = "container was created but never started"
            self.actions.append(StartContainer(container_name=name, attempt=in_sandbox.attempt, cause=cause, init=init))
            return
        if newest is not None and newest.is_exited and self._is_in_backoff(container, newest):
            return
        attempt = next_attempt(self.pod, self.observed, name)
        cause = "container has not run yet" if newest is None else _exit_cause(newest)
        self.actions.append(StartContainer(container_name=name, attempt=attempt, cause=cause, init=init))

    def _is_in_backoff(self, container: ReadOnlyObject, exited: ObservedContainer) -> bool:
        key = restart_key(self.pod["metadata"]["uid"], container["name"])
        remaining = self.backoff.remaining_seconds(key, exited.finished_at, self.now)
        if remaining <= 0:
            return False
        self.actions.append(
            BackOff(
                container_name=container["name"],
                delay_seconds=self.backoff.delay_seconds(key, exited.finished_at),
                remaining_seconds=remaining,
                cause=_exit_cause(exited),
            )
        )
        return True

    # --- the end ------------------------------------------------------------------------------------------------------

    def _all_finished(self) -> bool:
        """True when no regular container will run again, or an init container failed for good."""
        if pod_restart_policy(self.pod) == "Never" and self._has_failed_init_container():
            return True
        containers = regular_containers(self.pod)
        return bool(containers) and all(is_finished(self.pod, self.observed, item) for item in containers)

    def _has_failed_init_container(self) -> bool:
        for container in init_containers(self.pod):
            newest = self.observed.find(container["name"])
            if is_sidecar(container) or newest is None:
                continue
            if newest.is_exited and not newest.succeeded and not self._is_initialized_already():
                return True
        return False

    def _finish(self) -> None:
        """Stop the sidecars, last first, then the sandbox: a Pod that is done keeps only its dead containers."""
        running = self.observed.running_containers()
        for container in reversed(running):
            self._stop(container, "Pod has completed")
        if running:
            return
        for sandbox in self.observed.sandboxes:
            if sandbox.is_running:
                self.actions.append(StopSandbox(sandbox_id=sandbox.id, ip=sandbox.ip, cause="Pod has completed"))

    def _remove_leftovers(self) -> None:
        """Keep the newest attempt of each container and the one before it (`logs --previous`), and one sandbox."""
        if any(isinstance(action, CreateSandbox | StartSandbox | StartContainer) for action in self.actions):
            return
        for name, attempts in self.observed.containers.items():
            kept = 2 if find_container(self.pod, name) is not None else 0
            for container in attempts[kept:]:
                if not container.is_running:
                    cause = f"attempt {attempts[0].attempt} is the newest"
                    self.actions.append(RemoveContainer(container_id=container.id, container_name=name, cause=cause))
        for sandbox in self.observed.sandboxes[1:]:
            if not sandbox.is_running:
                cause = f"attempt {self.observed.sandboxes[0].attempt} is the newest"
                self.actions.append(RemoveSandbox(sandbox_id=sandbox.id, ip=sandbox.ip, cause=cause))

    # --- shared -------------------------------------------------------------------------------------------------------

    def _verdicts(self, container: ObservedContainer) -> ContainerVerdicts:
        return self.probes.get(container.id, NO_VERDICTS)

    def _stop(self, container: ObservedContainer, cause: str, *, grace_seconds: float | None = None) -> None:
        grace = grace_period_seconds(self.pod) if grace_seconds is None else grace_seconds
        self.actions.extend(stop_actions(container, self.observed, grace, cause, self.now))


def stop_actions(
    container: ObservedContainer, observed: ObservedPod, grace_seconds: float, cause: str, now: datetime
) -> list[Action]:
    """Stop a running container: begin, wait out the grace period, or kill, whichever comes next."""
    stopping = observed.stopping.get(container.id)
    name = container.name
    if stopping is None:
        return [StopContainer(container_id=container.id, container_name=name, grace_seconds=grace_seconds, cause=cause)]
    remaining = (stopping.deadline - now).total_seconds()
    if remaining <= 0:
        return [KillContainer(container_id=container.id, container_name=name, cause="grace period is over")]
    return [WakeAfter(seconds=remaining, cause=f"container {name} has its grace period")]


def _exit_cause(container: ObservedContainer) -> str:
    if container.failed_to_start:
        return f"attempt {container.attempt} could not be started"
    if container.record.oom_killed:
        return f"attempt {container.attempt} ran out of memory"
    return f"attempt {container.attempt} exited with code {container.record.exit_code}"
