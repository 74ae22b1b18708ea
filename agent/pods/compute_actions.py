"""Why a Pod's containers start, restart and stop: one pure decision over (Pod, observed, back-off, probes, now).

Called by the Pod worker in its sync phase; `compute_termination.py` decides for Pods that must go. The rules are those
of the kubelet's computePodActions (pkg/kubelet/kuberuntime/kuberuntime_manager.go, v1.36): a dead sandbox takes all
containers with it, init containers run one after the other, each restart is a new attempt. Calling it again after any
part of its answer was carried out leads to the same end: that is what makes a crash between two actions harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from agent.pods.actions import (
    Action,
    BackOff,
    CreateSandbox,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    StartContainer,
    StartSandbox,
    StopSandbox,
)
from agent.pods.backoff import RestartBackoff, RestartPast
from agent.pods.container_history import (
    has_failed_for_good,
    is_finished,
    is_initialized,
    is_stale,
    next_attempt,
    reported_status,
    restart_round,
)
from agent.pods.container_stop import stop_actions, stop_in_order
from agent.pods.observed import ObservedContainer, ObservedPod, ObservedSandbox
from agent.pods.pod_spec import (
    ephemeral_containers,
    find_container,
    grace_period_seconds,
    init_containers,
    is_host_network,
    is_init,
    is_sidecar,
    pod_restart_policy,
    regular_containers,
)
from agent.pods.resize import changed_resources, inherited_changes, needs_restart, pod_resize_actions
from agent.pods.verdicts import NO_VERDICTS, ContainerVerdicts
from agent.runtime.identity import spec_hash
from agent.runtime.protocol import ContainerState
from control.api.objects import ReadOnlyObject

Probes = Mapping[str, ContainerVerdicts]


def compute_actions(
    pod: ReadOnlyObject, observed: ObservedPod, backoff: RestartBackoff, probes: Probes, now: datetime
) -> list[Action]:
    """Return what must happen now, in order. An empty list means that the Pod is as it should be."""
    decision = _Decision(pod, observed, backoff, probes, now)
    decision.decide()
    return decision.actions


class _Decision:
    """One evaluation; the methods append to `actions`."""

    def __init__(
        self, pod: ReadOnlyObject, observed: ObservedPod, backoff: RestartBackoff, probes: Probes, now: datetime
    ) -> None:
        self.pod = pod
        self.observed = observed
        self.backoff = backoff
        self.probes = probes
        self.now = now
        self.round = restart_round(pod, observed)
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
            self.actions = pod_resize_actions(self.pod, self.observed, self.actions)
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
        self._stop_in_order()
        if self.observed.running_containers():
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
            self._start(initial[0], sandbox_exists=sandbox_exists)
            return
        for container in regular_containers(self.pod):
            if not is_finished(self.pod, self.observed, container):
                self._start(container, sandbox_exists=sandbox_exists)

    # --- containers ---------------------------------------------------------------------------------------------------

    def _sync_containers(self, sandbox: ObservedSandbox) -> None:
        if self._stop_what_does_not_belong(sandbox):
            return
        for container in ephemeral_containers(self.pod):
            self._sync_ephemeral_container(container)
        if not self._sync_init_containers():
            return
        for container in regular_containers(self.pod):
            self._sync_container(container)

    def _stop_what_does_not_belong(self, sandbox: ObservedSandbox) -> bool:
        """Stop containers of other sandboxes, attempts or rounds; True while a round that is over still has some."""
        is_round_ending = False
        for container in self.observed.running_containers():
            newest = self.observed.find(container.name)
            if container.sandbox_id and container.sandbox_id != sandbox.id:
                self._stop(container, f"Stopping container {container.name}")
            elif newest is not None and newest.id != container.id:
                self._stop(container, f"Container {container.name} was replaced by attempt {newest.attempt}")
            elif find_container(self.pod, container.name) is None:
                self._stop(container, f"Container {container.name} is not part of the Pod")
            elif is_stale(self.pod, self.observed, container):
                # Upstream: without pre-stop hooks, and in this word.
                self._stop(container, "killing", grace_seconds=0)
                is_round_ending = True
        return is_round_ending

    def _current(self, name: str) -> ObservedContainer | None:
        """The newest attempt, if it belongs to the newest sandbox and to the round under way."""
        newest = self.observed.find_in_sandbox(name)
        return None if newest is None or newest.round < self.round else newest

    def _sync_init_containers(self) -> bool:
        """Bring the init containers forward; returns True when the regular containers may run."""
        already = is_initialized(self.pod, self.observed)
        for container in init_containers(self.pod):
            if is_sidecar(container):
                if not self._sync_sidecar(container) and not already:
                    return False
            elif not already and not self._sync_init_container(container):
                return False
        return True

    def _sync_sidecar(self, container: ReadOnlyObject) -> bool:
        """Keep a restartable init container running; True once it has started (its startup probe passed)."""
        newest = self._current(container["name"])
        self._sync_container(container)
        if newest is None or not newest.is_running:
            return False
        return not container.get("startupProbe") or self._verdicts(newest).startup is True

    def _sync_init_container(self, container: ReadOnlyObject) -> bool:
        """Run an init container to its end, even if its image changes meanwhile; True once it has succeeded.

        Whatever its resize policy, it never restarts to get other resources.
        """
        newest = self._current(container["name"])
        if newest is not None and newest.succeeded:
            return True
        if newest is not None and newest.is_running:
            if newest.id in self.observed.stopping:
                self._stop(newest, f"Container {newest.name} is stopping")
            elif changed := changed_resources(container, newest) or inherited_changes(
                self.pod, container, self.observed
            ):
                self._resize(newest, changed)
        elif newest is None or newest.is_created or not has_failed_for_good(self.pod, self.observed, container):
            self._start(container, sandbox_exists=True)
        return False

    def _sync_container(self, container: ReadOnlyObject) -> None:
        newest = self._current(container["name"])
        if newest is not None and newest.is_running:
            self._continue_or_kill(container, newest)
        elif not is_finished(self.pod, self.observed, container):
            self._start(container, sandbox_exists=True)

    def _sync_ephemeral_container(self, container: ReadOnlyObject) -> None:
        """Start an ephemeral container once, whatever the others do; it is never restarted nor moved."""
        newest = self.observed.find(container["name"])
        if newest is None:
            is_new = reported_status(self.pod, container["name"], with_id=True) is None
        else:
            is_new = newest.is_created and self.observed.find_in_sandbox(container["name"]) is not None
        if is_new:
            self._start(container, sandbox_exists=True)

    def _continue_or_kill(self, container: ReadOnlyObject, running: ObservedContainer) -> None:
        """Kill a running container whose image changed or whose probes failed; a stop under way continues."""
        name = container["name"]
        probe = self._failed_probe(running)
        will_restart = True
        probe_grace: float | None = None
        if running.id in self.observed.stopping:
            message = "is stopping"
        elif _has_changed(container, running):
            message = "definition changed"
        elif probe:
            message = f"failed {probe} probe"
            will_restart = self._is_restartable(container)
            probe_grace = (container.get(f"{probe}Probe") or {}).get("terminationGracePeriodSeconds")
        elif changed := changed_resources(container, running):
            if needs_restart(container, changed):
                self._stop(running, f"Container {name} resize requires restart", restarts=True)
            else:
                self._resize(running, changed)
            return
        elif inherited := inherited_changes(self.pod, container, self.observed):
            self._resize(running, inherited)
            return
        else:
            return
        if is_init(self.pod, name):
            cause = f"Init container {name} {message}"
        else:
            cause = f"Container {name} {message}" + (", will be restarted" if will_restart else "")
        self._stop(running, cause, grace_seconds=probe_grace, restarts=will_restart)

    def _failed_probe(self, running: ObservedContainer) -> str:
        """The probe for whose sake the container must be killed: `liveness`, `startup` or none."""
        verdicts = self._verdicts(running)
        if verdicts.liveness is False:
            return "liveness"
        return "startup" if verdicts.startup is False else ""

    def _is_restartable(self, container: ReadOnlyObject) -> bool:
        """Whether a container that is killed for its probe runs again. Its rules have no say: there is no exit code."""
        return (container.get("restartPolicy") or pod_restart_policy(self.pod)) != "Never"

    def _resize(self, running: ObservedContainer, changed: list[str]) -> None:
        cause = f"{' and '.join(changed)} of the spec changed"
        self.actions.append(ResizeContainer(container_id=running.id, container_name=running.name, cause=cause))

    def _start(self, container: ReadOnlyObject, *, sandbox_exists: bool) -> None:
        name = container["name"]
        newest = self.observed.find(name)
        if any(attempt.is_running for attempt in self.observed.containers.get(name, ())):
            return
        in_sandbox = self._current(name) if sandbox_exists else None
        if in_sandbox is not None and in_sandbox.is_created and in_sandbox.spec_hash == spec_hash(container):
            self._run_attempt(container, in_sandbox.attempt, "container was created but never started")
        elif newest is None or not newest.is_exited or not self._is_in_backoff(container):
            cause = "container has not run yet" if newest is None else _exit_cause(newest)
            self._run_attempt(container, next_attempt(self.pod, self.observed, name), cause)

    def _run_attempt(self, container: ReadOnlyObject, attempt: int, cause: str) -> None:
        self.actions.append(
            StartContainer(
                container_name=container["name"],
                attempt=attempt,
                cause=cause,
                backoff_seconds=self.backoff.next_delay_seconds(self._past(container)),
                round=self.round,
            )
        )

    def _is_in_backoff(self, container: ReadOnlyObject) -> bool:
        past = self._past(container)
        remaining = self.backoff.remaining_seconds(past, self.now)
        if remaining <= 0:
            return False
        assert past.newest is not None
        self.actions.append(
            BackOff(
                container_name=container["name"],
                delay_seconds=self.backoff.delay_seconds(past.newest),
                remaining_seconds=remaining,
                cause=_exit_cause(past.newest),
            )
        )
        return True

    def _past(self, container: ReadOnlyObject) -> RestartPast:
        """What the back-off of a container is reckoned from."""
        attempts = self.observed.containers.get(container["name"], ())
        if not attempts:
            return RestartPast()
        return RestartPast(
            newest=attempts[0],
            before=attempts[1] if len(attempts) > 1 else None,
            was_stopped=attempts[0].id in self.observed.restarting,
            has_changed=_has_changed(container, attempts[0]),
        )

    # --- the end ------------------------------------------------------------------------------------------------------

    def _all_finished(self) -> bool:
        """True when no regular container will run again, or an init container failed for good."""
        if self._has_failed_init_container():
            return True
        containers = regular_containers(self.pod)
        return bool(containers) and all(self._is_over(item) for item in containers)

    def _is_over(self, container: ReadOnlyObject) -> bool:
        """True for a container that ended for good, and for one that is to be killed and not to run again."""
        if is_finished(self.pod, self.observed, container):
            return True
        newest = self._current(container["name"])
        if newest is None or not newest.is_running or _has_changed(container, newest):
            return False
        return bool(self._failed_probe(newest)) and not self._is_restartable(container)

    def _has_failed_init_container(self) -> bool:
        return not is_initialized(self.pod, self.observed) and any(
            not is_sidecar(container) and has_failed_for_good(self.pod, self.observed, container)
            for container in init_containers(self.pod)
        )

    def _finish(self) -> None:
        """Stop what else runs, sidecars last, then the sandbox: a Pod that is done keeps only its dead containers."""
        self._stop_in_order()
        if self.observed.running_containers():
            return
        for sandbox in self.observed.sandboxes:
            if sandbox.is_running:
                self.actions.append(StopSandbox(sandbox_id=sandbox.id, ip=sandbox.ip, cause="Pod has completed"))

    def _stop_in_order(self) -> None:
        """Stop every container, sidecars last, within one grace period."""
        deadline = self.observed.stop_deadline or self.now + timedelta(seconds=grace_period_seconds(self.pod))
        self.actions += stop_in_order(self.pod, self.observed, deadline, self.now)

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

    def _stop(
        self, container: ObservedContainer, cause: str, *, grace_seconds: float | None = None, restarts: bool = False
    ) -> None:
        grace = grace_period_seconds(self.pod) if grace_seconds is None else grace_seconds
        self.actions += stop_actions(
            container, self.observed, grace_seconds=grace, cause=cause, now=self.now, restarts=restarts
        )


def _has_changed(container: ReadOnlyObject, existing: ObservedContainer) -> bool:
    """True when the spec has another image than what exists was made from."""
    return bool(existing.spec_hash) and existing.spec_hash != spec_hash(container)


def _exit_cause(container: ObservedContainer) -> str:
    if container.failed_to_start:
        return f"attempt {container.attempt} could not be started"
    if container.record.oom_killed:
        return f"attempt {container.attempt} ran out of memory"
    return f"attempt {container.attempt} exited with code {container.record.exit_code}"
