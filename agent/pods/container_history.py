"""What a container's past says about its future: attempts, ends, and rounds of a Pod that restarts as a whole.

Pure. The engine's containers are the record; what the API remembers counts once they are gone.
"""

from __future__ import annotations

from typing import Any

from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.pod_spec import (
    RESTART_ALL_CONTAINERS,
    find_container,
    is_ephemeral,
    needs_restart,
    regular_containers,
    restart_rule_action,
    restarts_after,
)
from control.api.objects import ReadOnlyObject

LOST_CONTAINER_EXIT_CODE = 137
LOST_CONTAINER_REASON = "ContainerStatusUnknown"
STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def next_attempt(pod: ReadOnlyObject, observed: ObservedPod, container_name: str) -> int:
    """Number of the next attempt: after the newest that exists, or after the one the API remembers."""
    newest = observed.find(container_name)
    if newest is not None and not is_later_lost(pod, newest):
        # An attempt that was never started does not count; the executor replaces what does not fit.
        return newest.attempt if newest.is_created else newest.attempt + 1
    remembered = reported_status(pod, container_name) or {}
    # Without an id the count is already that of the attempt to come: the last one was lost.
    return int(remembered.get("restartCount") or 0) + (1 if remembered.get("containerID") else 0)


def reported_status(pod: ReadOnlyObject, container_name: str, *, with_id: bool = False) -> Any | None:
    """The status of a container that the API holds, or None; `with_id` asks for one that existed once."""
    status = pod.get("status") or {}
    for field in STATUS_LISTS:
        for item in status.get(field) or ():
            if item.get("name") == container_name:
                return item if item.get("containerID") or not with_id else None
    return None


def is_later_lost(pod: ReadOnlyObject, newest: ObservedContainer) -> bool:
    """True when the API remembers a later attempt than any that exists: somebody has removed it."""
    if not newest.is_exited:
        return False
    remembered = reported_status(pod, newest.name) or {}
    return int(remembered.get("restartCount") or 0) > newest.attempt


def is_finished(pod: ReadOnlyObject, observed: ObservedPod, container: ReadOnlyObject) -> bool:
    """True when the container ended and must not run again; what the API holds counts once the container is gone."""
    newest = observed.find(container["name"])
    if newest is not None and not is_later_lost(pod, newest):
        return newest.is_exited and not is_wanted_back(pod, observed, container, newest)
    exit_code = _remembered_exit_code(pod, container["name"])
    return exit_code is not None and not restarts_after(pod, container, exit_code)


def _remembered_exit_code(pod: ReadOnlyObject, container_name: str) -> int | None:
    """How a container that is gone ended last, as far as the API knows; one that ran there was lost.

    What must not run twice does not run again because somebody has removed its container: upstream, too, counts it as
    ended (convertToAPIContainerStatuses and getPhase in pkg/kubelet/kubelet_pods.go, v1.36).
    """
    reported = reported_status(pod, container_name) or {}
    state = reported.get("state") or {}
    ended = state.get("terminated")
    if ended is None and "running" in state:
        return LOST_CONTAINER_EXIT_CODE
    last = (reported.get("lastState") or {}).get("terminated") or {}
    if ended is None and last.get("reason") == LOST_CONTAINER_REASON:
        ended = last
    return None if ended is None else int(ended.get("exitCode") or 0)


def is_wanted_back(
    pod: ReadOnlyObject, observed: ObservedPod, container: ReadOnlyObject, exited: ObservedContainer
) -> bool:
    """True when a container that exited runs again: by its policy and rules, or because it was stopped to run again.

    Upstream stops and starts it in one go, so that its policy has no say (computePodActions).
    """
    if exited.id in observed.restarting or is_stale(pod, observed, exited):
        return True
    return needs_restart(pod, container, exited)


def has_failed_for_good(pod: ReadOnlyObject, observed: ObservedPod, container: ReadOnlyObject) -> bool:
    """True when an init container (not a sidecar) failed and its policy does not try again."""
    newest = observed.find(container["name"])
    if newest is None:
        exit_code = _remembered_exit_code(pod, container["name"])
        return bool(exit_code) and not restarts_after(pod, container, exit_code or 0)
    if not newest.is_exited or newest.succeeded:
        return False
    return not is_wanted_back(pod, observed, container, newest)


def is_initialized(pod: ReadOnlyObject, observed: ObservedPod) -> bool:
    """True when a regular container exists in the newest sandbox and round: all init containers must have been done."""
    current_round = restart_round(pod, observed)
    found = [observed.find_in_sandbox(container["name"]) for container in regular_containers(pod)]
    return any(newest is not None and newest.round >= current_round for newest in found)


def restart_round(pod: ReadOnlyObject, observed: ObservedPod) -> int:
    """How often the containers of the newest sandbox were all started over (`RestartAllContainers`).

    Each container carries the round it was made in; one that ends by such a rule ends its round for all.
    """
    latest = 0
    for container in observed.each_container():
        spec = find_container(pod, container.name)
        if spec is None or observed.sandbox is None or container.sandbox_id != observed.sandbox.id:
            continue
        action = restart_rule_action(spec, container.record.exit_code) if container.is_exited else ""
        latest = max(latest, container.round + (action == RESTART_ALL_CONTAINERS))
    return latest


def is_stale(pod: ReadOnlyObject, observed: ObservedPod, container: ObservedContainer) -> bool:
    """True for a container of a round that is over. Ephemeral containers belong to none."""
    if observed.sandbox is None or container.sandbox_id != observed.sandbox.id or is_ephemeral(pod, container.name):
        return False
    return container.round < restart_round(pod, observed)
