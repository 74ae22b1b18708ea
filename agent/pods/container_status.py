"""One entry of containerStatuses: state, lastState, restartCount, ready, started. Pure; part of `pod_status.py`.

Rules and texts of the kubelet's convertToAPIContainerStatuses (pkg/kubelet/kubelet_pods.go, v1.36) over a Docker
engine, whose container ids are written `docker://ID`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.pods.container_history import (
    LOST_CONTAINER_EXIT_CODE,
    LOST_CONTAINER_REASON,
    is_later_lost,
    is_stale,
    is_wanted_back,
    reported_status,
)
from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.pod_spec import ContainerType, is_sidecar, regular_containers, restarts_after
from agent.pods.resize import PendingResize
from agent.pods.verdicts import NO_VERDICTS, ContainerVerdicts
from agent.runtime.gpus import GPU_RESOURCE
from agent.runtime.identity import parse_resources
from agent.runtime.protocol import ProcessUser
from agent.volumes.protocol import is_recursive
from control.api.meta import is_deleting
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time

ASSUMED_MESSAGE = (
    "Unable to get init container status from container runtime and pod has been initialized, "
    "treat it as exited normally"
)
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
    `waiting` is by container name, `termination_messages` and `verdicts` by container id, `image_references` by image
    id. `is_terminated` says that nothing of the Pod runs any more, nor will, `lacks_volumes` that no container was made
    yet because volumes could not be mounted. `reason` and `message` are those of a Pod
    that the node lets fail, `disruption` how that is told if it does so for its own sake; `is_overdue` that the Pod's
    deadline is over.
    """

    now: datetime
    seen_at: datetime | None = None
    host_ips: tuple[str, ...] = ()
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    termination_messages: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, ContainerVerdicts] = field(default_factory=dict)
    image_references: Mapping[str, str] = field(default_factory=dict)
    is_terminated: bool = False
    lacks_volumes: bool = False
    is_overdue: bool = False
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
        newest = None
        status = _unseen_status(pod, container, observed, reported, type)
    else:
        status = _seen_status(container, newest, reported, inputs)
        last = _last_state(attempts, reported, inputs)
        if last:
            status["lastState"] = last
    _wait_to_start(pod, observed, container, newest, status, inputs, type)
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
    observed: ObservedPod,
    reported: Mapping[str, Any],
    type: ContainerType,
) -> Object:
    """A container that does not exist: not made yet, or lost; what the API holds of its past is kept."""
    old_state = reported.get("state") or {}
    if "terminated" in old_state:
        return {"lastState": {}, **reported}
    status: Object = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "restartCount": int(reported.get("restartCount") or 0),
        "state": default_waiting(pod, type).to_state(),
        "lastState": reported.get("lastState") or {},
        **_mounts(container, None, reported),
    }
    if "running" in old_state:
        status["lastState"] = status["lastState"] or lost_state(LOST_MESSAGE)
        if not is_deleting(pod):
            status["restartCount"] += 1
    if _is_plain_init(container, type) and _is_initialized_here(pod, observed):
        status["state"] = {"terminated": _end(0, "Completed", ASSUMED_MESSAGE)}
    return status


def _is_plain_init(container: ReadOnlyObject, type: ContainerType) -> bool:
    return type is ContainerType.INIT and not is_sidecar(container)


def _is_initialized_here(pod: ReadOnlyObject, observed: ObservedPod) -> bool:
    """Whether a regular container of the sandbox exists: its init containers have succeeded, gone as they may be."""
    return any(observed.find_in_sandbox(container["name"]) for container in regular_containers(pod))


def _seen_status(
    container: ReadOnlyObject, newest: ObservedContainer, reported: Mapping[str, Any], inputs: StatusInputs
) -> Object:
    image_id, container_id = newest.record.image_id, f"docker://{newest.id}"
    status: Object = {
        "name": newest.name,
        "image": newest.record.image,
        "imageID": inputs.image_references.get(image_id) or f"docker://{image_id}",
        "containerID": container_id,
        "restartCount": max(newest.attempt, int(reported.get("restartCount") or 0)),
        "state": _state_of(newest, inputs),
        "lastState": {},
        **_resources(container, newest),
        **_mounts(container, newest, reported),
    }
    if newest.gpus and newest.is_running:
        status["allocatedResourcesStatus"] = [_gpu_status(newest.gpus)]
    if newest.record.user is not None:
        status["user"] = _user_status(newest.record.user)
    elif reported.get("containerID") == container_id and "user" in reported:
        status["user"] = reported["user"]
    return status


