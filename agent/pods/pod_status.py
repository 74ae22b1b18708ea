"""What a Pod's status is: phase, conditions, addresses and container statuses. Pure.

Called by the Pod worker after each sync; `status_reporter.py` sends the answer. Conditions of others (readiness gates,
the scheduler's DisruptionTarget) are kept as they are. Rules and texts of the kubelet's generateAPIPodStatus and
pkg/kubelet/status/generate.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.pods.container_history import has_failed_for_good, is_initialized, is_stale, is_wanted_back
from agent.pods.container_status import StatusInputs, Waiting, compute_container_status
from agent.pods.observed import ObservedPod
from agent.pods.pod_spec import (
    ContainerType,
    ephemeral_containers,
    find_container,
    init_containers,
    is_host_network,
    is_sidecar,
    may_restart_as_a_whole,
    regular_containers,
    restarts_after,
)
from agent.pods.resize import held_pod_resources
from control.api.meta import find_condition
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import qos_class
from control.api.timestamps import format_time

__all__ = ["StatusInputs", "Waiting", "compute_pod_status", "compute_rejected_status", "is_own_condition"]

RESIZE_PENDING, RESIZE_IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
DISRUPTION, TERMINATION_BY_KUBELET = "DisruptionTarget", "TerminationByKubelet"
TERMINAL_PHASES = ("Succeeded", "Failed")
TERMINATION_MESSAGES_BYTES_MAX = 12 * 1024
ALL_CONTAINERS_RESTARTING = "AllContainersRestarting"
OWN_CONDITIONS = (
    RESIZE_PENDING,
    RESIZE_IN_PROGRESS,
    ALL_CONTAINERS_RESTARTING,
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)


def compute_pod_status(pod: ReadOnlyObject, observed: ObservedPod, inputs: StatusInputs) -> Object:
    """Return the whole status as it should stand in the API."""
    old = pod.get("status") or {}
    init_statuses, statuses, ephemeral_statuses = (
        [compute_container_status(pod, container, observed, inputs, listed) for container in containers]
        for containers, listed in (
            (init_containers(pod), ContainerType.INIT),
            (regular_containers(pod), ContainerType.REGULAR),
            (ephemeral_containers(pod), ContainerType.EPHEMERAL),
        )
    )
    statuses.sort(key=lambda item: str(item["name"]))
    ephemeral_statuses.sort(key=lambda item: str(item["name"]))
    _limit_messages([*init_statuses, *statuses, *ephemeral_statuses])
    status: Object = {
        "phase": _phase(pod, observed, init_statuses, statuses, inputs),
        "startTime": old.get("startTime") or format_time(inputs.seen_at or inputs.now),
        "qosClass": old.get("qosClass") or qos_class(pod),
    }
    if pod["metadata"].get("generation"):
        status["observedGeneration"] = pod["metadata"]["generation"]
    is_over = status["phase"] in TERMINAL_PHASES
    for name, value in (("reason", inputs.reason), ("message", inputs.message)):
        if (value and is_over) or old.get(name):
            status[name] = (value if is_over else "") or old[name]
    _set_addresses(pod, observed, old, status, inputs)
    if init_statuses:
        status["initContainerStatuses"] = init_statuses
    status["containerStatuses"] = statuses
    if ephemeral_statuses:
        status["ephemeralContainerStatuses"] = ephemeral_statuses
    _set_pod_resources(observed, status)
    status["conditions"] = _conditions(pod, observed, status, init_statuses, inputs)
    return status


def _set_pod_resources(observed: ObservedPod, status: Object) -> None:
    """What the Pod as a whole was given (KEP-5419), if it asks for resources of its own."""
    held = held_pod_resources(observed)
    if held:
        status["resources"] = {name: held[name] for name in ("limits", "requests") if held.get(name)}
        if held.get("requests"):
            status["allocatedResources"] = held["requests"]


def _limit_messages(statuses: Sequence[Object]) -> None:
    """All termination messages of a Pod share 12 KiB, each container an equal part."""
    limit = TERMINATION_MESSAGES_BYTES_MAX // max(1, len(statuses))
    for status in statuses:
        for field in ("state", "lastState"):
            terminated = status[field].get("terminated")
            if terminated and len(terminated.get("message", "").encode()) > limit:
                cut = terminated["message"].encode()[:limit].decode("utf-8", "ignore")
                status[field] = {"terminated": {**terminated, "message": cut}}


def compute_rejected_status(pod: ReadOnlyObject, inputs: StatusInputs) -> Object:
    """The status of a Pod that this node refuses: Failed, with the reason."""
    status: Object = {
        "phase": "Failed",
        "reason": inputs.reason,
        "message": inputs.message,
        "startTime": (pod.get("status") or {}).get("startTime") or format_time(inputs.seen_at or inputs.now),
        "qosClass": (pod.get("status") or {}).get("qosClass") or qos_class(pod),
    }
    if pod["metadata"].get("generation"):
        status["observedGeneration"] = pod["metadata"]["generation"]
    if inputs.disruption:
        old_conditions = (pod.get("status") or {}).get("conditions") or ()
        status["conditions"] = _disruption(pod, old_conditions, inputs)
    return status


def is_own_condition(condition: Mapping[str, Any]) -> bool:
    """Whether this agent says so: the scheduler and the API disrupt Pods as well, for reasons of theirs."""
    return condition.get("type") in OWN_CONDITIONS or condition.get("reason") == TERMINATION_BY_KUBELET


# --- phase ------------------------------------------------------------------------------------------------------------


def _phase(
    pod: ReadOnlyObject,
    observed: ObservedPod,
    init_statuses: Sequence[Object],
    statuses: Sequence[Object],
    inputs: StatusInputs,
) -> str:
    """A Pod has not ended before its last process has: it may still hold what others wait for."""
    old_phase = str((pod.get("status") or {}).get("phase") or "Pending")
    if old_phase in TERMINAL_PHASES:
        return old_phase
    phase = "Failed" if inputs.reason else _phase_of_containers(pod, observed, init_statuses, statuses, inputs)
    return old_phase if phase in TERMINAL_PHASES and observed.running_containers() else phase


def _phase_of_containers(
    pod: ReadOnlyObject,
    observed: ObservedPod,
    init_statuses: Sequence[Object],
    statuses: Sequence[Object],
    inputs: StatusInputs,
) -> str:
    pending, failed = _initialization(pod, observed, init_statuses)
    if failed:
        return "Failed"
    waiting, running, stopped, succeeded = _count(statuses)
    if (pending and not is_initialized(pod, observed)) or waiting:
        return "Failed" if inputs.is_terminated else "Pending"
    if running:
        return "Running"
    if not stopped:
        return "Pending"
    if not inputs.is_terminated and any(_is_restart_due(pod, observed, status) for status in statuses):
        return "Running"
    return "Succeeded" if stopped == succeeded else "Failed"


def _is_restart_due(pod: ReadOnlyObject, observed: ObservedPod, status: Object) -> bool:
    """True when policy or rules want a stopped container back, its own before the Pod's, or all start over."""
    container = find_container(pod, status["name"])
    assert container is not None
    newest = observed.find(status["name"])
    if newest is not None and newest.is_exited:
        return is_wanted_back(pod, observed, container, newest)
    ended = status["state"].get("terminated") or status["lastState"]["terminated"]
    return restarts_after(pod, container, ended["exitCode"])


