"""How one container stops, and which containers stop first. Pure; shared by a Pod that goes on and one that ends.

Upstream: killContainer and terminationOrdering (pkg/kubelet/kuberuntime, v1.36): all regular containers at once, then
the sidecars one after the other, the last of the spec first. Their pre-stop hooks do not wait for their turn.
"""

from __future__ import annotations

from datetime import datetime

from agent.pods.actions import Action, KillContainer, RunPreStop, StopContainer, WakeAfter
from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.pod_spec import find_container, has_pre_stop, init_containers, is_sidecar
from control.api.objects import ReadOnlyObject

# However late it is, a program has this long to end by itself.
GRACE_SECONDS_MIN = 2.0


def whose_turn_to_stop(pod: ReadOnlyObject, observed: ObservedPod) -> list[ObservedContainer]:
    """The running containers that a Pod which ends stops now."""
    running = observed.running_containers()
    sidecars = [item["name"] for item in init_containers(pod) if is_sidecar(item)]
    others = [container for container in running if container.name not in sidecars]
    if others or not running:
        return others
    last = max(running, key=lambda container: sidecars.index(container.name)).name
    return [container for container in running if container.name == last]


def early_hooks(pod: ReadOnlyObject, observed: ObservedPod, grace_seconds: float) -> list[Action]:
    """Pre-stop hooks run as soon as the Pod ends, also those of containers that are stopped later."""
    turn = {container.id for container in whose_turn_to_stop(pod, observed)}
    return [
        RunPreStop(
            container_id=container.id,
            container_name=container.name,
            grace_seconds=grace_seconds,
            cause="Pod ends",
        )
        for container in observed.running_containers()
        if container.id not in turn | observed.pre_stopped
        and grace_seconds > 0
        and has_pre_stop(find_container(pod, container.name))
    ]


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
