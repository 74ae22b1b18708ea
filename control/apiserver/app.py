"""`ApiServer`: the request pipeline from top to bottom, as a function.

    request → RequestInfo → filters, in order → verb handler of the kind → answer

Everything a client can ask goes through `ApiServer.endpoint`, from a socket (`serving.py`) or in process.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from control.api.builtin_kinds import BUILTIN_KINDS, IP_ADDRESSES, PODS, SERVICES
from control.api.clock import Clock, SystemClock
from control.api.errors import ApiError, bad_request, path_not_found
from control.api.exchange import ApiRequest, ApiResponse, User
from control.api.kinds import Kind
from control.api.names import Chooser
from control.api.objects import Object
from control.apiserver.admission.chain import AdmissionChain
from control.apiserver.admission.plugins import make_plugins
from control.apiserver.admission.rbac_escalation import RbacEscalation
from control.apiserver.bootstrap import API_SERVER_USER, EnduringObjects, ensure_bootstrap_objects
from control.apiserver.cache.watch_cache import WatchCache
from control.apiserver.extensions.resource_metrics.resource_metrics import ResourceMetrics, withdraw
from control.apiserver.filters.authentication import AuthenticationFilter
from control.apiserver.filters.authorization import AuthorizationFilter
from control.apiserver.filters.impersonation import ImpersonationFilter
from control.apiserver.filters.priority import PriorityFilter
from control.apiserver.go_json import TOO_DEEP
from control.apiserver.health import HealthChecks
from control.apiserver.metrics import ServerMetrics
from control.apiserver.negotiation import PLAIN_JSON, choose_object_media, not_acceptable, wants_pretty
from control.apiserver.node_proxy import NodeProxy
from control.apiserver.non_resource import NonResourcePaths
from control.apiserver.own_conditions import OwnConditions
from control.apiserver.own_pages import OwnPages
from control.apiserver.registry.allocators.cluster_ip import RandomRange
from control.apiserver.registry.allocators.node_port import NodePortRange
from control.apiserver.registry.allocators.services import ServiceAllocator
from control.apiserver.registry.metadata import check_name_parameter
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.served_kind import KindRegistry, ServedKind
from control.apiserver.registry.strategies import strategy_for
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.representation import compress, error_response
from control.apiserver.request_body import BODY_BYTES_MAX
from control.apiserver.request_context import RequestContext
from control.apiserver.request_info import parse_request_info
from control.apiserver.routing import find_handler
from control.apiserver.service_addresses import ServiceAddresses, is_shown_by_allocator
from control.apiserver.version import GIT_VERSION
from control.auth.authenticator import Authenticator
from control.auth.authorizer import make_authorizer
from control.auth.tokens import TokenIssuer, TokenVerifier
from control.schema.builtin import definition_schema
from control.storage.protocol import Storage, StorageUnavailableError

_log = logging.getLogger("podling.apiserver")

T = TypeVar("T")


class Random(Chooser, RandomRange, Protocol):
    """Where names, addresses and ports come from."""


class Filter(Protocol):
    """One step before the handler: fills the context or raises the ApiError to answer with."""

    async def __call__(self, context: RequestContext) -> None:
        """Judge or complete a request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServerConfig:
    """What a server must know beyond its store.

    `static_tokens` is what `control.auth.authenticator.parse_token_file` read. `node_ssl_context` makes the client
    side of connections to agents, `unverified_node_ssl_context` that of requests which need not verify the agent.
    `service_cidr` is the range of cluster IPs. With `allows_anonymous` (upstream's
    default) a request without credentials is `system:anonymous`, who may do what RBAC lets it. With `serves_metrics`
    it stands for a metrics-server too, unless a user's APIService says otherwise.
    """

    profile: str = "default"
    service_cidr: str = "10.96.0.0/16"
    node_port_range: tuple[int, int] = (30000, 32767)
    static_tokens: Mapping[str, User] = field(default_factory=dict)
    allows_anonymous: bool = True
    server_address: str = "127.0.0.1:6443"
    node_ssl_context: ssl.SSLContext | None = None
    unverified_node_ssl_context: ssl.SSLContext | None = None
    client_ca_pem: str = ""
    serves_metrics: bool = False


