"""metrics.k8s.io over the whole server, with a node that is one page."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from control.api.clock import FakeClock
from control.api.exchange import User
from control.apiserver.extensions.resource_metrics.readings import (
    FRESH_SECONDS,
    SECOND_READING_SECONDS,
    WINDOW_SECONDS_MAX,
)
from control.storage.memory import MemoryStorage
from tests.fakes.api_server import RunningApiServer, running_api_server
from tests.unit.apiserver.api_calls import ApiCalls

GROUP = "/apis/metrics.k8s.io/v1beta1"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
API_SERVICE = f"{API_SERVICES}/v1beta1.metrics.k8s.io"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:aggregated-metrics-reader"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


class PageNode:
    """A node whose containers use half a processor: its counters follow the clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked = 0
        self.status = 200

    async def page(self, request: web.Request) -> web.Response:
        self.asked += 1
        now = self.clock.now().timestamp()
        labels = '{container="web",namespace="default",pod="a"}'
        lines = [
            f"node_cpu_usage_seconds_total {self.clock.monotonic() * 1.5} {int(now * 1000)}",
            f"node_memory_working_set_bytes 1048576 {int(now * 1000)}",
            f"container_cpu_usage_seconds_total{labels} {self.clock.monotonic() * 0.5} {int(now * 1000)}",
            f"container_memory_working_set_bytes{labels} 2048 {int(now * 1000)}",
            f"container_start_time_seconds{labels} {now - self.clock.monotonic() - 100}",
        ]
        return web.Response(status=self.status, text="\n".join(lines))


class SteppingClock(FakeClock):
    """A clock on which the time passes that a second reading is waited for."""

    async def sleep(self, seconds: float) -> None:
        if seconds == SECOND_READING_SECONDS:
            await self.advance(seconds)
        else:
            await super().sleep(seconds)


class KeptStorage(MemoryStorage):
    """A store that outlives its server."""

    async def close(self) -> None:
        return None


@pytest.fixture
def clock() -> FakeClock:
    return SteppingClock()


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[RunningApiServer]:
    async with running_api_server(clock=clock, https=False, serves_metrics=True) as running:
        yield running


@pytest.fixture
async def node(server: RunningApiServer, api: ApiCalls, clock: FakeClock) -> AsyncIterator[PageNode]:
    """The node `n`, and its Pod `default/a`."""
    pair = server.keys.authority.issue_serving("n", ["127.0.0.1"], now=clock.now())
    directory = server.keys.directory
    (directory / "n.crt").write_bytes(pair.certificate_pem)
    (directory / "n.key").write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "n.crt", directory / "n.key")
    page = PageNode(clock)
    application = web.Application()
    application.router.add_get("/metrics/resource", page.page)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    metadata = {"name": "n", "labels": {"zone": "z"}}
    await api.call("POST", "/api/v1/nodes", {"metadata": metadata, "status": status}, expect=201)
    await api.patch("/api/v1/nodes/n/status", {"status": status})
    container = {"name": "web", "image": "web"}
    pod = {"metadata": {"name": "a", "labels": {"app": "a"}}, "spec": {"nodeName": "n", "containers": [container]}}
    await api.call("POST", "/api/v1/namespaces/default/pods", pod, expect=201)
    yield page
    await runner.cleanup()


async def usage_of(api: ApiCalls, path: str) -> dict[str, Any]:
    """The usages of a list of NodeMetrics, by name."""
    answer = await api.call("GET", path)
    return {item["metadata"]["name"]: item["usage"] for item in answer["items"]}


async def test_nodes_and_pods_are_measured_between_two_readings(api: ApiCalls, node: PageNode) -> None:
    nodes = await api.call("GET", f"{GROUP}/nodes")
    assert nodes == {
        "kind": "NodeMetricsList",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {},
        "items": [
            {
                "kind": "NodeMetrics",
                "apiVersion": "metrics.k8s.io/v1beta1",
                "metadata": {"name": "n", "labels": {"zone": "z"}, "creationTimestamp": "2026-01-01T00:00:01Z"},
                "timestamp": "2026-01-01T00:00:01Z",
                "window": "1s",
                "usage": {"cpu": "1500m", "memory": "1Mi"},
            }
        ],
    }
    pod = await api.call("GET", f"{GROUP}/namespaces/default/pods/a")
    assert pod["metadata"]["labels"] == {"app": "a"}
    assert pod["containers"] == [{"name": "web", "usage": {"cpu": "500m", "memory": "2Ki"}}]


async def test_who_asks_soon_after_gets_the_same_readings_and_later_one_more(
    api: ApiCalls, node: PageNode, clock: FakeClock
) -> None:
    await asyncio.gather(*(api.call("GET", f"{GROUP}/nodes") for _ in range(3)))
    assert node.asked == 2
    await clock.advance(FRESH_SECONDS + 1)
    assert (await api.call("GET", f"{GROUP}/nodes/n"))["window"] == "6s"
    assert node.asked == 3
    await clock.advance(WINDOW_SECONDS_MAX + 1)
    assert (await api.call("GET", f"{GROUP}/nodes/n"))["window"] == "1s"
    assert node.asked == 5


async def test_nothing_is_read_while_nobody_asks(api: ApiCalls, node: PageNode, clock: FakeClock) -> None:
    await clock.advance(600)
    assert node.asked == 0


