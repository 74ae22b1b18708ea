"""How containers stop, and which stop first. Pure; shared by a Pod that goes on and one that ends.

Upstream: killContainer and terminationOrdering (pkg/kubelet/kuberuntime, v1.36): all containers at once but the
sidecars, which wait for the regular containers and go one after the other, the last of the spec first. The grace period
is the Pod's: when it is over nobody waits any more. Pre-stop hooks do not wait for their container's turn.
"""

from __future__ import annotations

from datetime import datetime

from agent.pods.actions import Action, KillContainer, RunPreStop, StopContainer, WakeAfter
from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.pod_spec import find_container, has_pre_stop, init_containers, is_sidecar, regular_containers
from control.api.objects import ReadOnlyObject

# However late it is, a program has this long to end by itself.
GRACE_SECONDS_MIN = 2.0


def stop_in_order(pod: ReadOnlyObject, observed: ObservedPod, deadline: datetime, now: datetime) -> list[Action]:
    """Stop all that runs of a Pod whose grace period ends at the deadline. Who stops late has what is left of it."""
    remaining = (deadline - now).total_seconds()
    running = observed.running_containers()
    turn = running if remaining <= 0 else whose_turn_to_stop(pod, observed)
    begun = {container.id for container in turn} | observed.pre_stopped
    actions: list[Action] = [
        RunPreStop(
            container_id=container.id,
            container_name=container.name,
            grace_seconds=remaining,
            cause="Pod ends",
            pod_deadline=deadline,
        )
        for container in running
        if container.id not in begun and has_pre_stop(find_container(pod, container.name))
    ]
    for container in turn:
        actions += stop_actions(
            container,
            observed,
            grace_seconds=max(0.0, remaining),
            cause=f"Stopping container {container.name}",
            now=now,
            pod_deadline=deadline,
        )
    if len(turn) < len(running):
        actions.append(WakeAfter(seconds=remaining, cause="the grace period of the Pod"))
    return actions


def whose_turn_to_stop(pod: ReadOnlyObject, observed: ObservedPod) -> list[ObservedContainer]:
    """The running containers that a Pod which ends stops now."""
    running = observed.running_containers()
    sidecars = [item["name"] for item in init_containers(pod) if is_sidecar(item)]
    turn = [container for container in running if container.name not in sidecars]
    regular = {container["name"] for container in regular_containers(pod)}
    if not any(container.name in regular for container in turn):
        waiting = [container for container in running if container.name in sidecars]
        last = max((sidecars.index(container.name) for container in waiting), default=-1)
        turn += [container for container in waiting if sidecars.index(container.name) == last]
    return turn


def stop_actions(
    container: ObservedContainer,
    observed: ObservedPod,
    *,
    grace_seconds: float,
    cause: str,
    now: datetime,
    pod_deadline: datetime | None = None,
    restarts: bool = False,
) -> list[Action]:
    """Stop a running container: begin, wait out the grace period, or kill, whichever comes next.

    A Pod's deadline that was brought forward counts for what is stopping already.
    """
    stopping = observed.stopping.get(container.id)
    name = container.name
    if stopping is None:
        return [
            StopContainer(
                container_id=container.id,
                container_name=name,
                grace_seconds=grace_seconds,
                cause=cause,
                pod_deadline=pod_deadline,
                restarts=restarts,
            )
        ]
    deadline = stopping.deadline
    if pod_deadline is not None and (stopping.pod_deadline is None or pod_deadline < stopping.pod_deadline):
        deadline = min(deadline, pod_deadline)
    remaining = (deadline - now).total_seconds()
    if remaining <= 0:
        return [KillContainer(container_id=container.id, container_name=name, cause="grace period is over")]
    return [WakeAfter(seconds=remaining, cause=f"container {name} has its grace period")]