class ApiServer:
    """The API server of one process. `await start()` before the first request, `await stop()` at the end."""

    def __init__(
        self,
        *,
        config: ApiServerConfig,
        storage: Storage,
        random: Random,
        clock: Clock | None = None,
        token_issuer: TokenIssuer | None = None,
    ) -> None:
        first_port, last_port = config.node_port_range
        self.config = config
        self.storage = storage
        self.clock: Clock = clock or SystemClock()
        self.random = random
        self.registry = KindRegistry()
        self.token_issuer = token_issuer
        self.authenticator = self._make_authenticator()
        self.authorizer = make_authorizer(self.registry)
        plugins = make_plugins(self.registry, profile=config.profile, random=random, clock=self.clock)
        self.admission = AdmissionChain([*plugins, RbacEscalation(self.registry, self.authorizer)])
        self._caches: dict[str, WatchCache] = {}
        self._stores: dict[int, ResourceStore] = {}
        self._services = ServiceAllocator(
            config.service_cidr,
            random,
            node_ports=NodePortRange(random, first=first_port, last=last_port),
            is_reserved=self._is_reserved_address,
        )
        for kind in BUILTIN_KINDS:
            self._serve_builtin(kind)
        self.metrics = ServerMetrics()
        self.health = HealthChecks()
        self._lag_meter: asyncio.Task[None] | None = None
        node_proxy = NodeProxy(config.node_ssl_context, unverified_context=config.unverified_node_ssl_context)
        self._resource_metrics = ResourceMetrics(self, API_SERVER_USER, node_proxy)
        self._own_loops = [
            OwnConditions(self, API_SERVER_USER).loop,
            ServiceAddresses(self, API_SERVER_USER).loop,
            EnduringObjects(self).loop,
        ]
        if config.serves_metrics:
            self._own_loops.append(self._resource_metrics.loop)
        self._non_resource = NonResourcePaths(
            self.registry,
            server_address=config.server_address,
            token_issuer=token_issuer,
            health=self.health,
            metrics=self.metrics.to_text,
            own_pages=OwnPages(self._describe),
        )
        self._parts = ServerParts(
            registry=self.registry,
            store_of=self.store_of,
            authenticator=self.authenticator,
            authorizer=self.authorizer,
            token_issuer=token_issuer,
            node_proxy=node_proxy,
            random=random,
        )
        self._in_flight = PriorityFilter()
        self._filters: Sequence[Filter] = (
            AuthenticationFilter(self.authenticator),
            ImpersonationFilter(self.authorizer),
            self._in_flight,
            AuthorizationFilter(self.authorizer),
        )

    def _make_authenticator(self) -> Authenticator:
        verifier = TokenVerifier([self.token_issuer.public_key], self.registry) if self.token_issuer else None
        return Authenticator(
            clock=self.clock,
            static_tokens=self.config.static_tokens,
            verifier=verifier,
            allows_anonymous=self.config.allows_anonymous,
        )

    def _serve_builtin(self, kind: Kind) -> None:
        served = ServedKind(
            kind,
            find_schema=lambda: definition_schema(kind.definition),
            strategy=strategy_for(kind),
            cache=self._cache_of(kind),
            allocator=self._services if kind is SERVICES else None,
            indexed_fields=_INDEXED_FIELDS.get(kind.storage_prefix, ()),
        )
        self.registry.add(served)
        self._stores[id(served)] = ResourceStore(
            served,
            storage=self.storage,
            admission=self.admission,
            authorizer=self.authorizer,
            clock=self.clock,
            random=self.random,
        )

    def _cache_of(self, kind: Kind) -> WatchCache:
        prefix = kind.storage_prefix
        cache = self._caches.get(prefix)
        if cache is None:
            indexes = {name: _field_reader(name) for name in _INDEXED_FIELDS.get(prefix, ())}
            cache = self._caches[prefix] = WatchCache(self.storage, prefix, clock=self.clock, indexes=indexes)
        return cache

    def _is_reserved_address(self, text: str) -> bool:
        address = self.registry.find(IP_ADDRESSES, None, text)
        return address is not None and not is_shown_by_allocator(address)

    def store_of(self, kind: Kind) -> ResourceStore:
        """The store of a kind that is served."""
        return self._stores[id(self.registry.of(kind))]

    def _describe(self) -> dict[str, Any]:
        return {
            "profile": self.config.profile,
            "version": GIT_VERSION,
            "revision": self.storage.revision,
            "objects": sum(cache.count() for cache in self._caches.values()),
            "loop_lag_seconds": self.metrics.loop_lag_seconds,
        }

    async def start(self) -> None:
        """Load the caches and make the objects every cluster has."""
        await asyncio.gather(*(cache.start() for cache in self._caches.values()))
        self._services.rebuild(self.registry.list(SERVICES))
        await ensure_bootstrap_objects(self)
        if self.config.serves_metrics:
            await self._resource_metrics.announce()
        else:
            await withdraw(self, API_SERVER_USER)
        for loop in self._own_loops:
            loop.start()
        self._lag_meter = asyncio.create_task(self.metrics.measure_loop_lag())

    async def stop(self) -> None:
        """End all watches. The store is its owner's to close."""
        if self._lag_meter is not None:
            self._lag_meter.cancel()
        for loop in self._own_loops:
            loop.stop()
        for cache in self._caches.values():
            cache.stop()

    async def endpoint(self, request: ApiRequest) -> ApiResponse:
        """Answer one request. Never raises for a bad one."""
        began = self.clock.monotonic()
        info = parse_request_info(request.method, request.path, request.query)
        context = RequestContext(
            request=request, info=info, media=PLAIN_JSON, now=self.clock.now(), profile=self.config.profile
        )
        try:
            response = await self._answer(context)
        except ApiError as error:
            response = error_response(context, error)
        except StorageUnavailableError as error:
            response = error_response(context, ApiError(503, "ServiceUnavailable", str(error)))
        except RecursionError:
            response = error_response(context, bad_request(TOO_DEEP))
        except asyncio.CancelledError:
            _finish(context)
            raise
        except Exception:
            _log.exception("Request failed: method=%s path=%s", request.method, request.path)
            response = error_response(context, _internal_error())
        if not info.is_long_running:
            self.metrics.count_request(info, response.status, self.clock.monotonic() - began)
        if response.body is not None:
            await compress(request.headers.get("accept-encoding", ""), response)
        return _finish_with(response, context)

    async def _answer(self, context: RequestContext) -> ApiResponse:
        for step in self._filters:
            await step(context)
        if len(context.request.body) > BODY_BYTES_MAX and not context.request.in_process:
            raise request_too_large()
        if not context.info.is_resource:
            return await self._non_resource.answer(context)
        info = context.info
        served = self.registry.get(info.group, info.version, info.resource)
        if served is not None:
            self._negotiate(context)
            return await self._dispatch(context, served)
        computed = self.registry.get_computed(info.group, info.version, info.resource)
        if computed is None:
            raise path_not_found()
        self._negotiate(context)
        find_handler(computed.kind, info)  # refuses what has no route
        return await computed.answer(context)

    def _negotiate(self, context: RequestContext) -> None:
        media = choose_object_media(context.request.headers.get("accept", ""))
        if media is None:
            raise not_acceptable()
        is_pretty = wants_pretty(context.query("pretty"), context.request.headers.get("user-agent", ""))
        context.media = media.made_pretty() if is_pretty and not context.request.in_process else media

    async def _dispatch(self, context: RequestContext, served: ServedKind) -> ApiResponse:
        handler = find_handler(served.kind, context.info)
        if served.deprecation:
            context.warn(served.deprecation)
        if context.info.has_name_in_path:
            check_name_parameter(context.info.name)
        return await handler(context, self._stores[id(served)], self._parts)


