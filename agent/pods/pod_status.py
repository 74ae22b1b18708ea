"""What a Pod's status is: phase, conditions, addresses and container statuses. Pure.

Called by the Pod worker after each sync; `status_reporter.py` sends the answer. Rules and texts of the kubelet's
generateAPIPodStatus (pkg/kubelet/kubelet_pods.go) and of mergePodStatus (pkg/kubelet/status/status_manager.go, v1.36).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.pods.container_status import StatusInputs, Waiting, compute_container_status
from agent.pods.ended_status import end_status
from agent.pods.observed import ObservedPod
from agent.pods.pod_conditions import compute_conditions, is_own_condition
from agent.pods.pod_phase import FAILED, PENDING, RUNNING, TERMINAL_PHASES, compute_phase
from agent.pods.pod_resources_status import compute_pod_resources
from agent.pods.pod_spec import (
    ContainerType,
    ephemeral_containers,
    init_containers,
    is_host_network,
    regular_containers,
)
from agent.pods.resize import allocated_pod
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import qos_class
from control.api.timestamps import format_time

__all__ = [
    "TERMINAL_PHASES",
    "StatusInputs",
    "Waiting",
    "compute_pod_status",
    "compute_rejected_status",
    "with_status",
]

TERMINATION_MESSAGES_BYTES_MAX = 12 * 1024


def compute_pod_status(pod: ReadOnlyObject, observed: ObservedPod, inputs: StatusInputs) -> Object:
    """Return the whole status as it should stand in the API.

    `pod` has the status that it was given last. While processes of a Pod run it is not told to have ended: it may still
    hold what others wait for.
    """
    old = pod.get("status") or {}
    allocated = allocated_pod(pod, observed) if inputs.pending_resize is not None else pod
    init_statuses, statuses, ephemeral_statuses = (
        [compute_container_status(pod, container, observed, inputs, listed) for container in containers]
        for containers, listed in (
            (init_containers(allocated), ContainerType.INIT),
            (regular_containers(allocated), ContainerType.REGULAR),
            (ephemeral_containers(allocated), ContainerType.EPHEMERAL),
        )
    )
    statuses.sort(key=lambda item: str(item["name"]))
    ephemeral_statuses.sort(key=lambda item: str(item["name"]))
    _limit_messages([*init_statuses, *statuses, *ephemeral_statuses])
    old_phase = str(old.get("phase") or PENDING)
    phase = _phase(pod, observed, old_phase, init_statuses, statuses, inputs)
    # The kubelet makes no sandbox before all is mounted; here it is made meanwhile, and nobody is told.
    shown = replace(observed, sandboxes=()) if inputs.lacks_volumes else observed
    told_phase = old_phase if phase in TERMINAL_PHASES and observed.has_processes else phase
    status: Object = {
        "phase": told_phase,
        **_start(pod, inputs),
        **_reason(old, told_phase, inputs),
        **_addresses(pod, shown, old, inputs),
        **({"initContainerStatuses": init_statuses} if init_statuses else {}),
        "containerStatuses": statuses,
        **({"ephemeralContainerStatuses": ephemeral_statuses} if ephemeral_statuses else {}),
        **compute_pod_resources(allocated, observed, is_running=phase == RUNNING),
    }
    status["conditions"] = compute_conditions(
        pod,
        shown,
        phase,
        init_statuses=init_statuses,
        statuses=statuses,
        inputs=inputs,
        is_over=told_phase in TERMINAL_PHASES,
    )
    is_ended = inputs.is_terminated or (told_phase in TERMINAL_PHASES and not observed.has_processes)
    return end_status(pod, status) if is_ended else status


def compute_rejected_status(pod: ReadOnlyObject, inputs: StatusInputs) -> Object:
    """The status of a Pod that this node does not take on: it has failed, and nothing more is known of it.

    That it was scheduled is told no more either (rejectPod in pkg/kubelet/kubelet.go, v1.36).
    """
    return {
        "phase": FAILED,
        **_start(pod, inputs),
        "reason": inputs.reason,
        "message": inputs.message,
        "conditions": [],
    }


def with_status(pod: ReadOnlyObject, status: ReadOnlyObject) -> ReadOnlyObject:
    """The Pod with a status of the node's own, beside the conditions that others have written."""
    reported = pod.get("status") or {}
    foreign = [item for item in reported.get("conditions") or () if not is_own_condition(item)]
    own = [item for item in status.get("conditions") or () if is_own_condition(item)]
    return {**pod, "status": {**status, "conditions": [*foreign, *own]}}


def _start(pod: ReadOnlyObject, inputs: StatusInputs) -> Object:
    """What is set once and stays, and the generation that this is the status of."""
    old = pod.get("status") or {}
    start: Object = {
        "startTime": old.get("startTime") or format_time(inputs.seen_at or inputs.now),
        "qosClass": old.get("qosClass") or qos_class(pod),
    }
    generation = pod["metadata"].get("generation")
    return {**start, "observedGeneration": generation} if generation else start


def _phase(
    pod: ReadOnlyObject,
    observed: ObservedPod,
    old_phase: str,
    init_statuses: Sequence[Object],
    statuses: Sequence[Object],
    inputs: StatusInputs,
) -> str:
    """How the containers stand, or how the Pod ends: a Pod that the node lets fail succeeds if all of them do."""
    if old_phase in TERMINAL_PHASES:
        return old_phase
    phase = compute_phase(pod, observed, init_statuses, statuses, is_terminal=inputs.is_terminated)
    has_no_end = inputs.is_terminated and phase not in TERMINAL_PHASES
    return FAILED if inputs.is_overdue or (inputs.reason and has_no_end) else phase


def _reason(old: ReadOnlyObject, phase: str, inputs: StatusInputs) -> Object:
    """Reason and message belong to a phase: they stay with it, and go with it."""
    if phase == old.get("phase"):
        return {name: old[name] for name in ("reason", "message") if old.get(name)}
    if phase == FAILED and inputs.reason:
        return {"reason": inputs.reason, "message": inputs.message}
    return {}


def _limit_messages(statuses: Sequence[Object]) -> None:
    """All termination messages of a Pod share 12 KiB, each container an equal part."""
    limit = TERMINATION_MESSAGES_BYTES_MAX // max(1, len(statuses))
    for status in statuses:
        for field in ("state", "lastState"):
            terminated = status[field].get("terminated")
            if terminated and len(terminated.get("message", "").encode()) > limit:
                cut = terminated["message"].encode()[:limit].decode("utf-8", "ignore")
                status[field] = {"terminated": {**terminated, "message": cut}}


def _addresses(pod: ReadOnlyObject, observed: ObservedPod, old: ReadOnlyObject, inputs: StatusInputs) -> Object:
    """The node's addresses and the Pod's, which it keeps when its sandbox is gone."""
    addresses: Object = {}
    if inputs.host_ips:
        addresses |= {"hostIP": inputs.host_ips[0], "hostIPs": [{"ip": ip} for ip in inputs.host_ips]}
    sandbox = observed.sandbox
    if is_host_network(pod):
        pod_ips = [{"ip": ip} for ip in inputs.host_ips]
    elif sandbox is not None and sandbox.is_ready and sandbox.ip:
        pod_ips = [{"ip": sandbox.ip}]
    else:
        pod_ips = old.get("podIPs") or ([{"ip": old["podIP"]}] if old.get("podIP") else [])
    return {**addresses, "podIP": pod_ips[0]["ip"], "podIPs": pod_ips} if pod_ips else addresses
