"""The node API over real TLS on loopback, with a fake engine behind it."""

from __future__ import annotations

import json
import ssl
from typing import Any

import aiohttp
import pytest

from agent.runtime.fake_runtime import ExecOutcome
from agent.runtime.protocol import RuntimeFailure
from agent.server.client_identity import is_allowed
from tests.unit.agent.server.served_node import V4, V5, ServedNode, until


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        pytest.param({"commonName": "kube-apiserver-kubelet-client"}, True, id="the API server is let in"),
        pytest.param({"commonName": "admin", "organizationName": "system:masters"}, True, id="administrators are"),
        pytest.param({"commonName": "system:node:n", "organizationName": "system:nodes"}, False, id="nodes are not"),
    ],
)
def test_only_the_api_server_and_administrators_may_ask(subject: dict[str, str], allowed: bool) -> None:
    certificate = {"subject": tuple(((name, value),) for name, value in subject.items())}
    assert is_allowed(certificate) is allowed


async def test_a_stranger_is_refused(node: ServedNode) -> None:
    async with node.session("mallory") as session, session.get("/pods") as answer:
        assert answer.status == 403
    anonymous = ssl.create_default_context(cadata=node.authority.certificate_pem.decode())
    connector = aiohttp.TCPConnector(ssl=anonymous)
    async with aiohttp.ClientSession(node.url, connector=connector) as session:
        async with session.get("/pods") as answer:
            assert answer.status == 401
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")


async def test_pods_are_listed(node: ServedNode) -> None:
    async with node.session() as session, session.get("/pods") as answer:
        body = await answer.json()
    assert body["kind"] == "PodList"
    assert [item["metadata"]["name"] for item in body["items"]] == ["web"]


