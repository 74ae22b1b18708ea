"""The node API: the kubelet's paths over HTTPS. Upgrades end here, so the API server only splices."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiohttp import web

from agent.network.protocol import PodDialer
from agent.pods.container_cache import ContainerCache
from agent.pods.probe_tally import ProbeTally
from agent.pods.start_tally import StartTally
from agent.runtime.protocol import Runtime
from agent.server.container_actions import ContainerActions
from agent.server.container_logs import ContainerLogs
from agent.server.node_access import NodeAccess
from agent.server.node_logs import NodeLogs
from agent.server.pod_lookup import LookupFailure, PodLookup
from agent.server.port_forward import PortForward
from agent.server.remote_command import RemoteCommand
from agent.server.running_pods import running_pods
from agent.server.usage import UsagePages
from agent.server.volume_removal import VolumeRemoval
from agent.usage.own_figures import OwnFigures
from agent.usage.samples import UsageSampler, UsageSource
from control.api.clock import Clock
from control.api.objects import Object, ReadOnlyObject

logger = logging.getLogger(__name__)

BIND_RETRY_SECONDS = 2.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeServerSettings:
    """Where the server listens, and whose certificates it believes. Without `client_ca_pem` it knows tokens alone."""

    addresses: tuple[str, ...]
    port: int
    tls_cert: Path
    tls_key: Path
    client_ca_pem: str
    node_name: str


class NodeServer:
    """One node's server."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        cache: ContainerCache,
        pods: Callable[[], Iterable[ReadOnlyObject]],
        settings: NodeServerSettings,
        access: NodeAccess,
        clock: Clock,
        dialer: PodDialer,
        volume_root: Path,
        usage: UsageSource,
        probes: ProbeTally,
        starts: StartTally,
        configuration: Object,
    ) -> None:
        self._settings = settings
        self._access = access
        self._clock = clock
        self._cache = cache
        self._configuration = configuration
        self._lookup = PodLookup(pods, cache)
        logs = ContainerLogs(self._lookup, clock)
        remote = RemoteCommand(self._lookup, runtime)
        ports = PortForward(self._lookup, dialer)
        actions = ContainerActions(self._lookup, runtime)
        node_logs = NodeLogs()
        sampler = UsageSampler(usage, pods=pods, cache=cache, runtime=runtime, clock=clock)
        own = OwnFigures(pods=pods, cache=cache, starts=starts)
        pages = UsagePages(sampler, probes, own, engine_version=usage.engine.version)
        self.app = web.Application(middlewares=[self._guard])
        self.app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/healthz/{check:log|ping|syncloop}", self._healthz),
                web.get("/configz", self._configz),
                web.get("/pods", self._pods),
                web.get("/pods/", self._pods),
                web.get("/runningpods/", self._running_pods),
                web.get("/containerLogs/{namespace}/{pod}/{container}", logs.handle),
                *_upgrades("/exec/{namespace}/{pod}/{container}", remote.exec),
                *_upgrades("/exec/{namespace}/{pod}/{uid}/{container}", remote.exec),
                *_upgrades("/attach/{namespace}/{pod}/{container}", remote.attach),
                *_upgrades("/attach/{namespace}/{pod}/{uid}/{container}", remote.attach),
                *_upgrades("/portForward/{namespace}/{pod}", ports.handle),
                *_upgrades("/portForward/{namespace}/{pod}/{uid}", ports.handle),
                web.post("/run/{namespace}/{pod}/{container}", actions.run),
                web.post("/run/{namespace}/{pod}/{uid}/{container}", actions.run),
                web.post("/checkpoint/{namespace}/{pod}/{container}", actions.checkpoint),
                web.get("/logs", node_logs.handle),
                web.get("/logs/{path:.*}", node_logs.handle),
                web.route("*", "/debug/pprof{path:(/.*)?}", _disabled("profiling endpoint is disabled.")),
                web.route("*", "/debug/flags/v", _disabled("flags endpoint is disabled.")),
                web.post("/podling/volumes/{name}/removal", VolumeRemoval(volume_root).handle),
                web.get("/stats/summary", pages.summary),
                web.get("/metrics", pages.metrics),
                web.get("/metrics/cadvisor", pages.cadvisor_metrics),
                web.get("/metrics/resource", pages.resource_metrics),
                web.get("/metrics/probes", pages.probe_metrics),
            ]
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stopped. A port that is taken is tried again: the last agent may be on its way out."""
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            for address in self._settings.addresses:
                await self._listen(runner, address)
            logger.info("Serving the node API port=%d", self._settings.port)
            await stop.wait()
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner, address: str) -> None:
        context = self._tls()
        while True:
            site = web.TCPSite(runner, address, self._settings.port, ssl_context=context, reuse_address=True)
            try:
                await site.start()
                return
            except OSError as error:
                logger.warning(
                    "Cannot serve the node API address=%s port=%d error=%s", address, self._settings.port, error
                )
                await self._clock.sleep(BIND_RETRY_SECONDS)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._settings.tls_cert, self._settings.tls_key)
        if self._settings.client_ca_pem:
            context.load_verify_locations(cadata=self._settings.client_ca_pem)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse whoever may not, and turn refusals into plain text, as the kubelet answers."""
        refusal = await self._access.refuse(request)
        if refusal is not None:
            return refusal
        try:
            return await handler(request)
        except LookupFailure as failure:
            return web.Response(status=failure.status, text=failure.message, headers=list(failure.headers))

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _configz(self, request: web.Request) -> web.Response:
        return _json({"kubeletconfig": self._configuration})

    async def _pods(self, request: web.Request) -> web.Response:
        items = [{key: pod[key] for key in ("metadata", "spec", "status") if key in pod} for pod in self._lookup.pods()]
        return _json(_pod_list(items))

    async def _running_pods(self, request: web.Request) -> web.Response:
        return _json(_pod_list(running_pods(self._cache)))


def _pod_list(items: list[Object]) -> Object:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


def _json(value: Object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _upgrades(path: str, handler: Handler) -> list[web.RouteDef]:
    """Clients upgrade with GET (WebSocket) or POST (SPDY)."""
    return [web.get(path, handler), web.post(path, handler)]


def _disabled(text: str) -> Handler:
    """What the kubelet answers when its configuration turns a page off."""

    async def handle(request: web.Request) -> web.StreamResponse:
        raise LookupFailure(405, text)

    return handle
