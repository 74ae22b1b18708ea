"""The conditions of a Pod that the node tells: ready, initialized, resized, disrupted. Pure; part of `pod_status.py`.

Rules and texts of pkg/kubelet/status/generate.go and of the status manager's updateLastTransitionTime (v1.36).
Conditions of others (readiness gates, the scheduler's DisruptionTarget) are kept as they are, before all of the node's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.pods.container_history import is_stale
from agent.pods.container_status import StatusInputs
from agent.pods.observed import ObservedPod
from agent.pods.pod_phase import FAILED, SUCCEEDED, TERMINAL_PHASES
from agent.pods.pod_spec import init_containers, is_sidecar, may_restart_as_a_whole, regular_containers
from control.api.meta import find_condition, is_condition_true
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time

RESIZE_PENDING, RESIZE_IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
READY_TO_START, INITIALIZED, READY = "PodReadyToStartContainers", "Initialized", "Ready"
CONTAINERS_READY, SCHEDULED, ALL_RESTARTING = "ContainersReady", "PodScheduled", "AllContainersRestarting"
DISRUPTION, TERMINATION_BY_KUBELET = "DisruptionTarget", "TerminationByKubelet"
OWN_CONDITIONS = (
    RESIZE_PENDING,
    RESIZE_IN_PROGRESS,
    READY_TO_START,
    INITIALIZED,
    READY,
    CONTAINERS_READY,
    SCHEDULED,
    ALL_RESTARTING,
)

#: whether it is so, upstream's reason and the message
Verdict = tuple[bool, str, str]


def is_own_condition(condition: Mapping[str, Any]) -> bool:
    """Whether this agent says so: the scheduler and the API disrupt Pods as well, for reasons of theirs."""
    return condition.get("type") in OWN_CONDITIONS or condition.get("reason") == TERMINATION_BY_KUBELET


def compute_conditions(
    pod: ReadOnlyObject,
    observed: ObservedPod,
    phase: str,
    *,
    init_statuses: Sequence[Object],
    statuses: Sequence[Object],
    inputs: StatusInputs,
    is_over: bool,
) -> list[Object]:
    """All conditions as they should stand. `phase` is how the Pod is about to end while `is_over` is not told yet."""
    old = (pod.get("status") or {}).get("conditions") or []
    sandbox = observed.sandbox
    containers_ready = _containers_ready(pod, phase, [*init_statuses, *statuses])
    verdicts: dict[str, Verdict] = {
        READY_TO_START: (sandbox is not None and sandbox.is_ready, "", ""),
        INITIALIZED: _initialized(pod, phase, init_statuses, statuses, old),
        READY: _ready(pod, containers_ready, old),
        CONTAINERS_READY: containers_ready,
        SCHEDULED: (True, "", ""),
    }
    disruption = _disruption(pod, old, inputs) if inputs.disruption and is_over else []
    replaced = {*OWN_CONDITIONS, *(item["type"] for item in disruption)}
    return [
        *(condition for condition in old if condition.get("type") not in replaced),
        *_resize(pod, old, inputs),
        *disruption,
        *(_with_generation(pod, _condition(old, name, verdict, inputs)) for name, verdict in verdicts.items()),
        *_all_restarting(pod, observed, phase, old, inputs),
    ]


def _condition(old: Sequence[Any], type: str, verdict: Verdict, inputs: StatusInputs) -> Object:
    is_true, reason, message = verdict
    value = "True" if is_true else "False"
    known = find_condition(old, type)
    is_kept = known is not None and known.get("status") == value
    condition: Object = {
        "type": type,
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": known["lastTransitionTime"] if known and is_kept else format_time(inputs.now),
    }
    return condition | {name: text for name, text in (("reason", reason), ("message", message)) if text}


def _with_generation(pod: ReadOnlyObject, condition: Object) -> Object:
    generation = pod["metadata"].get("generation")
    return {**condition, "observedGeneration": generation} if generation else condition


# --- ready and initialized --------------------------------------------------------------------------------------------


def _containers_ready(pod: ReadOnlyObject, phase: str, statuses: Sequence[Object]) -> Verdict:
    if phase in TERMINAL_PHASES:
        return False, "PodCompleted" if phase == SUCCEEDED else "PodFailed", ""
    ready = {status["name"] for status in statuses if status["ready"]}
    sidecars = filter(is_sidecar, init_containers(pod))
    relevant = [container["name"] for container in (*sidecars, *regular_containers(pod))]
    unready = [name for name in relevant if name not in ready]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _ready(pod: ReadOnlyObject, containers_ready: Verdict, conditions: Sequence[Any]) -> Verdict:
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


def _initialized(
    pod: ReadOnlyObject, phase: str, init_statuses: Sequence[Object], statuses: Sequence[Object], old: Sequence[Any]
) -> Verdict:
    """Once a Pod is initialized it stays so, although a new sandbox or a restart of all initializes it again."""
    if phase == SUCCEEDED:
        return True, "PodCompleted", ""
    if any({"running", "terminated"} & status["state"].keys() for status in statuses):
        return True, "", ""
    incomplete = [
        status["name"]
        for container, status in zip(init_containers(pod), init_statuses, strict=True)
        if not (status["started"] if is_sidecar(container) else status["ready"])
    ]
    if incomplete and not is_condition_true(old, INITIALIZED):
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]"
    return True, "", ""


# --- conditions that come and go --------------------------------------------------------------------------------------


def _all_restarting(
    pod: ReadOnlyObject, observed: ObservedPod, phase: str, old: Sequence[Any], inputs: StatusInputs
) -> list[Object]:
    """True from the end of the container whose rule said so until all of its round have ended."""
    if not may_restart_as_a_whole(pod):
        return []
    verdict: Verdict = (False, "", "")
    if phase in TERMINAL_PHASES:
        verdict = (False, "PodFailed" if phase == FAILED else "PodCompleted", "")
    elif any(is_stale(pod, observed, container) for container in observed.running_containers()):
        verdict = (True, "RestartAllContainersStarted", "container exited with restart policy rule")
    # Upstream tells no observedGeneration with it.
    return [_condition(old, ALL_RESTARTING, verdict, inputs)]


def _disruption(pod: ReadOnlyObject, old: Sequence[Any], inputs: StatusInputs) -> list[Object]:
    """The node itself ended the Pod; told with the Pod's end, not before, and as it was then."""
    known = find_condition(old, DISRUPTION)
    if known is not None and known.get("reason") == TERMINATION_BY_KUBELET:
        return []
    condition = _condition(old, DISRUPTION, (True, TERMINATION_BY_KUBELET, inputs.disruption), inputs)
    return [_with_generation(pod, condition)]


