"""One entry of containerStatuses: state, lastState, restartCount, ready, started. Pure; part of `pod_status.py`.

Rules and texts of the kubelet's convertToAPIContainerStatuses (pkg/kubelet/kubelet_pods.go, v1.36) over a Docker
engine, whose container ids are written `docker://ID`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.pods.container_history import is_later_lost, is_wanted_back, reported_status
from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.pod_spec import ContainerType, is_sidecar
from agent.pods.resize import PendingResize
from agent.pods.verdicts import NO_VERDICTS, ContainerVerdicts
from agent.runtime.gpus import GPU_RESOURCE
from agent.runtime.protocol import ProcessUser
from agent.volumes.protocol import is_recursive
from control.api.meta import is_deleting
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time

LOST_CONTAINER_EXIT_CODE = 137
LOST_MESSAGE = "The container could not be located when the pod was deleted.  The container used to be Running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Why a container does not run: a reason of upstream's and its message."""

    reason: str
    message: str = ""

    def to_state(self) -> Object:
        """The ContainerState."""
        waiting = {"reason": self.reason}
        if self.message:
            waiting["message"] = self.message
        return {"waiting": waiting}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusInputs:
    """What a status is computed from, besides the Pod and what is observed. Mappings are by the key they name.

    `seen_at` is when the node took notice of the Pod: before it pulled images or ran hooks.
    `waiting` is by container name, `termination_messages` and `verdicts` by container id, `image_references` and
    `stop_signals` (the images' own) by image id. `is_terminated` says that the worker has stopped the Pod for good,
    `disruption` how that is told if it did so for the node's sake.
    """

    now: datetime
    seen_at: datetime | None = None
    host_ips: tuple[str, ...] = ()
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    termination_messages: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, ContainerVerdicts] = field(default_factory=dict)
    image_references: Mapping[str, str] = field(default_factory=dict)
    stop_signals: Mapping[str, str] = field(default_factory=dict)
    is_terminated: bool = False
    reason: str = ""
    message: str = ""
    disruption: str = ""
    pending_resize: PendingResize | None = None
    is_resizing: bool = False
    resize_error: str = ""


def compute_container_status(
    pod: ReadOnlyObject, container: ReadOnlyObject, observed: ObservedPod, inputs: StatusInputs, type: ContainerType
) -> Object:
    """The status of one container of the spec."""
    attempts = observed.containers.get(container["name"], ())
    newest = attempts[0] if attempts else None
    reported = reported_status(pod, container["name"]) or {}
    if newest is None or is_later_lost(pod, newest):
        status = _unseen_status(pod, container, reported, inputs, type)
    else:
        status = _seen_status(container, newest, inputs)
        last = _last_state(attempts, reported, inputs)
        if last:
            status["lastState"] = last
        if type is not ContainerType.EPHEMERAL:
            _wait_for_restart(pod, observed, container, newest, status, inputs)
    if inputs.is_terminated and "terminated" not in status["state"]:
        status["state"] = _lost("The container could not be located when the pod was terminated")
    _judge(container, newest, status, inputs, type)
    return status


def default_waiting(pod: ReadOnlyObject, type: ContainerType) -> Waiting:
    """Why a container that was never tried does not run."""
    if pod["spec"].get("initContainers") or type is ContainerType.INIT:
        return Waiting(reason="PodInitializing")
    return Waiting(reason="ContainerCreating")


def _unseen_status(
    pod: ReadOnlyObject,
    container: ReadOnlyObject,
    reported: Mapping[str, Any],
    inputs: StatusInputs,
    type: ContainerType,
) -> Object:
    """A container that does not exist: not made yet, or lost; what the API holds of its past is kept."""
    status: Object = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "restartCount": int(reported.get("restartCount") or 0),
        "state": (inputs.waiting.get(container["name"]) or default_waiting(pod, type)).to_state(),
        "lastState": {},
    }
    old_state = reported.get("state") or {}
    if reported.get("lastState"):
        status["lastState"] = reported["lastState"]
    if "terminated" in old_state:
        for name in ("imageID", "containerID", "image"):
            if reported.get(name):
                status[name] = reported[name]
        status["state"] = old_state
    elif "running" in old_state:
        status["lastState"] = _lost(LOST_MESSAGE)
        if not is_deleting(pod):
            status["restartCount"] += 1
    return status


def _seen_status(container: ReadOnlyObject, newest: ObservedContainer, inputs: StatusInputs) -> Object:
    image_id = newest.record.image_id
    status: Object = {
        "name": newest.name,
        "image": newest.record.image,
        "imageID": inputs.image_references.get(image_id) or f"docker://{image_id}",
        "containerID": f"docker://{newest.id}",
        "restartCount": newest.attempt,
        "state": _state_of(newest, inputs),
        "lastState": {},
    }
    if newest.is_running:
        resources = json.loads(newest.resources) if newest.resources else container.get("resources") or {}
        if resources.get("requests"):
            status["allocatedResources"] = resources["requests"]
        status["resources"] = {name: resources[name] for name in ("limits", "requests") if resources.get(name)}
        mounts = [_mount_status(mount, newest.is_recursive) for mount in container.get("volumeMounts") or ()]
        if mounts:
            status["volumeMounts"] = mounts
        if newest.gpus:
            status["allocatedResourcesStatus"] = [_gpu_status(newest.gpus)]
        status["stopSignal"] = _stop_signal(container, newest, inputs)
        if newest.record.user is not None:
            status["user"] = _user_status(newest.record.user)
    return status


