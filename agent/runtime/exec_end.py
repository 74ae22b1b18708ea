"""How a command in a container ends: its exit code, and how one that nobody waits for any more is killed.

Docker never closes a stream of a container that died around it, and has no call to end an exec.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal as signals
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.runtime.engine_socket import EngineSocket
from agent.runtime.protocol import ContainerNotFoundError, ContainerRecord, ContainerState, RuntimeFailure

log = logging.getLogger(__name__)

EXIT_CODE_KILLED = 137
POLL_SECONDS_FIRST, POLL_SECONDS_MAX = 0.005, 0.25
POLLS_AFTER_STOP_MAX = 5
PID_TRIES = 20
PID_INTERVAL_SECONDS = 0.05


class ExecEnd:
    """The ends of the commands of one engine."""

    def __init__(self, socket: EngineSocket, inspect: Callable[[str], Awaitable[ContainerRecord]]) -> None:
        self._socket = socket
        self._inspect = inspect

    async def exit_code(self, exec_id: str, container_id: str) -> int:
        """Docker knows the code a moment after the stream has ended; never, when the container died around it."""
        delay_seconds, polls_after_stop = POLL_SECONDS_FIRST, 0
        while polls_after_stop < POLLS_AFTER_STOP_MAX:
            try:
                state = await self._socket.call("GET", f"/exec/{exec_id}/json")
                if not state["Running"] and state["ExitCode"] is not None:
                    return int(state["ExitCode"])
                if (await self._inspect(container_id)).state is not ContainerState.RUNNING:
                    polls_after_stop += 1
            except ContainerNotFoundError:
                break
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(POLL_SECONDS_MAX, delay_seconds * 2)
        return EXIT_CODE_KILLED

    async def kill(self, exec_id: str, container_id: str) -> None:
        """Kill the command's process, which must still be one of the container's.

        Output may arrive before the engine has noted the pid: it says so a moment later.
        """
        for _ in range(PID_TRIES):
            try:
                state = await self._socket.call("GET", f"/exec/{exec_id}/json")
            except RuntimeFailure:
                return
            if not state["Running"] or (state["Pid"] and _kill_process(state["Pid"], container_id)):
                return
            await asyncio.sleep(PID_INTERVAL_SECONDS)


def _kill_process(pid: int, container_id: str) -> bool:
    """Only a process of the container is killed: the pid may have been given to another one meanwhile.

    Returns whether there is nothing more to do about it.
    """
    try:
        if container_id not in Path(f"/proc/{pid}/cgroup").read_text():
            return False
        os.kill(pid, signals.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass
    except PermissionError:
        log.warning("Left an abandoned command running: its process belongs to another user", extra={"pid": pid})
    return True