#: Fields that watches select by so often that the cache keeps an index of them.
_INDEXED_FIELDS: Mapping[str, tuple[str, ...]] = {PODS.storage_prefix: ("spec.nodeName",)}


def _field_reader(path: str) -> Callable[[Object], str]:
    parts = path.split(".")

    def read(obj: Object) -> str:
        value: Any = obj
        for part in parts:
            value = (value or {}).get(part)
        return str(value or "")

    return read


def _finish(context: RequestContext) -> None:
    for callback in context.on_done:
        callback()
    context.on_done.clear()


def _finish_with(response: ApiResponse, context: RequestContext) -> ApiResponse:
    """Run what waits for the end of the answer: now, or when its stream has ended."""
    if not context.on_done:
        return response
    if response.stream is not None:
        response.stream = _then(response.stream, context)
    elif response.events is not None:
        response.events = _then(response.events, context)
    else:
        _finish(context)
    return response


async def _then(stream: AsyncIterator[T], context: RequestContext) -> AsyncIterator[T]:
    try:
        async for item in stream:
            yield item
    finally:
        _finish(context)


def _internal_error() -> ApiError:
    return ApiError(500, "InternalError", "Internal error occurred: the request failed", details={})


def request_too_large() -> ApiError:
    """413 as upstream words it."""
    text = f"Request entity too large: limit is {BODY_BYTES_MAX}"
    return ApiError(413, "RequestEntityTooLarge", text)
