"""Which phase a Pod is in by the states of its containers. Pure; part of `pod_status.py`.

Rules of the kubelet's getPhase (pkg/kubelet/kubelet_pods.go, v1.36). A Pod whose sandbox is new is Pending again until
it is initialized again; sidecars keep it Running, but how they end says nothing of how it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.pods.container_history import is_initialized, is_later_lost, is_wanted_back
from agent.pods.observed import ObservedPod
from agent.pods.pod_spec import find_container, is_sidecar, restarts_after
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_static_pod

PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"
TERMINAL_PHASES = (SUCCEEDED, FAILED)


@dataclass(slots=True)
class _Tally:
    """How many containers are in which state; `waiting` ones never ran, `stopped` ones did and run no more."""

    waiting: int = 0
    running: int = 0
    stopped: int = 0
    restarting: int = 0
    succeeded: int = 0
    initializing: int = 0
    starting_sidecars: int = 0
    failed_initialization: int = 0


def compute_phase(
    pod: ReadOnlyObject,
    observed: ObservedPod,
    init_statuses: Sequence[Object],
    statuses: Sequence[Object],
    *,
    is_terminal: bool,
) -> str:
    """The phase by the statuses alone, whatever it was before. `is_terminal`: the node runs the Pod no more."""
    tally = _Tally()
    for status in init_statuses:
        container = find_container(pod, status["name"])
        assert container is not None
        if is_sidecar(container):
            _count_sidecar(tally, status)
        else:
            _count_init_container(tally, pod, observed, container, status)
    for status in statuses:
        _count_regular_container(tally, pod, observed, status)
    if tally.failed_initialization:
        return FAILED
    has_sandbox = observed.sandbox is not None and observed.sandbox.is_running
    is_starting = tally.starting_sidecars and not (has_sandbox and is_initialized(pod, observed))
    if tally.initializing or is_starting or tally.waiting:
        return PENDING
    if tally.running:
        return RUNNING
    if not tally.stopped:
        return PENDING
    ends_for_good = is_terminal and not is_static_pod(pod)
    if tally.restarting and not ends_for_good:
        return RUNNING
    return SUCCEEDED if tally.stopped == tally.succeeded else FAILED


def _count_init_container(
    tally: _Tally, pod: ReadOnlyObject, observed: ObservedPod, container: ReadOnlyObject, status: Object
) -> None:
    ended = _end_of(status)
    if "running" in status["state"] or ended is None:
        tally.initializing += 1
    elif ended["exitCode"] != 0 and not _is_restart_due(pod, observed, container, ended["exitCode"]):
        tally.failed_initialization += 1


def _count_sidecar(tally: _Tally, status: Object) -> None:
    if "running" in status["state"]:
        tally.running += 1
        tally.starting_sidecars += not status["started"]
    elif _end_of(status) is None:
        tally.waiting += 1
        tally.starting_sidecars += 1


def _count_regular_container(tally: _Tally, pod: ReadOnlyObject, observed: ObservedPod, status: Object) -> None:
    container, ended = find_container(pod, status["name"]), _end_of(status)
    assert container is not None
    if "running" in status["state"]:
        tally.running += 1
    elif ended is None:
        tally.waiting += 1
    else:
        tally.stopped += 1
        tally.restarting += _is_restart_due(pod, observed, container, ended["exitCode"])
        # The last end of a container that waits to run again is no success of the Pod's.
        tally.succeeded += "terminated" in status["state"] and ended["exitCode"] == 0


def _end_of(status: Object) -> Object | None:
    """How a container that does not run ended last, if it ever did."""
    ended: Object | None = status["state"].get("terminated") or (status.get("lastState") or {}).get("terminated")
    return ended


def _is_restart_due(pod: ReadOnlyObject, observed: ObservedPod, container: ReadOnlyObject, exit_code: int) -> bool:
    """True when policy or rules want a stopped container back, its own before the Pod's, or all start over."""
    newest = observed.find(container["name"])
    if newest is not None and newest.is_exited and not is_later_lost(pod, newest):
        return is_wanted_back(pod, observed, container, newest)
    return restarts_after(pod, container, exit_code)
