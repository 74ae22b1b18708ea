"""Table columns of Pods: the status, readiness and restarts that `kubectl get pods` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from control.api.objects import Object, ReadOnlyObject
from control.schema.columns.column import (
    AGE,
    NAME,
    NONE,
    TableLayout,
    age_of,
    condition_of,
    described,
    name_of,
    of_field,
    since,
    spec_of,
    status_of,
)

_COLUMNS = (
    NAME,
    described("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    described("Status", "The aggregate status of the containers in this pod."),
    described(
        "Restarts",
        "The number of times the containers in this pod have been restarted"
        " and when the last container in this pod has restarted.",
    ),
    AGE,
    of_field("IP", "core.v1.PodStatus.podIP", priority=1),
    of_field("Node", "core.v1.PodSpec.nodeName", priority=1),
    of_field("Nominated Node", "core.v1.PodStatus.nominatedNodeName", priority=1),
    of_field("Readiness Gates", "core.v1.PodSpec.readinessGates", priority=1),
)
_TERMINAL_PHASES = ("Succeeded", "Failed")


@dataclass(slots=True)
class _Restarts:
    """Restarts of a group of containers and the end of the last one."""

    count: int = 0
    last: str = ""

    def add(self, container: Mapping[str, Any]) -> None:
        self.count += container.get("restartCount", 0)
        terminated = (container.get("lastState") or {}).get("terminated") or {}
        # RFC 3339 in UTC sorts as text.
        self.last = max(self.last, terminated.get("finishedAt") or "")

    def text(self, now: datetime) -> str:
        return f"{self.count} ({since(self.last, now)} ago)" if self.count and self.last else str(self.count)


@dataclass(slots=True)
class _Summary:
    """What the columns say of a Pod, found container by container."""

    reason: str
    ready: int
    restarts: _Restarts


def _cells(pod: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = spec_of(pod), status_of(pod)
    summary = _summarize(pod)
    total = len(spec.get("containers") or ()) + sum(map(_is_sidecar, spec.get("initContainers") or ()))
    addresses = status.get("podIPs") or ()
    return [
        name_of(pod),
        f"{summary.ready}/{total}",
        summary.reason,
        summary.restarts.text(now),
        age_of(pod, now),
        (addresses[0].get("ip") if addresses else "") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def _summarize(pod: ReadOnlyObject) -> _Summary:
    status = status_of(pod)
    phase = status.get("phase", "")
    reason = status.get("reason") or phase
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    summary = _Summary(reason, 0, _Restarts())
    sidecar_restarts = _Restarts()
    initializing = _summarize_init_containers(pod, summary, sidecar_restarts)
    initialized = condition_of(status.get("conditions"), "Initialized") or {}
    if not initializing or initialized.get("status") == "True":
        summary.restarts = sidecar_restarts
        _summarize_containers(status, summary)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif phase not in _TERMINAL_PHASES:
            summary.reason = "Terminating"
    return summary


def _summarize_init_containers(pod: ReadOnlyObject, summary: _Summary, sidecar_restarts: _Restarts) -> bool:
    """Walk init containers up to the first that is not done; tell whether there is one."""
    specs = spec_of(pod).get("initContainers") or ()
    sidecars = {container["name"] for container in specs if _is_sidecar(container)}
    for index, container in enumerate(status_of(pod).get("initContainerStatuses") or ()):
        summary.restarts.add(container)
        is_sidecar = container.get("name") in sidecars
        if is_sidecar:
            sidecar_restarts.add(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if is_sidecar and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            summary.reason = "Init:" + _termination_text(terminated)
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            summary.reason = "Init:" + waiting["reason"]
        else:
            summary.reason = f"Init:{index}/{len(specs)}"
        return True
    return False


def _summarize_containers(status: Mapping[str, Any], summary: _Summary) -> None:
    has_running = False
    for container in reversed(status.get("containerStatuses") or ()):
        summary.restarts.add(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated is not None:
            summary.reason = _termination_text(terminated)
        elif container.get("ready") and state.get("running") is not None:
            has_running = True
            summary.ready += 1
    if summary.reason == "Completed" and has_running:
        ready = condition_of(status.get("conditions"), "Ready") or {}
        summary.reason = "Running" if ready.get("status") == "True" else "NotReady"


def _termination_text(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _readiness_gates(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    conditions = [condition_of(status.get("conditions"), gate.get("conditionType", "")) for gate in gates]
    return f"{sum(1 for found in conditions if found and found.get('status') == 'True')}/{len(gates)}"


def _row_conditions(pod: ReadOnlyObject) -> list[Object]:
    phase = status_of(pod).get("phase")
    message = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}.get(phase or "")
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}] if message else []


LAYOUTS = {("", "Pod"): TableLayout(columns=_COLUMNS, cells=_cells, conditions=_row_conditions)}
