"""The Docker Engine behind the runtime seam: containers, streams, events. Its images are in `docker_images.py`.

All calls run on the event loop through `engine_socket.py`: they cost a fraction of the SDK's, hold no thread and can be
given up. Every failure leaves here as an error of the seam.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.runtime.docker_images import DockerImages
from agent.runtime.docker_sdk import DockerSdk
from agent.runtime.engine_address import engine_address
from agent.runtime.engine_records import parse_container, parse_event, parse_info, parse_state
from agent.runtime.engine_socket import EngineSocket
from agent.runtime.engine_stream import HijackedStream
from agent.runtime.exec_end import ExecEnd
from agent.runtime.exec_result import collect_output
from agent.runtime.identity import CONTAINER_TYPE_LABEL, ContainerRole
from agent.runtime.process_user import read_process_user
from agent.runtime.protocol import (
    EVENT_ACTIONS,
    ContainerNotFoundError,
    ContainerRecord,
    ContainerState,
    CreateBody,
    EngineInfo,
    EngineUnavailableError,
    ExecResult,
    ProcessUser,
    RuntimeEvent,
    RuntimeFailure,
    VolumeNotFoundError,
)
from agent.runtime.volume_records import VolumeRecord, parse_volume

CHANGES_IN_FLIGHT_MAX = 8  # more containers at once only queue inside the engine
KILL_SECONDS_MAX = 10.0


class DockerRuntime(DockerImages):
    """Implements `agent.runtime.protocol.Runtime` on one engine."""

    def __init__(self, base_url: str = "") -> None:
        """`base_url` defaults to the engine of this process."""
        url = base_url or engine_address()
        super().__init__(EngineSocket(url), DockerSdk(url))
        self._exec_end = ExecEnd(self._socket, self.inspect_container)
        self._changes = asyncio.Semaphore(CHANGES_IN_FLIGHT_MAX)
        self._exited: dict[str, ContainerRecord] = {}
        self._users: dict[str, ProcessUser | None] = {}
        self._out_of_memory: set[str] = set()

    # --- engine -------------------------------------------------------------------------------------------------------

    async def info(self) -> EngineInfo:
        """Describe the engine. Raises EngineUnavailableError."""
        info, version = await asyncio.gather(self._socket.call("GET", "/info"), self._socket.call("GET", "/version"))
        return parse_info(info, version)

    async def close(self) -> None:
        """Release sockets and threads."""
        self._socket.close()
        self._sdk.close()

    # --- containers ---------------------------------------------------------------------------------------------------

    async def list_containers(self, labels: Mapping[str, str]) -> list[ContainerRecord]:
        """List containers that carry all the labels. Only what may have changed is inspected again."""
        filters = json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]})
        rows = await self._socket.call("GET", "/containers/json", query={"all": "1", "filters": filters})
        records = await asyncio.gather(*(self._observe_row(row) for row in rows))
        listed = {row["Id"] for row in rows}
        for container_id in [known for known, record in self._exited.items() if _carries(record, labels)]:
            if container_id not in listed:
                self._exited.pop(container_id, None)
        return [record for record in records if record is not None]

    async def _observe_row(self, row: Mapping[str, Any]) -> ContainerRecord | None:
        known = self._exited.get(row["Id"])
        if known is not None and parse_state(row["State"]) is ContainerState.EXITED:
            return known
        try:
            return await self.inspect_container(row["Id"])
        except ContainerNotFoundError:
            return None  # removed between the listing and now

    async def inspect_container(self, container_id: str, *, with_size: bool = False) -> ContainerRecord:
        """Inspect one container by id or name. Raises ContainerNotFoundError."""
        query = {"size": "1"} if with_size else None
        inspected = await self._socket.call("GET", f"/containers/{container_id}/json", query=query)
        record = self._with_user(parse_container(inspected))
        if record.id in self._out_of_memory:
            record = replace(record, oom_killed=True)
        if record.state is ContainerState.EXITED:
            self._exited[record.id] = record
        else:
            self._exited.pop(record.id, None)
        return record

    def _with_user(self, record: ContainerRecord) -> ContainerRecord:
        """With the ids of its first process as they were when it was first seen: programs may change theirs.

        Nobody asks who a sandbox runs as.
        """
        if not record.pid or record.labels.get(CONTAINER_TYPE_LABEL) == ContainerRole.SANDBOX.value:
            self._users.pop(record.id, None)
            return record
        if record.id not in self._users:
            self._users[record.id] = read_process_user(record.pid)
        return replace(record, user=self._users[record.id])

    async def create_container(self, name: str, body: CreateBody) -> str:
        """Create a container and return its id. Raises NameConflictError, ImageNotFoundError, RuntimeFailure."""
        async with self._changes:
            created = await self._socket.call("POST", "/containers/create", query={"name": name}, body=body, image=True)
        return str(created["Id"])

    async def start_container(self, container_id: str) -> None:
        """Start it. A failure of the command itself is RuntimeFailure with reason RunContainerError."""
        try:
            async with self._changes:
                await self._socket.call("POST", f"/containers/{container_id}/start")
        except (EngineUnavailableError, ContainerNotFoundError):
            raise
        except RuntimeFailure as error:
            raise RuntimeFailure(str(error), reason="RunContainerError") from error

    async def stop_container(self, container_id: str, *, signal: str, grace_seconds: int) -> None:
        """Signal, wait up to the grace period, then SIGKILL; returns when it has stopped."""
        if grace_seconds > 0:
            await self.kill_container(container_id, signal)
            if await self._has_stopped_within(container_id, grace_seconds):
                return
        await self.kill_container(container_id)
        if not await self._has_stopped_within(container_id, KILL_SECONDS_MAX):
            raise EngineUnavailableError(f"cannot stop container {container_id}: still running after SIGKILL")

    async def _has_stopped_within(self, container_id: str, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._wait_until_stopped(container_id)
        except TimeoutError:
            return False
        return True

    async def _wait_until_stopped(self, container_id: str) -> None:
        with contextlib.suppress(ContainerNotFoundError):
            await self._socket.fetch("POST", f"/containers/{container_id}/wait")

    async def kill_container(self, container_id: str, signal: str = "SIGKILL") -> None:
        """Send a signal; succeeds if it is not running."""
        try:
            await self._socket.call("POST", f"/containers/{container_id}/kill", query={"signal": signal})
        except ContainerNotFoundError:
            return
        except RuntimeFailure as error:
            if "is not running" not in str(error):
                raise

    async def update_container(self, container_id: str, settings: Mapping[str, int]) -> None:
        """Change the resources of a running container."""
        await self._socket.call("POST", f"/containers/{container_id}/update", body=dict(settings))

    async def remove_container(self, container_id: str) -> None:
        """Kill and remove with its anonymous volumes; succeeds if it is gone."""
        try:
            async with self._changes:
                await self._socket.call("DELETE", f"/containers/{container_id}", query={"v": "1", "force": "1"})
        except ContainerNotFoundError:
            pass
        except RuntimeFailure as error:
            if "already in progress" not in str(error):
                raise
        self._exited.pop(container_id, None)
        self._users.pop(container_id, None)

    # --- volumes ------------------------------------------------------------------------------------------------------

    async def find_volume(self, name: str) -> VolumeRecord | None:
        """Return the volume of that name, or None."""
        try:
            return parse_volume(await self._socket.call("GET", f"/volumes/{name}"))
        except VolumeNotFoundError:
            return None

    async def list_volumes(self, labels: Mapping[str, str]) -> list[VolumeRecord]:
        """List volumes that carry all the labels."""
        filters = json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]})
        listed = await self._socket.call("GET", "/volumes", query={"filters": filters})
        return [parse_volume(row) for row in listed.get("Volumes") or ()]

    async def remove_volume(self, name: str) -> bool:
        """Remove a volume; False while a container uses it, True if it is gone."""
        try:
            await self._socket.call("DELETE", f"/volumes/{name}")
        except VolumeNotFoundError:
            return True
        except RuntimeFailure as error:
            if "is in use" not in str(error):
                raise
            return False
        return True

    # --- streams ------------------------------------------------------------------------------------------------------

    async def open_exec(
        self, container_id: str, command: Sequence[str], *, stdin: bool = False, tty: bool = False
    ) -> HijackedStream:
        """Start a command in a running container."""
        asked = {"AttachStdin": stdin, "AttachStdout": True, "AttachStderr": True, "Tty": tty, "Cmd": list(command)}
        created = await self._socket.call("POST", f"/containers/{container_id}/exec", body=asked)
        exec_id = str(created["Id"])
        response = await self._socket.open(
            "POST", f"/exec/{exec_id}/start", body={"Detach": False, "Tty": tty}, hijack=True
        )

        async def resize(width: int, height: int) -> None:
            await self._socket.call("POST", f"/exec/{exec_id}/resize", query={"h": str(height), "w": str(width)})

        return HijackedStream(
            response,
            tty=tty,
            stopped=self._wait_until_stopped(container_id),
            resize=resize,
            exit_code=lambda: self._exec_end.exit_code(exec_id, container_id),
            abandon=lambda: self._exec_end.kill(exec_id, container_id),
        )

    async def run_exec(self, container_id: str, command: Sequence[str], *, timeout_seconds: float) -> ExecResult:
        """Run a command to its end, output merged and cut at 10 KiB. Raises TimeoutError after killing its pid."""
        async with asyncio.timeout(timeout_seconds):
            stream = await self.open_exec(container_id, command)
            try:
                output = await collect_output(stream)
                return ExecResult(exit_code=await stream.exit_code(), output=output)
            finally:
                await asyncio.shield(stream.close())

    async def open_attach(
        self, container_id: str, *, stdin: bool = False, stdin_once: bool = False, tty: bool = False
    ) -> HijackedStream:
        """Attach to the container's first process. Its input ends with ours only if it is a container of one input."""
        query = {"stream": "1", "stdin": "1" if stdin else "0", "stdout": "1", "stderr": "1"}
        response = await self._socket.open("POST", f"/containers/{container_id}/attach", query=query, hijack=True)

        async def resize(width: int, height: int) -> None:
            size = {"h": str(height), "w": str(width)}
            await self._socket.call("POST", f"/containers/{container_id}/resize", query=size)

        async def exit_code() -> int:
            return (await self.inspect_container(container_id)).exit_code

        async def abandon() -> None:
            """The first process lives on without its spectator."""

        return HijackedStream(
            response,
            tty=tty,
            stopped=self._wait_until_stopped(container_id),
            resize=resize,
            exit_code=exit_code,
            abandon=abandon,
            closes_stdin=stdin_once,
        )

    async def events(self, labels: Mapping[str, str]) -> AsyncIterator[RuntimeEvent]:
        """Yield the events of `EVENT_ACTIONS` until the stream breaks (EngineUnavailableError)."""
        filters = {
            "type": ["container"],
            "event": EVENT_ACTIONS,  # not those of each exec
            "label": [f"{name}={value}" for name, value in labels.items()],
        }
        async with contextlib.aclosing(self._event_lines(filters)) as lines:
            async for line in lines:
                event = parse_event(line)
                if event.action == "start":
                    self._exited.pop(event.container_id, None)
                    self._out_of_memory.discard(event.container_id)
                elif event.action == "oom":
                    # The engine forgets it when it hears of it only after the container's end.
                    self._out_of_memory.add(event.container_id)
                elif event.action == "destroy":
                    self._out_of_memory.discard(event.container_id)
                yield event

    async def stats(self, container_id: str) -> Mapping[str, Any]:
        """One sample of Docker's stats (no second sample to compare with, which would take it a second)."""
        query = {"stream": "0", "one-shot": "1"}
        sample: Mapping[str, Any] = await self._socket.call("GET", f"/containers/{container_id}/stats", query=query)
        return sample


def _carries(record: ContainerRecord, labels: Mapping[str, str]) -> bool:
    return all(record.labels.get(name) == value for name, value in labels.items())
