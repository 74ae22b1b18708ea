"""One try of one probe: HTTP, TCP, gRPC or exec. Texts are those of pkg/probe (v1.36)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.pods.environment import expand_static
from agent.pods.hooks import http_url
from agent.pods.http_get import HttpGetError, describe_failure, http_get
from agent.pods.ports import PortError, resolve_port
from agent.runtime.protocol import Runtime, RuntimeFailure
from control.api.durations import format_duration
from control.api.objects import ReadOnlyObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """How a try ended. `errored`: the probe itself could not be carried out; `warns`: it passed with a reservation."""

    passed: bool
    output: str = ""
    errored: bool = False
    warns: bool = False


class ProbeAttempt(Protocol):
    """Tries a probe once; never raises but for cancellation."""

    async def probe(
        self, container: ReadOnlyObject, container_id: str, probe: Mapping[str, Any], address: str
    ) -> ProbeResult:
        """Try it."""
        ...


class NetworkProbeAttempt:
    """The real thing: sockets for HTTP and TCP, the engine for exec."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def probe(
        self, container: ReadOnlyObject, container_id: str, probe: Mapping[str, Any], address: str
    ) -> ProbeResult:
        """Try it once, within `timeoutSeconds`."""
        timeout = float(probe.get("timeoutSeconds") or 1)
        try:
            if "httpGet" in probe:
                return await self._http(container, probe["httpGet"], address, timeout)
            if "tcpSocket" in probe:
                return await self._tcp(container, probe["tcpSocket"], address, timeout)
            if "grpc" in probe:
                return await _grpc(probe["grpc"], address, timeout)
            if "exec" in probe:
                command = expand_static(probe["exec"].get("command") or (), container)
                return await self._exec(container_id, command, timeout)
        except (PortError, RuntimeFailure) as error:
            return ProbeResult(passed=False, output=str(error), errored=True)
        return ProbeResult(passed=False, output=f"missing probe handler for {container['name']}", errored=True)

    async def _http(
        self, container: ReadOnlyObject, action: Mapping[str, Any], address: str, timeout: float
    ) -> ProbeResult:
        url = http_url(action, container, address)
        headers = [(item["name"], item.get("value", "")) for item in action.get("httpHeaders") or ()]
        try:
            answer = await http_get(url, headers=headers, timeout_seconds=timeout)
        except HttpGetError as error:
            return ProbeResult(passed=False, output=str(error))
        if 300 <= answer.status < 400:
            # The redirect leads to another host, which says nothing about this container.
            output = f"Probe terminated redirects, Response body: {answer.body}"
            return ProbeResult(passed=True, output=output, warns=True)
        if 200 <= answer.status < 300:
            return ProbeResult(passed=True, output=answer.body)
        return ProbeResult(passed=False, output=f"HTTP probe failed with statuscode: {answer.status}")

    async def _tcp(
        self, container: ReadOnlyObject, action: Mapping[str, Any], address: str, timeout: float
    ) -> ProbeResult:
        host = action.get("host") or address
        port = resolve_port(container, action.get("port"))
        try:
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return ProbeResult(passed=False, output=f"dial tcp {host}:{port}: i/o timeout")
        except OSError as error:
            return ProbeResult(passed=False, output=describe_failure(f"tcp://{host}:{port}", error))
        writer.close()
        return ProbeResult(passed=True)

    async def _exec(self, container_id: str, command: list[str], timeout: float) -> ProbeResult:
        try:
            result = await self._runtime.run_exec(container_id, command, timeout_seconds=timeout)
        except TimeoutError:
            text = " ".join(command)
            return ProbeResult(
                passed=False, output=f'command timed out: "{text}" timed out after {format_duration(timeout)}'
            )
        output = result.output.decode("utf-8", "replace")
        return ProbeResult(passed=result.exit_code == 0, output=output)


async def _grpc(action: Mapping[str, Any], address: str, timeout: float) -> ProbeResult:
    from agent.pods.grpc_health import HealthCheckError, check_health  # only gRPC probes need HTTP/2

    try:
        status = await check_health(
            address, int(action["port"]), service=str(action.get("service") or ""), timeout_seconds=timeout
        )
    except HealthCheckError as error:
        return ProbeResult(passed=False, output=str(error))
    if status == "SERVING":
        return ProbeResult(passed=True, output="service healthy")
    return ProbeResult(passed=False, output=f'service unhealthy (responded with "{status}")')