async def test_exec_sends_output_then_success(node: ServedNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(output=b"hello\n")
    messages = await node.exec("command=echo&command=hello&output=1&error=1")
    assert messages[0] == (1, b""), "an empty message says that the stream stands"
    assert messages[1] == (1, b"hello\n")
    assert (messages[-1][0], json.loads(messages[-1][1])) == (3, {"metadata": {}, "status": "Success"})


async def test_exec_reports_the_exit_code_as_a_status(node: ServedNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(exit_code=7)
    channel, payload = (await node.exec("command=false&stdout=true", V4))[-1]
    status = json.loads(payload)
    assert channel == 3
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


async def test_stdin_reaches_the_command_and_its_close_ends_it(node: ServedNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(echoes_stdin=True)
    path = "/exec/default/web/web?command=cat&input=1&output=1"
    async with node.session() as session, session.ws_connect(path, protocols=(V5,)) as channel:
        assert channel.protocol == V5
        await channel.receive()
        await channel.send_bytes(b"\x00typed")
        assert (await channel.receive()).data == b"\x01typed"
        await channel.send_bytes(b"\xff\x00")
        assert (await channel.receive()).data[0] == 3


async def test_a_client_that_leaves_leaves_its_command_running(node: ServedNode) -> None:
    streams = []
    original = node.runtime.open_exec

    async def open_exec(*arguments: Any, **options: Any) -> Any:
        streams.append(await original(*arguments, **options))
        return streams[-1]

    node.runtime.open_exec = open_exec  # type: ignore[method-assign]
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    path = "/exec/default/web/web?command=sleep&output=1&tty=1&input=1"
    async with node.session() as session, session.ws_connect(path, protocols=(V5,)) as channel:
        await channel.receive()
        await channel.send_bytes(b'\x04{"Width":120,"Height":40}')
        await until(lambda: bool(streams) and streams[0].size == (120, 40))
    await until(lambda: streams[0].detached)
    assert not streams[0].closed


async def test_the_stream_ends_with_its_container(node: ServedNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    path = "/exec/default/web/web?command=sleep&output=1"
    async with node.session() as session, session.ws_connect(path, protocols=(V5,)) as channel:
        await channel.receive()
        node.runtime.exit_container(node.container_id, exit_code=137)
        status = json.loads((await channel.receive()).data[1:])
        assert status["details"]["causes"][0]["message"] == "137"


@pytest.mark.parametrize(
    ("path", "headers", "status", "text"),
    [
        pytest.param(
            "/exec/default/web/none?command=x&output=1", {"Upgrade": "websocket"}, 500, 'container not found ("none")',
            id="an unknown container",
        ),
        pytest.param(
            "/exec/default/none/web?command=x&output=1", {"Upgrade": "websocket"}, 404, 'pod "none" not found',
            id="an unknown pod",
        ),
        pytest.param(
            "/exec/default/web/web?command=x", {"Upgrade": "websocket"}, 400,
            "you must specify at least 1 of stdin, stdout, stderr", id="no stream",
        ),
        pytest.param(
            "/exec/default/web/web?command=x&output=1", {"Upgrade": "SPDY/3.1"}, 400,
            "unable to upgrade: X-Stream-Protocol-Version is required", id="SPDY without a protocol",
        ),
        pytest.param(
            "/exec/default/web/web?command=x&output=1",
            {"Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v9.channel.k8s.io, v8.channel.k8s.io"}, 403,
            "unable to upgrade: unable to negotiate protocol: client supports [v9.channel.k8s.io v8.channel.k8s.io], "
            "server accepts [v5.channel.k8s.io v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]",
            id="SPDY with an unknown protocol",
        ),
        pytest.param(
            "/exec/default/web/web?command=x&output=1",
            {"Upgrade": "websocket", "Sec-WebSocket-Protocol": "v9.channel.k8s.io"}, 403,
            "requested protocol(s) are not supported: [v9.channel.k8s.io]; "
            "supports [v5.channel.k8s.io v4.channel.k8s.io channel.k8s.io]", id="WebSocket with an unknown protocol",
        ),
        pytest.param(
            "/containerLogs/default/web/none", {}, 400, "container none is not valid for pod web",
            id="logs of an unknown container",
        ),
        pytest.param(
            "/containerLogs/default/web/web?previous=true", {}, 400,
            'previous terminated container "web" in pod "web" not found', id="logs of no previous container",
        ),
    ],
)  # fmt: skip
async def test_refusals(node: ServedNode, path: str, headers: dict[str, str], status: int, text: str) -> None:
    if headers:
        headers = {**headers, "Connection": "Upgrade"}
    async with node.session() as session, session.get(path, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (status, text)


async def test_logs_of_a_waiting_container_say_why(node: ServedNode) -> None:
    await node.runtime.remove_container(node.container_id)
    waiting = {"name": "db", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    node.pod["spec"]["containers"].append({"name": "db", "image": "db:1"})
    node.pod["status"] = {"containerStatuses": [waiting]}
    async with node.session() as session, session.get("/containerLogs/default/web/db") as answer:
        expected = 'container "db" in pod "web" is waiting to start: trying and failing to pull image'
        assert (answer.status, await answer.text()) == (400, expected)


async def test_usage_is_reported_per_container(node: ServedNode) -> None:
    async with node.session() as session:
        async with session.get("/stats/summary") as answer:
            summary = await answer.json()
        async with session.get("/stats/summary?only_cpu_and_memory=true") as answer:
            short = await answer.json()
        async with session.get("/metrics/resource") as answer:
            resources = await answer.text()
        async with session.get("/metrics/cadvisor") as answer:
            cadvisor = await answer.text()
    assert [item["name"] for item in summary["pods"][0]["containers"]] == ["web"]
    assert summary["node"]["cpu"]["usageCoreNanoSeconds"] == 5 * 10**9
    assert set(summary["node"]) - set(short["node"]) == {"fs", "network", "rlimit", "runtime"}
    labels = '{container="web",namespace="default",pod="web"}'
    assert f"container_cpu_usage_seconds_total{labels} 0 " in resources
    assert "node_cpu_usage_seconds_total 5 " in resources
    assert resources.endswith("resource_scrape_error 0\n")
    assert 'container_memory_rss{container="web",' in cadvisor


async def test_a_container_the_engine_cannot_tell_of_is_left_out_and_counted(node: ServedNode) -> None:
    node.runtime.inject_error("stats", RuntimeFailure("gone"))
    async with node.session() as session, session.get("/metrics/resource") as answer:
        resources = await answer.text()
    assert "container_cpu" not in resources
    assert resources.endswith("resource_scrape_error 1\n")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/healthz/ping", "ok"),
        ("/healthz/syncloop", "ok"),
        ("/configz", '{"kubeletconfig":{"kind":"KubeletConfiguration","maxPods":110}}'),
        ("/metrics", 'kubelet_running_containers{container_state="running"} 1'),
        ("/runningpods/", '"metadata":{"name":"web","namespace":"default","uid":"uid-of-web"}'),
        ("/pods/", '"kind":"PodList"'),
    ],
)
async def test_pages_about_the_node(node: ServedNode, path: str, expected: str) -> None:
    async with node.session() as session, session.get(path) as answer:
        assert answer.status == 200
        assert expected in await answer.text()
