"""`ResourceMetrics`: metrics.k8s.io, answered from the nodes' `/metrics/resource` when somebody asks.

Served while its APIService exists and is local. Whoever deletes it, or points it at a Service, installs a
metrics-server in its place; it is made once, not again at every start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from control.api.builtin_kinds import API_SERVICES, NODES, PODS
from control.api.durations import format_duration
from control.api.errors import ApiError, not_found
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.metrics_kinds import NODE_METRICS, POD_METRICS
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_terminal
from control.api.timestamps import format_time
from control.apiserver.extensions.computed_kind import ComputedKind, is_selected
from control.apiserver.extensions.resource_metrics.announcement import (
    API_SERVICE_NAME,
    ROLE_NAME,
    announcing_objects,
    is_local,
    is_own,
)
from control.apiserver.extensions.resource_metrics.readings import NodeReadings
from control.apiserver.extensions.resource_metrics.samples import Reading, parse_reading
from control.apiserver.extensions.resource_metrics.usage import (
    Usage,
    container_metrics,
    earliest,
    node_usage,
    pod_usage,
)
from control.apiserver.node_proxy import NodeProxy, Target, node_address
from control.apiserver.options import ListOptions
from control.apiserver.own_loop import OwnLoop, send_own
from control.apiserver.registry.served_kind import KindRegistry

if TYPE_CHECKING:
    from control.apiserver.app import ApiServer

_log = logging.getLogger("podling.apiserver")

#: A node that takes longer is left out of the answer, as one that is dead.
FETCH_SECONDS_MAX = 5.0
#: What is measured keeps these of its metadata.
_KEPT = ("name", "namespace", "labels")

NodePair = tuple[Reading, Reading]


class ResourceMetrics:
    """Both kinds, and the loop that serves them while they are announced."""

    def __init__(self, server: ApiServer, user: User, node_proxy: NodeProxy) -> None:
        self._server = server
        self._user = user
        self._node_proxy = node_proxy
        self._readings = NodeReadings(self._fetch, server.clock)
        self._kinds = (
            ComputedKind(kind=NODE_METRICS, get=self._get_node, list=self._list_nodes),
            ComputedKind(kind=POD_METRICS, get=self._get_pod, list=self._list_pods),
        )
        self.loop = OwnLoop(server, (API_SERVICES,), self.step)

    async def announce(self) -> None:
        """Make the objects that announce the API, unless they, or a metrics-server's, were made before."""
        objects = announcing_objects()
        last_kind, last = objects[-1]
        if self._registry.find(last_kind, None, last["metadata"]["name"]) is None:
            for kind, obj in objects:
                answer = await send_own(self._server, self._user, "POST", kind.path(), obj)
                if answer.status >= 400 and answer.status != 409:
                    raise ApiError.from_status(answer.object or {}, code=answer.status)
        await self.step()

    async def step(self) -> None:
        """Serve the kinds, or stop serving them, as the APIService says."""
        serves = is_local(self._registry.find(API_SERVICES, None, API_SERVICE_NAME))
        for kind in self._kinds:
            if serves and self._registry.find_computed(kind.kind) is None:
                self._registry.add_computed(kind.kind, kind)
            elif not serves and self._registry.find_computed(kind.kind) is kind:
                self._registry.remove_computed(kind.kind)

    @property
    def _registry(self) -> KindRegistry:
        return self._server.registry

    # ---- the kinds --------------------------------------------------------------------------------------------

    async def _get_node(self, namespace: str, name: str) -> Object:
        node = self._registry.find(NODES, None, name)
        made = [] if node is None else await self._node_metrics([node])
        if not made:
            raise not_found(NODE_METRICS.group, NODE_METRICS.plural, name)
        return made[0]

    async def _list_nodes(self, namespace: str, options: ListOptions) -> Sequence[Object]:
        nodes = self._registry.list(NODES)
        self._readings.forget_all_but(frozenset(node["metadata"]["uid"] for node in nodes))
        return await self._node_metrics([node for node in nodes if is_selected(node, options)])

    async def _get_pod(self, namespace: str, name: str) -> Object:
        pod = self._registry.find(PODS, namespace, name)
        if pod is None:
            raise not_found("", PODS.plural, name)
        made = await self._pod_metrics([pod])
        if not made:
            raise not_found(POD_METRICS.group, POD_METRICS.plural, f"{namespace}/{name}")
        return made[0]

    async def _list_pods(self, namespace: str, options: ListOptions) -> Sequence[Object]:
        return await self._pod_metrics(
            [pod for pod in self._registry.list(PODS, namespace) if is_selected(pod, options)]
        )

    async def _node_metrics(self, nodes: Sequence[ReadOnlyObject]) -> list[Object]:
        pairs = await self._read({node["metadata"]["name"] for node in nodes})
        made = []
        for node in sorted(nodes, key=_key):
            pair = pairs.get(node["metadata"]["name"])
            usage = node_usage(*pair) if pair else None
            if usage is not None:
                made.append({**self._measured(NODE_METRICS, node, usage), "usage": usage.quantities()})
        return made

    async def _pod_metrics(self, pods: Sequence[ReadOnlyObject]) -> list[Object]:
        placed = [pod for pod in pods if pod["spec"].get("nodeName") and not is_terminal(pod)]
        pairs = await self._read({pod["spec"]["nodeName"] for pod in placed})
        made = []
        for pod in sorted(placed, key=_key):
            pair, metadata = pairs.get(pod["spec"]["nodeName"]), pod["metadata"]
            usages = pod_usage(*pair, metadata["namespace"], metadata["name"]) if pair else {}
            if usages:
                measured = self._measured(POD_METRICS, pod, earliest(list(usages.values())))
                order = [container["name"] for container in pod["spec"]["containers"]]
                made.append({**measured, "containers": container_metrics(usages, order)})
        return made

    def _measured(self, kind: Kind, obj: ReadOnlyObject, usage: Usage) -> Object:
        metadata = {name: obj["metadata"][name] for name in _KEPT if name in obj["metadata"]}
        return {
            "kind": kind.kind,
            "apiVersion": kind.api_version,
            "metadata": {**metadata, "creationTimestamp": format_time(self._server.clock.now())},
            "timestamp": format_time(datetime.fromtimestamp(usage.time, UTC)),
            "window": format_duration(round(usage.window_seconds, 3)),
        }

    # ---- the nodes --------------------------------------------------------------------------------------------

    async def _read(self, names: Iterable[str]) -> dict[str, NodePair]:
        """The readings of those nodes that answer, taken side by side."""
        found = [self._registry.find(NODES, None, name) for name in sorted(names)]
        nodes = [node for node in found if node is not None]
        pairs = await asyncio.gather(*(self._readings.read(node) for node in nodes))
        return {node["metadata"]["name"]: pair for node, pair in zip(nodes, pairs, strict=True) if pair is not None}

    async def _fetch(self, node: ReadOnlyObject) -> Reading | None:
        name = node["metadata"]["name"]
        try:
            host, port = node_address(node)
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                text = await self._page(Target(host=host, port=port, path="/metrics/resource"))
        except (ApiError, OSError, TimeoutError) as error:
            _log.warning("Cannot read a node's usage: node=%s error=%s", name, error or type(error).__name__)
            return None
        return parse_reading(text, self._server.clock.now().timestamp())

    async def _page(self, target: Target) -> str:
        answer = await self._node_proxy.forward(target, method="GET")
        assert answer.stream is not None
        content = b"".join([chunk async for chunk in answer.stream])
        if answer.status != 200:
            raise ApiError(answer.status, "", f"the node answered {answer.status} to {target.path}")
        return content.decode(errors="replace")


async def withdraw(server: ApiServer, user: User) -> None:
    """Remove what `announce` has made: this server does not serve metrics any more. What is a user's stays."""
    for kind, obj in announcing_objects():
        name = obj["metadata"]["name"]
        found = server.registry.find(kind, None, name)
        if found is not None and is_own(found) and (name == ROLE_NAME or is_local(found)):
            await send_own(server, user, "DELETE", kind.path(name=name))


def _key(obj: ReadOnlyObject) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