def _gpu_status(gpus: Sequence[str]) -> Object:
    """The container's graphics cards (KEP-4680). The agent knows those that the driver showed when it began."""
    return {"name": GPU_RESOURCE, "resources": [{"resourceID": gpu, "health": "Healthy"} for gpu in gpus]}


def _stop_signal(container: ReadOnlyObject, running: ObservedContainer, inputs: StatusInputs) -> str:
    """What the container is stopped by: its own signal, its image's, or SIGTERM."""
    own = (container.get("lifecycle") or {}).get("stopSignal")
    return str(own or inputs.stop_signals.get(running.record.image_id) or "SIGTERM")


def _user_status(user: ProcessUser) -> Object:
    linux: Object = {"uid": user.user_id, "gid": user.group_id}
    if user.supplementary_group_ids:
        linux["supplementalGroups"] = list(user.supplementary_group_ids)
    return {"linux": linux}


def _mount_status(mount: Mapping[str, Any], possible: bool) -> Object:
    status: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        recursive = is_recursive(mount, possible=possible)
        status.update(readOnly=True, recursiveReadOnly="Enabled" if recursive else "Disabled")
    return status


def _state_of(container: ObservedContainer, inputs: StatusInputs) -> Object:
    record = container.record
    if container.is_running:
        return {"running": {"startedAt": format_time(record.started_at or record.created_at)}}
    if container.is_exited:
        return {"terminated": terminated_state(container, inputs.termination_messages.get(container.id, ""))}
    return (inputs.waiting.get(container.name) or Waiting(reason="ContainerCreating")).to_state()


def terminated_state(container: ObservedContainer, message: str) -> Object:
    """ContainerStateTerminated. A container whose command could not be run never had a start of its own."""
    record = container.record
    started_at = record.created_at if container.failed_to_start else record.started_at or record.created_at
    terminated: Object = {
        "exitCode": record.exit_code,
        "reason": _terminated_reason(container),
        "startedAt": format_time(started_at),
        "finishedAt": format_time(container.finished_at),
        "containerID": f"docker://{container.id}",
    }
    text = ": ".join(part for part in (record.error, message) if part)
    if text:
        terminated["message"] = text
    return terminated


def _terminated_reason(container: ObservedContainer) -> str:
    if container.failed_to_start:
        return "ContainerCannotRun"
    if container.record.oom_killed:
        return "OOMKilled"
    return "Completed" if container.record.exit_code == 0 else "Error"


def _last_state(attempts: tuple[ObservedContainer, ...], reported: Mapping[str, Any], inputs: StatusInputs) -> Object:
    """How the attempt before the newest ended: as observed, else as the API remembers it."""
    if len(attempts) > 1 and attempts[1].is_exited:
        message = inputs.termination_messages.get(attempts[1].id, "")
        return {"terminated": terminated_state(attempts[1], message)}
    newest_id, last, state = f"docker://{attempts[0].id}", reported.get("lastState") or {}, reported.get("state") or {}
    if reported.get("containerID", newest_id) != newest_id:
        if "terminated" in state:
            return {"terminated": state["terminated"]}
        if "running" in state:
            return _lost(LOST_MESSAGE)
    # While it waits to be started again, the newest attempt's own end stands there.
    is_own = (last.get("terminated") or {}).get("containerID") == newest_id
    return {} if is_own else dict(last)


def _wait_for_restart(
    pod: ReadOnlyObject,
    observed: ObservedPod,
    container: ReadOnlyObject,
    newest: ObservedContainer,
    status: Object,
    inputs: StatusInputs,
) -> None:
    """A container that will be started again and has a known obstacle is Waiting; its end moves to lastState."""
    waiting = inputs.waiting.get(newest.name)
    if waiting is None or not newest.is_exited or inputs.is_terminated:
        return
    if is_wanted_back(pod, observed, container, newest):
        status["lastState"] = status["state"]
        status["state"] = waiting.to_state()


def _judge(
    container: ReadOnlyObject,
    newest: ObservedContainer | None,
    status: Object,
    inputs: StatusInputs,
    type: ContainerType,
) -> None:
    """`started` and `ready`: from the probes while it runs; an init container is ready when it has succeeded."""
    if type is ContainerType.EPHEMERAL:
        status["ready"] = False
        return
    is_plain_init = type is ContainerType.INIT and not is_sidecar(container)
    if "running" not in status["state"] or newest is None:
        ended = status["state"].get("terminated") or {}
        status.update(ready=is_plain_init and ended.get("exitCode") == 0, started=False)
        return
    verdicts = inputs.verdicts.get(newest.id, NO_VERDICTS)
    started = not container.get("startupProbe") or verdicts.startup is True
    ready = started and (not container.get("readinessProbe") or verdicts.readiness is True)
    status.update(started=started, ready=ready and not is_plain_init)


def _lost(message: str) -> Object:
    return {
        "terminated": {
            "exitCode": LOST_CONTAINER_EXIT_CODE,
            "reason": "ContainerStatusUnknown",
            "message": message,
            "startedAt": None,
            "finishedAt": None,
        }
    }
