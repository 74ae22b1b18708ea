"""The node API over real TLS on loopback, with a fake engine behind it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.pods.probe_tally import ProbeIdentity
from agent.runtime.fake_runtime import ExecOutcome
from agent.runtime.protocol import RuntimeFailure
from tests.unit.agent.server.served_node import V4, V5, ServedNode, until


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
            "/exec/default/none/web?command=x&output=1", {"Upgrade": "websocket"}, 404, "pod does not exist",
            id="an unknown pod",
        ),
        pytest.param(
            "/exec/default/web/other-uid/web?command=x&output=1", {"Upgrade": "websocket"}, 500,
            'container not found ("web")', id="a former pod of that name",
        ),
        pytest.param(
            "/portForward/default/web/other-uid?port=80", {"Upgrade": "websocket"}, 404, "pod not found",
            id="ports of a former pod of that name",
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
            "/containerLogs/default/web/none", {}, 404, 'container "none" not found in pod "web"',
            id="logs of an unknown container",
        ),
        pytest.param(
            "/containerLogs/default/none/web", {}, 404, 'pod "none" does not exist', id="logs of an unknown pod",
        ),
        pytest.param(
            "/containerLogs/default/web/web?tailLines=some", {}, 400, '{"message": "Unable to decode query."}',
            id="a number that is none",
        ),
        pytest.param(
            "/containerLogs/default/web/web?tailLines=-1", {}, 422, '{"message": "Invalid request."}',
            id="fewer than no lines",
        ),
        pytest.param(
            "/containerLogs/default/web/web?tailLines=1&stream=Stdout", {}, 422, '{"message": "Invalid request."}',
            id="the last lines of one stream",
        ),
        pytest.param(
            "/containerLogs/default/web/web?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", {}, 422,
            '{"message": "Invalid request."}', id="two beginnings",
        ),
        pytest.param(
            "/containerLogs/default/web/web?previous", {}, 400,
            'previous terminated container "web" in pod "web" not found', id="a flag without a value is set",
        ),
        pytest.param("/debug/pprof/heap", {}, 405, "profiling endpoint is disabled.", id="profiles"),
        pytest.param("/debug/flags/v", {}, 405, "flags endpoint is disabled.", id="flags"),
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


async def test_a_command_is_run_to_its_end(node: ServedNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(output=" ".join(command).encode())
    async with node.session() as session:
        for path in ("/run/default/web/web", "/run/default/web/uid-of-web/web"):
            async with session.post(f"{path}?cmd=echo%20a%20b") as answer:
                assert (answer.status, await answer.read()) == (200, b"echo a b")
        node.runtime.exec_outcome = lambda record, command: ExecOutcome(exit_code=3)
        async with session.post("/run/default/web/web?cmd=false") as answer:
            assert (answer.status, await answer.text()) == (500, "command 'false' exited with 3: ")


@pytest.mark.parametrize(
    ("place", "status", "text"),
    [
        ("default/none/web", 404, "pod does not exist"),
        ("default/web/none", 404, "container none does not exist"),
        (
            "default/web/web", 500, "checkpointing of default/web/web failed "
            "(rpc error: code = Unimplemented desc = method CheckpointContainer not implemented)",
        ),
    ],
)  # fmt: skip
async def test_no_container_can_be_checkpointed(node: ServedNode, place: str, status: int, text: str) -> None:
    async with node.session() as session, session.post(f"/checkpoint/{place}") as answer:
        assert (answer.status, await answer.text()) == (status, text)


async def test_probes_are_counted_by_result(node: ServedNode) -> None:
    probe = ProbeIdentity(namespace="default", pod="web", pod_uid="u", container="web", kind="Readiness")
    for passed, seconds in ((True, 0.007), (True, 20.0), (False, 1.0)):
        node.probes.add(probe, passed=passed, seconds=seconds)
    async with node.session() as session, session.get("/metrics/probes") as answer:
        lines = (await answer.text()).splitlines()
    labels = 'container="web",namespace="default",pod="web"'
    assert f'prober_probe_total{{{labels},pod_uid="u",probe_type="Readiness",result="successful"}} 2' in lines
    assert f'prober_probe_total{{{labels},pod_uid="u",probe_type="Readiness",result="failed"}} 1' in lines
    buckets = {
        line.partition('le="')[2].partition('"')[0]: line.rpartition(" ")[2] for line in lines if "_bucket" in line
    }
    assert (buckets["0.005"], buckets["0.01"], buckets["10"], buckets["+Inf"]) == ("0", "1", "1", "2")
    assert f'prober_probe_duration_seconds_sum{{{labels},probe_type="Readiness"}} 20.007' in lines


@pytest.mark.parametrize(
    ("status", "query", "expected"),
    [
        ({"state": {"terminated": {"containerID": "docker://1"}}}, "", "docker://1"),
        ({"state": {"waiting": {}}, "lastState": {"terminated": {"containerID": "docker://2"}}}, "", "docker://2"),
        ({"state": {}, "lastState": {"terminated": {"containerID": "docker://3"}}}, "?previous=1", "docker://3"),
    ],
)
async def test_logs_that_went_with_their_container(node: ServedNode, status: Any, query: str, expected: str) -> None:
    node.pod["spec"]["containers"] = [{"name": "db", "image": "db:1"}]
    node.pod["status"] = {"phase": "Failed", "containerStatuses": [{"name": "db", **status}]}
    async with node.session() as session, session.get(f"/containerLogs/default/web/db{query}") as answer:
        assert (answer.status, await answer.text()) == (400, f"unable to retrieve container logs for {expected}")


async def test_a_refused_pod_has_no_logs(node: ServedNode) -> None:
    node.pod["spec"]["containers"] = [{"name": "db", "image": "db:1"}]
    node.pod["status"] = {"phase": "Failed", "reason": "OutOfcpu"}
    async with node.session() as session, session.get("/containerLogs/default/web/db") as answer:
        assert (answer.status, await answer.text()) == (400, 'container "db" in pod "web" is not available')


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
    assert f"container_swap_limit_bytes{labels} 64 " in resources
    assert "node_swap_usage_bytes 0 " in resources
    assert 'container_memory_rss{container="web",id="/kubepods/poduid-of-web/c",' in cadvisor
    assert 'container_file_descriptors{container="web",' in cadvisor
    assert 'container_fs_usage_bytes{container="web",device="",' in cadvisor
    assert summary["pods"][0]["process_stats"] == {"process_count": 2}


async def test_the_summary_tells_what_pods_have_on_disks(node: ServedNode) -> None:
    async with node.session() as session:
        async with session.get("/stats/summary") as answer:
            (pod,) = (await answer.json())["pods"]
        async with session.get("/stats/summary?only_cpu_and_memory=true") as answer:
            (short,) = (await answer.json())["pods"]
    disk = {"capacityBytes": 1 << 40, "availableBytes": 1 << 39}
    (container,), (claimed, token, volume) = pod["containers"], pod["volume"]
    assert {**container["rootfs"], "time": ""} == {**disk, "time": "", "usedBytes": 1000, "inodesUsed": 5}
    assert {**token, "time": ""} == {**disk, "time": "", "name": "token", "usedBytes": 8, "inodesUsed": 3}
    assert {**volume, "time": ""} == {**disk, "time": "", "name": "data", "usedBytes": 4, "inodesUsed": 1}
    assert {**pod["ephemeral-storage"], "time": ""} == {**disk, "time": "", "usedBytes": 1034, "inodesUsed": 7}
    assert {**claimed, "time": ""} == {
        "time": "",
        "name": "v",
        "pvcRef": {"name": "shop-data", "namespace": "default"},
        "capacityBytes": 100,
        "availableBytes": 70,
        "usedBytes": 30,
        "inodes": 10,
        "inodesFree": 4,
        "inodesUsed": 6,
    }
    assert not {"volume", "ephemeral-storage"} & set(short)
    assert "rootfs" not in short["containers"][0]


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
        ("/metrics", "kubelet_running_pods 1"),
        ("/metrics", 'kubelet_desired_pods{static=""} 1'),
        ("/metrics", 'kubelet_started_containers_total{container_type="container"} 2'),
        ("/metrics", "process_resident_memory_bytes "),
        ("/metrics", 'kubelet_volume_stats_used_bytes{namespace="default",persistentvolumeclaim="shop-data"} 30'),
        ("/runningpods/", '"metadata":{"name":"web","namespace":"default","uid":"uid-of-web"}'),
        ("/pods/", '"kind":"PodList"'),
    ],
)
async def test_pages_about_the_node(node: ServedNode, path: str, expected: str) -> None:
    async with node.session() as session, session.get(path) as answer:
        assert answer.status == 200
        assert expected in await answer.text()