def _resize(pod: ReadOnlyObject, old: Sequence[Any], inputs: StatusInputs) -> list[Object]:
    """A resize that waits for room, and one that is under way or was refused by the engine."""
    if inputs.is_terminated:
        return []
    conditions = []
    pending = inputs.pending_resize
    if pending is not None:
        conditions.append(_resize_condition(pod, old, RESIZE_PENDING, pending.reason, pending.message, inputs))
    if inputs.resize_error:
        conditions.append(_resize_condition(pod, old, RESIZE_IN_PROGRESS, "Error", inputs.resize_error, inputs))
    elif inputs.is_resizing:
        conditions.append(_resize_condition(pod, old, RESIZE_IN_PROGRESS, "", "", inputs))
    return conditions


def _resize_condition(
    pod: ReadOnlyObject, old: Sequence[Any], type: str, reason: str, message: str, inputs: StatusInputs
) -> Object:
    """Upstream's updatedPodResizeCondition: another reason is a transition, and it says when it was looked at last."""
    known = find_condition(old, type)
    condition = _condition(old, type, (True, reason, message), inputs)
    if known is None or known.get("reason", "") != reason:
        condition["lastTransitionTime"] = format_time(inputs.now)
    is_same = known is not None and (known.get("reason", ""), known.get("message", "")) == (reason, message)
    condition["lastProbeTime"] = known.get("lastProbeTime") if known and is_same else format_time(inputs.now)
    return _with_generation(pod, condition)
