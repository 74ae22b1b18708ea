"""How one Pod's resize goes on, and the Events that tell of it: wait, start, error, completion.

The worker asks before it decides and tells what came of it. Reasons and texts are the kubelet's
(pkg/kubelet/allocation/allocation_manager.go and pkg/kubelet/events/resize.go, v1.36).
"""

from __future__ import annotations

import json
from collections.abc import Callable

from agent.pods.observed import ObservedPod
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import init_containers, regular_containers
from agent.pods.resize import PendingResize, allocated_pod, is_resize_wanted
from control.api.objects import Object, ReadOnlyObject

#: after how long a Pod that waits asks again, though nothing told that there is room: the kubelet's retryDelay
PENDING_RESIZE_SECONDS = 180.0


def resize_message(pod: ReadOnlyObject, stage: str, *, generation: int | None, error: str = "") -> str:
    """`Pod resize started: {…}`, with what every container of the spec asks for."""
    summary: Object = {
        field: [{"name": item["name"], "resources": _sorted(item.get("resources") or {})} for item in containers]
        for field, containers in (("initContainers", init_containers(pod)), ("containers", regular_containers(pod)))
        if containers
    }
    summary["generation"] = generation
    if error:
        summary["error"] = error
    return f"Pod resize {stage}: {json.dumps(summary, separators=(',', ':'), ensure_ascii=False)}"


def _sorted(resources: ReadOnlyObject) -> Object:
    """As upstream's encoder orders them."""
    fields = {name: resources[name] for name in ("limits", "requests", "claims") if resources.get(name)}
    return {name: dict(sorted(value.items())) if isinstance(value, dict) else value for name, value in fields.items()}


class ResizeProgress:
    """One Pod's. `judge` says why a Pod that wants other resources must wait for them."""

    def __init__(
        self,
        pod_record: PodRecord,
        judge: Callable[[ReadOnlyObject], PendingResize | None],
        record: Callable[..., None],
    ) -> None:
        self._pod_record = pod_record
        self._judge = judge
        self._record = record
        self._pending: PendingResize | None = None
        self._generation: int | None = None
        self._has_failed = False

    @property
    def pending(self) -> PendingResize | None:
        """Why the Pod waits for other resources."""
        return self._pending

    @property
    def is_under_way(self) -> bool:
        """True while containers get resources that the node has granted."""
        return self._generation is not None

    def allocate(self, pod: ReadOnlyObject, observed: ObservedPod) -> ReadOnlyObject:
        """The Pod as it may run now: with the resources it has while it must wait for those it wants."""
        before, self._pending = self._pending, None
        self._pod_record.allocated = None
        if not is_resize_wanted(pod, observed):
            self._pod_record.resize_errors.clear()
            self._complete(pod)
            return pod
        self._pending = self._judge(pod)
        if self._pending is None:
            self._start(pod)
            return pod
        if self._pending != before:
            reason = self._pending.reason
            self._tell(pod, "Warning", f"Resize{reason}", reason, error=self._pending.message)
        self._pod_record.allocated = allocated_pod(pod, observed)
        return self._pod_record.allocated

    def note_execution(self, pod: ReadOnlyObject, observed: ObservedPod) -> None:
        """Tell what came of it: an error once, and the end."""
        error, was_told = self._pod_record.resize_error, self._has_failed
        self._has_failed = bool(error)
        if error and not was_told:
            self._tell(pod, "Warning", "ResizeError", "error", error=error)
        elif self._pending is None and not is_resize_wanted(pod, observed):
            self._complete(pod)

    def _start(self, pod: ReadOnlyObject) -> None:
        generation = _generation(pod)
        if self._generation != generation:
            self._generation, self._has_failed = generation, False
            self._pod_record.resize_errors.clear()
            self._tell(pod, "Normal", "ResizeStarted", "started")

    def _complete(self, pod: ReadOnlyObject) -> None:
        if self._generation is not None:
            self._tell(pod, "Normal", "ResizeCompleted", "completed")
            self._generation = None

    def _tell(self, pod: ReadOnlyObject, type: str, reason: str, stage: str, *, error: str = "") -> None:
        is_of_spec = self._generation is None or self._pending is not None
        generation = _generation(pod) if is_of_spec else self._generation
        self._record(pod, type, reason, resize_message(pod, stage, generation=generation, error=error))


def _generation(pod: ReadOnlyObject) -> int:
    return int(pod["metadata"].get("generation") or 0)
