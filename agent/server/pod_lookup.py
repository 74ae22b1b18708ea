"""From a request's namespace, Pod and container names to a container of the engine, or the kubelet's refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agent.pods.container_cache import ContainerCache
from agent.pods.pod_spec import find_container
from agent.runtime.protocol import ContainerRecord
from control.api.objects import ReadOnlyObject


class LookupFailure(Exception):  # noqa: N818 - an answer, not a defect
    """The request names nothing that can serve it: HTTP status, text and headers."""

    def __init__(self, status: int, message: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class PodLookup:
    """Finds Pods and containers of the node."""

    def __init__(self, pods: Callable[[], Iterable[ReadOnlyObject]], cache: ContainerCache) -> None:
        self._pods = pods
        self._cache = cache

    def pods(self) -> list[ReadOnlyObject]:
        """All Pods of the node, with their newest status."""
        return list(self._pods())

    def find_pod(self, namespace: str, name: str) -> ReadOnlyObject:
        """The Pod of that name. Raises LookupFailure."""
        for pod in self._pods():
            metadata = pod["metadata"]
            if metadata["name"] == name and metadata["namespace"] == namespace:
                return pod
        raise LookupFailure(404, "pod does not exist")

    def find_specified(self, namespace: str, name: str, container_name: str) -> None:
        """Make sure that the Pod has such a container, whatever its state. Raises LookupFailure."""
        if find_container(self.find_pod(namespace, name), container_name) is None:
            raise LookupFailure(404, f"container {container_name} does not exist")

    def find_running(
        self, namespace: str, name: str, container_name: str, *, uid: str = ""
    ) -> tuple[ReadOnlyObject, ContainerRecord]:
        """The Pod, of that uid if one is given, and the running container. Raises LookupFailure."""
        pod = self.find_pod(namespace, name)
        if uid in ("", pod["metadata"]["uid"]) and find_container(pod, container_name) is not None:
            observed = self._cache.observe(pod["metadata"]["uid"], stopping={}, attached=())
            container = observed.find(container_name)
            if container is not None and container.is_running:
                return pod, container.record
        raise LookupFailure(500, f'container not found ("{container_name}")')

    def find_sandbox(self, namespace: str, name: str, *, uid: str = "") -> tuple[ReadOnlyObject, ContainerRecord]:
        """The Pod, of that uid if one is given, and its running sandbox. Raises LookupFailure."""
        pod = self.find_pod(namespace, name)
        if uid not in ("", pod["metadata"]["uid"]):
            raise LookupFailure(404, "pod not found")
        sandbox = self._cache.observe(pod["metadata"]["uid"], stopping={}, attached=()).sandbox
        if sandbox is None or not sandbox.is_running:
            raise LookupFailure(500, f'pod not found ("{name}_{namespace}")')
        return pod, sandbox.record

    def find_logged(self, namespace: str, name: str, container_name: str, *, previous: bool) -> ContainerRecord:
        """The container whose log is meant: the newest that ran, or the one before it. Raises LookupFailure."""
        try:
            pod = self.find_pod(namespace, name)
        except LookupFailure as failure:
            raise LookupFailure(failure.status, f'pod "{name}" does not exist') from failure
        if find_container(pod, container_name) is None:
            raise LookupFailure(404, f'container "{container_name}" not found in pod "{name}"')
        observed = self._cache.observe(pod["metadata"]["uid"], stopping={}, attached=())
        ran = [item for item in observed.containers.get(container_name, ()) if item.is_running or item.is_exited]
        waits = bool(ran) and ran[0].is_exited and bool(_waiting_reason(pod, container_name))
        # Between two attempts the last one is the previous container already, as the status says.
        index = 1 if previous and not waits else 0
        if index < len(ran):
            return ran[index].record
        if lost := _lost_container(pod, container_name, previous=previous):
            raise LookupFailure(400, f"unable to retrieve container logs for {lost}")
        if previous:
            raise LookupFailure(400, f'previous terminated container "{container_name}" in pod "{name}" not found')
        raise LookupFailure(400, _not_started(pod, name, container_name))

    def is_running(self, container_id: str) -> bool:
        """Whether the container runs, as far as the agent knows."""
        record = self._cache.find(container_id)
        return record is not None and record.state.value == "running"


def _not_started(pod: ReadOnlyObject, name: str, container_name: str) -> str:
    if _find_status(pod, container_name) is None:
        return f'container "{container_name}" in pod "{name}" is not available'
    reason = _waiting_reason(pod, container_name)
    start = f'container "{container_name}" in pod "{name}" is waiting to start'
    if reason == "ErrImagePull":
        return f"{start}: image can't be pulled"
    if reason == "ImagePullBackOff":
        return f"{start}: trying and failing to pull image"
    return f"{start}: {reason}" if reason else f"{start} - no logs yet"


def _lost_container(pod: ReadOnlyObject, container_name: str, *, previous: bool) -> str:
    """The id of the container that the status tells of and that is gone, as after an eviction; empty for none."""
    status = _find_status(pod, container_name) or {}
    state, last_state = status.get("state") or {}, status.get("lastState") or {}
    ended = [item.get("terminated") or {} for item in ((last_state,) if previous else (state, last_state))]
    return next((str(item["containerID"]) for item in ended if item.get("containerID")), "")


def _waiting_reason(pod: ReadOnlyObject, container_name: str) -> str:
    state = (_find_status(pod, container_name) or {}).get("state") or {}
    return str((state.get("waiting") or {}).get("reason") or "")


def _find_status(pod: ReadOnlyObject, container_name: str) -> Mapping[str, Any] | None:
    """What the Pod's status says of a container; None where it says nothing, as of a Pod that was refused."""
    status: Mapping[str, Any] = pod.get("status") or {}
    fields = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    items = (item for field in fields for item in status.get(field) or ())
    return next((item for item in items if item["name"] == container_name), None)