def _initialization(pod: ReadOnlyObject, observed: ObservedPod, init_statuses: Sequence[Object]) -> tuple[bool, bool]:
    """(some init container is not done, some init container failed and is not tried again)."""
    pending = failed = False
    for container, status in zip(init_containers(pod), init_statuses, strict=True):
        if is_sidecar(container):
            pending = pending or not (status["started"] or _is_ended(status))
        elif not status["ready"]:
            pending = True
            failed = failed or has_failed_for_good(pod, observed, container)
    return pending, failed


def _is_ended(status: Object) -> bool:
    return "terminated" in status["state"]


def _count(statuses: Sequence[Object]) -> tuple[int, int, int, int]:
    """Numbers of waiting (never run), running, stopped and succeeded containers."""
    waiting = running = stopped = succeeded = 0
    for status in statuses:
        state = status["state"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif "terminated" in (status.get("lastState") or {}):
            stopped += 1
        else:
            waiting += 1
    return waiting, running, stopped, succeeded


# --- addresses --------------------------------------------------------------------------------------------------------


def _set_addresses(
    pod: ReadOnlyObject, observed: ObservedPod, old: ReadOnlyObject, status: Object, inputs: StatusInputs
) -> None:
    if inputs.host_ips:
        status["hostIP"] = inputs.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in inputs.host_ips]
    sandbox = observed.sandbox
    if is_host_network(pod):
        if sandbox is not None and inputs.host_ips:
            status["podIP"] = inputs.host_ips[0]
            status["podIPs"] = [{"ip": ip} for ip in inputs.host_ips]
    elif sandbox is not None and sandbox.is_ready and sandbox.ip:
        status["podIP"] = sandbox.ip
        status["podIPs"] = [{"ip": sandbox.ip}]
    elif old.get("podIP"):
        status["podIP"] = old["podIP"]
        status["podIPs"] = old.get("podIPs") or [{"ip": old["podIP"]}]


# --- conditions -------------------------------------------------------------------------------------------------------


