"""Lifecycle hooks: postStart and preStop as exec, httpGet or sleep.

Upstream: pkg/kubelet/lifecycle/handlers.go, v1.36. A failed postStart kills the container, a failed preStop is only
reported; a preStop that outlives the grace period is abandoned.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from agent.pods.container_cache import ContainerCache
from agent.pods.container_stop import GRACE_SECONDS_MIN
from agent.pods.http_get import LIFECYCLE_USER_AGENT, HttpGetError, http_get
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import describe_pod, field_path, is_host_network
from agent.pods.ports import PortError, resolve_port
from agent.runtime.protocol import Runtime, RuntimeFailure
from control.api.clock import Clock
from control.api.errors import quote
from control.api.objects import ReadOnlyObject

HTTP_HOOK_SECONDS_MAX = 30.0
POST_START_SECONDS_MAX = 3600.0


class HookError(Exception):
    """The hook failed; the message says how."""


class HookRunner:
    """Runs hooks of containers."""

    def __init__(
        self,
        runtime: Runtime,
        cache: ContainerCache,
        clock: Clock,
        record: Callable[..., None],
        host_ip: Callable[[], str],
    ) -> None:
        self._runtime = runtime
        self._cache = cache
        self._clock = clock
        self._record = record
        self._host_ip = host_ip

    async def post_start(self, pod_record: PodRecord, container: ReadOnlyObject, container_id: str) -> None:
        """Run the hook, until the Pod must stop. Raises HookError."""
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        running = asyncio.ensure_future(self._run(pod_record, container, container_id, handler, POST_START_SECONDS_MAX))
        ending = asyncio.ensure_future(pod_record.ending.wait())
        try:
            await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            await _cancel(running, ending)

    async def pre_stop(
        self, pod_record: PodRecord, container: ReadOnlyObject, container_id: str, grace_seconds: float
    ) -> None:
        """Run the hook; a failure becomes an Event.

        One that takes longer than the grace period has failed, unless it sleeps, and what it runs in the container goes
        on until the container ends, as upstream.
        """
        handler = (container.get("lifecycle") or {}).get("preStop")
        if not handler or grace_seconds <= 0:
            return
        running = asyncio.ensure_future(
            self._run(pod_record, container, container_id, handler, grace_seconds + 2 * GRACE_SECONDS_MIN)
        )
        late = asyncio.ensure_future(self._clock.sleep(grace_seconds))
        try:
            await asyncio.wait({running, late}, return_when=asyncio.FIRST_COMPLETED)
            if isinstance(running.exception(), HookError) if running.done() else "sleep" not in handler:
                path = field_path(pod_record.pod, container["name"])
                self._record(pod_record.pod, "Warning", "FailedPreStopHook", "PreStopHook failed", field_path=path)
            with contextlib.suppress(HookError):
                await running
        finally:
            await _cancel(running, late)

    async def _run(
        self,
        pod_record: PodRecord,
        container: ReadOnlyObject,
        container_id: str,
        handler: Mapping[str, Any],
        timeout_seconds: float,
    ) -> None:
        pod = pod_record.pod
        where = f'for Container "{container["name"]}" in Pod "{describe_pod(pod)}" failed'
        try:
            if "exec" in handler:
                command = handler["exec"].get("command") or []
                result = await self._runtime.run_exec(container_id, command, timeout_seconds=timeout_seconds)
                if result.exit_code:
                    output = result.output.decode("utf-8", "replace")
                    error = f"command '{' '.join(command)}' exited with {result.exit_code}: {output}"
                    raise HookError(_exec_failure(command, where, error, output))
            elif "httpGet" in handler:
                await self._http(pod_record, container, handler["httpGet"], where, timeout_seconds)
            elif "sleep" in handler:
                seconds = float(handler["sleep"].get("seconds") or 0)
                await self._clock.sleep(min(seconds, timeout_seconds))
            else:
                raise HookError(f"Cannot run handler: invalid handler: {', '.join(sorted(handler))}")
        except (TimeoutError, RuntimeFailure) as error:
            command = handler["exec"].get("command") or []
            cause = str(error) or f"command {quote(' '.join(command))} timed out"
            raise HookError(_exec_failure(command, where, cause, "")) from error

    async def _http(
        self,
        pod_record: PodRecord,
        container: ReadOnlyObject,
        action: Mapping[str, Any],
        where: str,
        timeout_seconds: float,
    ) -> None:
        timeout = min(timeout_seconds, HTTP_HOOK_SECONDS_MAX)
        headers = [(item["name"], item.get("value", "")) for item in action.get("httpHeaders") or ()]
        try:
            url = http_url(action, container, self._address(pod_record))
            try:
                await asyncio.shield(_call(url, headers, timeout))
            except HttpGetError as error:
                if not error.is_plain_http:
                    raise
                await self._fall_back_to_http(pod_record, url, headers, timeout)
        except (HttpGetError, PortError) as error:
            raise HookError(f"HTTP lifecycle hook ({action.get('path', '')}) {where} - error: {error}") from error

    async def _fall_back_to_http(
        self,
        pod_record: PodRecord,
        url: str,
        headers: Sequence[tuple[str, str]],
        timeout: float,
    ) -> None:
        """An https hook of old met a plain server, which upstream goes on serving. Raises HttpGetError."""
        plain = url.replace("https://", "http://", 1)
        without_secret = [(name, value) for name, value in headers if name.lower() != "authorization"]
        await asyncio.shield(_call(plain, without_secret, timeout))
        host = urlsplit(url).netloc
        message = f"request to HTTPS lifecycle hook {host} got HTTP response, retry with HTTP succeeded"
        self._record(pod_record.pod, "Warning", "LifecycleHTTPFallback", message)

    def _address(self, pod_record: PodRecord) -> str:
        if is_host_network(pod_record.pod):
            return self._host_ip()
        sandbox = pod_record.observe(self._cache).sandbox
        return sandbox.ip if sandbox is not None else ""


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _call(url: str, headers: Sequence[tuple[str, str]], timeout_seconds: float) -> None:
    """Ask; whatever the answer, the hook has been heard. Raises HttpGetError."""
    await http_get(url, headers=headers, user_agent=LIFECYCLE_USER_AGENT, timeout_seconds=timeout_seconds)


def _exec_failure(command: Sequence[str], where: str, error: str, output: str) -> str:
    return f"Exec lifecycle hook ([{' '.join(command)}]) {where} - error: {error}, message: {quote(output)}"


def http_url(action: Mapping[str, Any], container: ReadOnlyObject, address: str) -> str:
    """The URL of an httpGet action. Raises PortError."""
    scheme = str(action.get("scheme") or "HTTP").lower()
    host = action.get("host") or address
    path = str(action.get("path") or "/")
    port = resolve_port(container, action.get("port"))
    return f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"
