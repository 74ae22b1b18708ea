"""What remains to be done for a Pod that must go: stop the containers, then the sandbox, then remove what is left.

Pure; called by the Pod worker in its phases terminating and terminated. The grace period counts from the moment the
API accepted the deletion, so an agent that restarts halfway does not begin it again.
Upstream: SyncTerminatingPod and killContainer (pkg/kubelet), v1.36.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agent.pods.actions import Action, RemoveContainer, RemoveSandbox, StopSandbox
from agent.pods.container_stop import GRACE_SECONDS_MIN, stop_in_order
from agent.pods.observed import ObservedPod
from agent.pods.pod_spec import grace_period_seconds
from agent.pods.rejection import Rejection
from control.api.objects import ReadOnlyObject
from control.api.timestamps import parse_time

GRACE_SECONDS_OF_REMOVED_POD = 1.0


def deletion_deadline(
    pod: ReadOnlyObject, *, first_seen: datetime, removed: bool, wall_step: timedelta = timedelta()
) -> datetime:
    """When containers of a Pod that is being deleted are killed. `removed` means its object is gone already.

    `wall_step` is how far the clock of the API's times is ahead of the one that `first_seen` is of.
    """
    if removed:
        return first_seen + timedelta(seconds=GRACE_SECONDS_OF_REMOVED_POD)
    metadata = pod["metadata"]
    grace = float(metadata.get("deletionGracePeriodSeconds") or 0)
    if grace <= 0:
        return first_seen + timedelta(seconds=GRACE_SECONDS_OF_REMOVED_POD)
    earliest = first_seen + timedelta(seconds=min(grace, GRACE_SECONDS_MIN))
    # deletionTimestamp is cut to seconds; the fraction belongs to the container.
    accepted = parse_time(metadata["deletionTimestamp"]) + timedelta(seconds=1) - wall_step
    return max(earliest, min(accepted, first_seen + timedelta(seconds=grace)))


def stop_deadline(pod: ReadOnlyObject, *, first_seen: datetime, rejection: Rejection | None = None) -> datetime:
    """When containers of a Pod that must stop but stays in the API are killed; a reason may shorten the grace period.

    Never below a second (calculateEffectiveGracePeriod in pkg/kubelet/pod_workers.go, v1.36).
    """
    grace = grace_period_seconds(pod)
    if rejection is not None and rejection.grace_seconds is not None:
        grace = max(1.0, min(grace, rejection.grace_seconds))
    return first_seen + timedelta(seconds=grace)


def compute_termination(pod: ReadOnlyObject, observed: ObservedPod, deadline: datetime, now: datetime) -> list[Action]:
    """Stop what runs. An empty list means that nothing of the Pod is left on the host but dead containers."""
    actions = stop_in_order(pod, observed, deadline, now)
    if actions:
        return actions
    for sandbox in observed.sandboxes:
        # One that died by itself has left its address and the cgroup behind: they go before the object, too.
        if not sandbox.is_released:
            actions.append(StopSandbox(sandbox_id=sandbox.id, ip=sandbox.ip, cause="Pod is being deleted"))
    return actions


def compute_removal(observed: ObservedPod) -> list[Action]:
    """Remove every container of a Pod whose processes are gone."""
    actions: list[Action] = []
    for container in observed.each_container():
        actions.append(
            RemoveContainer(container_id=container.id, container_name=container.name, cause="Pod was deleted")
        )
    for sandbox in observed.sandboxes:
        actions.append(RemoveSandbox(sandbox_id=sandbox.id, ip=sandbox.ip, cause="Pod was deleted"))
    return actions