def _conditions(
    pod: ReadOnlyObject, observed: ObservedPod, status: Object, init_statuses: Sequence[Object], inputs: StatusInputs
) -> list[Object]:
    old_conditions = (pod.get("status") or {}).get("conditions") or []
    sandbox = observed.sandbox
    containers_ready = _containers_ready(status["phase"], _relevant_for_readiness(pod, status, init_statuses))
    computed = [
        *_resize(inputs),
        *_all_containers_restarting(pod, observed, status["phase"]),
        ("PodReadyToStartContainers", (sandbox is not None and sandbox.is_ready, "", "")),
        ("Initialized", _initialized(pod, status, init_statuses)),
        ("Ready", _ready(pod, containers_ready, old_conditions)),
        ("ContainersReady", containers_ready),
        ("PodScheduled", (True, "", "")),
    ]
    is_told = inputs.disruption and status["phase"] in TERMINAL_PHASES
    disruption = _disruption(pod, old_conditions, inputs) if is_told else []
    replaced = {*OWN_CONDITIONS, *(item["type"] for item in disruption)}
    foreign = [condition for condition in old_conditions if condition.get("type") not in replaced]
    return [
        *foreign,
        *disruption,
        *(_condition(pod, old_conditions, name, verdict, inputs) for name, verdict in computed),
    ]


def _condition(
    pod: ReadOnlyObject,
    old_conditions: Sequence[Any],
    type: str,
    verdict: tuple[bool, str, str],
    inputs: StatusInputs,
) -> Object:
    is_true, reason, message = verdict
    value = "True" if is_true else "False"
    old = find_condition(old_conditions, type)
    kept = old is not None and old.get("status") == value
    condition: Object = {
        "type": type,
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": old["lastTransitionTime"] if old is not None and kept else format_time(inputs.now),
    }
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    if pod["metadata"].get("generation"):
        condition["observedGeneration"] = pod["metadata"]["generation"]
    return condition


def _disruption(pod: ReadOnlyObject, old_conditions: Sequence[Any], inputs: StatusInputs) -> list[Object]:
    """The node itself ended the Pod; told with the Pod's end, not before."""
    return [_condition(pod, old_conditions, DISRUPTION, (True, TERMINATION_BY_KUBELET, inputs.disruption), inputs)]


def _resize(inputs: StatusInputs) -> list[tuple[str, tuple[bool, str, str]]]:
    """A resize that waits for room, and one that is being carried out or was refused by the engine."""
    conditions = []
    if inputs.pending_resize is not None:
        conditions.append((RESIZE_PENDING, (True, inputs.pending_resize.reason, inputs.pending_resize.message)))
    if inputs.resize_error:
        conditions.append((RESIZE_IN_PROGRESS, (True, "Error", inputs.resize_error)))
    elif inputs.is_resizing:
        conditions.append((RESIZE_IN_PROGRESS, (True, "", "")))
    return conditions


def _all_containers_restarting(
    pod: ReadOnlyObject, observed: ObservedPod, phase: str
) -> list[tuple[str, tuple[bool, str, str]]]:
    """True from the end of the container whose rule said so until all of its round have ended."""
    if not may_restart_as_a_whole(pod):
        return []
    if phase in TERMINAL_PHASES:
        return [(ALL_CONTAINERS_RESTARTING, (False, "PodCompleted" if phase == "Succeeded" else "PodFailed", ""))]
    if any(is_stale(pod, observed, container) for container in observed.running_containers()):
        message = "container exited with restart policy rule"
        return [(ALL_CONTAINERS_RESTARTING, (True, "RestartAllContainersStarted", message))]
    return [(ALL_CONTAINERS_RESTARTING, (False, "", ""))]


def _relevant_for_readiness(pod: ReadOnlyObject, status: Object, init_statuses: Sequence[Object]) -> list[Object]:
    sidecars = {container["name"] for container in init_containers(pod) if is_sidecar(container)}
    return [*(item for item in init_statuses if item["name"] in sidecars), *status["containerStatuses"]]


def _containers_ready(phase: str, statuses: Sequence[Object]) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    unready = [item["name"] for item in statuses if not item["ready"]]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _ready(
    pod: ReadOnlyObject, containers_ready: tuple[bool, str, str], conditions: Sequence[Any]
) -> tuple[bool, str, str]:
    if not containers_ready[0]:
        return containers_ready
    messages = []
    for gate in pod["spec"].get("readinessGates") or ():
        name = gate["conditionType"]
        condition = find_condition(conditions, name)
        if condition is None:
            messages.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif condition.get("status") != "True":
            messages.append(f'the status of pod readiness gate "{name}" is not "True", but {condition.get("status")}')
    if messages:
        return False, "ReadinessGatesNotReady", ", ".join(messages)
    return True, "", ""


def _initialized(pod: ReadOnlyObject, status: Object, init_statuses: Sequence[Object]) -> tuple[bool, str, str]:
    incomplete = []
    for container, item in zip(init_containers(pod), init_statuses, strict=True):
        done = item["started"] if is_sidecar(container) else item["ready"]
        if not done:
            incomplete.append(item["name"])
    if status["phase"] == "Succeeded":
        return True, "PodCompleted", ""
    if any("running" in item["state"] or _is_ended(item) for item in status["containerStatuses"]):
        return True, "", ""
    if incomplete:
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]"
    return True, "", ""