def _resources(container: ReadOnlyObject, newest: ObservedContainer) -> Object:
    """What the node has granted, and what a running container has of it (KEP-1287)."""
    allocated = container.get("resources") or {}
    held = parse_resources(newest.resources) if newest.is_running and newest.resources else allocated
    found: Object = {"resources": {name: held[name] for name in ("limits", "requests") if held.get(name)}}
    if allocated.get("requests"):
        found["allocatedResources"] = allocated["requests"]
    return found


def _mounts(container: ReadOnlyObject, newest: ObservedContainer | None, reported: Mapping[str, Any]) -> Object:
    """How volumes are mounted. Whether read-only mounts can be recursively so is known once a container was made."""
    mounts = container.get("volumeMounts") or ()
    if not mounts:
        return {}
    if newest is None and reported.get("volumeMounts"):
        return {"volumeMounts": reported["volumeMounts"]}
    possible = newest is not None and newest.is_recursive
    return {"volumeMounts": [_mount_status(mount, possible) for mount in mounts]}


def _gpu_status(gpus: Sequence[str]) -> Object:
    """The container's graphics cards (KEP-4680). The agent knows those that the driver showed when it began."""
    return {"name": GPU_RESOURCE, "resources": [{"resourceID": gpu, "health": "Healthy"} for gpu in gpus]}


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
    return {"waiting": {}}


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
        if "running" in state and "terminated" not in last:
            return lost_state(LOST_MESSAGE)
    # While it waits to be started again, the newest attempt's own end stands there.
    is_own = (last.get("terminated") or {}).get("containerID") == newest_id
    return {} if is_own else dict(last)


def _wait_to_start(
    pod: ReadOnlyObject,
    observed: ObservedPod,
    container: ReadOnlyObject,
    newest: ObservedContainer | None,
    status: Object,
    inputs: StatusInputs,
    type: ContainerType,
) -> None:
    """A container that is to be started and has a known obstacle is Waiting for that; its end moves to lastState.

    Nothing of a deleted Pod is to be started (ShouldContainerBeRestarted in pkg/kubelet/container/helpers.go).
    """
    waiting = inputs.waiting.get(container["name"])
    if waiting is None or is_deleting(pod) or "running" in status["state"]:
        return
    ended = status["state"].get("terminated")
    if ended is not None:
        if _is_done(pod, observed, container, newest, ended["exitCode"], type):
            return
        status["lastState"] = status["state"]
    status["state"] = waiting.to_state()


def _is_done(
    pod: ReadOnlyObject,
    observed: ObservedPod,
    container: ReadOnlyObject,
    newest: ObservedContainer | None,
    exit_code: int,
    type: ContainerType,
) -> bool:
    """Whether a container that ended is not to be started again. One that succeeds initializes the Pod once."""
    if newest is not None and is_stale(pod, observed, newest):
        return False
    if _is_plain_init(container, type) and exit_code == 0:
        return True
    if newest is not None:
        return not is_wanted_back(pod, observed, container, newest)
    return not restarts_after(pod, container, exit_code)


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
    is_plain_init = _is_plain_init(container, type)
    if "running" not in status["state"] or newest is None:
        ended = status["state"].get("terminated") or {}
        status.update(ready=is_plain_init and ended.get("exitCode") == 0, started=False)
        return
    verdicts = inputs.verdicts.get(newest.id, NO_VERDICTS)
    started = not container.get("startupProbe") or verdicts.startup is True
    ready = started and (not container.get("readinessProbe") or verdicts.readiness is True)
    status.update(started=started, ready=ready and not is_plain_init)


def lost_state(message: str) -> Object:
    """The end of a container that nobody saw end."""
    return {"terminated": _end(LOST_CONTAINER_EXIT_CODE, LOST_CONTAINER_REASON, message)}


def _end(exit_code: int, reason: str, message: str) -> Object:
    return {"exitCode": exit_code, "reason": reason, "message": message, "startedAt": None, "finishedAt": None}