async def test_a_node_that_does_not_answer_is_left_out(api: ApiCalls, node: PageNode) -> None:
    node.status = 500
    assert await usage_of(api, f"{GROUP}/nodes") == {}
    missing = await api.call("GET", f"{GROUP}/nodes/n", expect=404)
    assert missing["message"] == 'nodes.metrics.k8s.io "n" not found'
    missing = await api.call("GET", f"{GROUP}/namespaces/default/pods/a", expect=404)
    assert missing["message"] == 'pods.metrics.k8s.io "default/a" not found'
    missing = await api.call("GET", f"{GROUP}/namespaces/default/pods/b", expect=404)
    assert missing["message"] == 'pods "b" not found'


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["a"]),
        ({"labelSelector": "app=a"}, ["a"]),
        ({"labelSelector": "app=b"}, []),
        ({"fieldSelector": "metadata.name=a"}, ["a"]),
        ({"fieldSelector": "metadata.namespace=other"}, []),
    ],
)
async def test_selectors_choose_by_the_pods_metadata(
    api: ApiCalls, node: PageNode, query: dict[str, str], found: list[str]
) -> None:
    for path in (f"{GROUP}/pods", f"{GROUP}/namespaces/default/pods"):
        answer = await api.call("GET", path, query=query)
        assert [item["metadata"]["name"] for item in answer["items"]] == found


async def test_requests_that_make_no_sense_are_refused_as_elsewhere(api: ApiCalls, node: PageNode) -> None:
    refused = await api.call("GET", f"{GROUP}/pods", query={"fieldSelector": "spec.nodeName=n"}, expect=400)
    known = 'only "metadata.name", "metadata.namespace"'
    assert refused["message"] == f'"spec.nodeName" is not a known field selector: {known}'
    await api.call("DELETE", f"{GROUP}/nodes/n", expect=405)
    await api.call("GET", f"{GROUP}/nodes", query={"watch": "true"}, expect=405)
    await api.call("GET", f"{GROUP}/nodes/n/status", expect=404)


async def test_tables_sum_the_containers(api: ApiCalls, node: PageNode) -> None:
    table = await api.call("GET", f"{GROUP}/namespaces/default/pods", headers=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
    assert [row["cells"] for row in table["rows"]] == [["a", "500m", "2Ki", "1s"]]
    table = await api.call("GET", f"{GROUP}/nodes/n", headers=TABLE)
    assert [row["cells"] for row in table["rows"]] == [["n", "1500m", "1Mi", "1s"]]


async def groups(api: ApiCalls) -> list[str]:
    return [group["name"] for group in (await api.call("GET", "/apis"))["groups"]]


async def test_it_is_discovered_and_described(api: ApiCalls) -> None:
    assert (await groups(api))[-1] == "metrics.k8s.io"
    resources = (await api.call("GET", GROUP))["resources"]
    assert resources == [
        {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics", "verbs": ["get", "list"]},
        {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]},
    ]
    document = await api.call("GET", f"/openapi/v3{GROUP}")
    assert set(document["paths"]) == {
        f"{GROUP}/", f"{GROUP}/nodes", f"{GROUP}/nodes/{{name}}", f"{GROUP}/pods",
        f"{GROUP}/namespaces/{{namespace}}/pods", f"{GROUP}/namespaces/{{namespace}}/pods/{{name}}",
    }  # fmt: skip
    definitions = (await api.call("GET", "/openapi/v2"))["definitions"]
    assert "io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics" in definitions


async def test_it_is_served_while_its_api_service_is_there_and_local(api: ApiCalls, node: PageNode) -> None:
    await api.call("DELETE", API_SERVICE)
    await settle()
    assert "metrics.k8s.io" not in await groups(api)
    await api.call("GET", f"{GROUP}/nodes", expect=404)
    spec = {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100}
    announced = {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec}
    await api.call("POST", API_SERVICES, announced, expect=201)
    await settle()
    assert await usage_of(api, f"{GROUP}/nodes") == {"n": {"cpu": "1500m", "memory": "1Mi"}}
    service = {"name": "metrics-server", "namespace": "kube-system"}
    await api.patch(API_SERVICE, {"spec": {"service": service, "insecureSkipTLSVerify": True}})
    await settle()
    assert "metrics.k8s.io" not in await groups(api)


async def settle() -> None:
    """Let the server see what was written."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_its_condition_says_that_it_is_available(api: ApiCalls) -> None:
    await settle()
    conditions = (await api.call("GET", API_SERVICE))["status"]["conditions"]
    assert [(item["type"], item["status"], item["reason"]) for item in conditions] == [("Available", "True", "Local")]


async def test_readers_of_a_namespace_may_read_its_metrics(server: RunningApiServer, api: ApiCalls) -> None:
    binding = {
        "metadata": {"name": "v"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "viewer"}],
    }
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    await api.call("POST", path, binding, expect=201)
    viewer = ApiCalls(server.endpoint, User(name="viewer", groups=("system:authenticated",)))
    assert (await viewer.call("GET", f"{GROUP}/namespaces/default/pods"))["items"] == []
    await viewer.call("GET", f"{GROUP}/nodes", expect=403)


async def test_what_a_user_deleted_is_not_made_again_and_what_was_made_goes_with_the_flag(clock: FakeClock) -> None:
    storage = KeptStorage(clock=clock)
    async with running_api_server(clock=clock, https=False, storage=storage, serves_metrics=True) as server:
        await ApiCalls(server.endpoint).call("DELETE", API_SERVICE)
    async with running_api_server(clock=clock, https=False, storage=storage, serves_metrics=True) as server:
        api = ApiCalls(server.endpoint)
        assert "metrics.k8s.io" not in await groups(api)
        await api.call("DELETE", ROLE)
    async with running_api_server(clock=clock, https=False, storage=storage, serves_metrics=True) as server:
        assert "metrics.k8s.io" in await groups(ApiCalls(server.endpoint))
    async with running_api_server(clock=clock, https=False, storage=storage) as server:
        api = ApiCalls(server.endpoint)
        assert "metrics.k8s.io" not in await groups(api)
        await api.call("GET", API_SERVICE, expect=404)
        await api.call("GET", ROLE, expect=404)
