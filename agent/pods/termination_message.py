"""What a container says about its end: its termination message file, or the tail of its log if it asks for that.

Read once per container, when it has ended. Limits are the kubelet's: the last 4096
bytes, or the last 80 lines and 2048 bytes of log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from agent.pods.observed import ObservedContainer
from agent.pods.pod_files import PodFiles
from agent.pods.pod_spec import find_container
from control.api.objects import ReadOnlyObject

LOG_LINES_MAX = 80
LOG_BYTES_MAX = 2048

#: (log path, lines) -> the last lines of a container's log
ReadLogTail = Callable[[str, int], str]


class TerminationMessages:
    """Messages by container id, of the containers that each Pod has."""

    def __init__(self, files: PodFiles, read_log_tail: ReadLogTail) -> None:
        self._files = files
        self._read_log_tail = read_log_tail
        self._messages: dict[str, dict[str, str]] = {}

    async def read(self, pod: ReadOnlyObject, containers: Iterable[ObservedContainer]) -> dict[str, str]:
        """The messages of those of a Pod's containers that have ended; those of others are forgotten."""
        uid = pod["metadata"]["uid"]
        known, messages = self._messages.get(uid, {}), {}
        for container in containers:
            if container.is_exited:
                if container.id not in known:
                    known[container.id] = await asyncio.to_thread(self._read_one, pod, container)
                messages[container.id] = known[container.id]
        self._messages[uid] = messages
        return {container_id: message for container_id, message in messages.items() if message}

    def forget(self, pod_uid: str) -> None:
        """Drop the messages of a Pod that is gone."""
        self._messages.pop(pod_uid, None)

    def _read_one(self, pod: ReadOnlyObject, container: ObservedContainer) -> str:
        spec = find_container(pod, container.name) or {}
        uid = pod["metadata"]["uid"]
        message = self._files.termination_message(uid, container.name, container.attempt)
        wants_log = (
            spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
            and container.record.exit_code != 0
            and not container.failed_to_start
        )
        if message or not wants_log:
            return message
        tail = self._read_log_tail(container.record.log_path, LOG_LINES_MAX).encode()
        return tail[-LOG_BYTES_MAX:].decode("utf-8", "replace")
