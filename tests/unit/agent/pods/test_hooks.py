"""Lifecycle hooks as people see them: what their servers are asked, and the words of those that fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.pods.container_cache import ContainerCache
from agent.pods.hooks import HookError, HookRunner
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import describe_pod
from agent.runtime.fake_runtime import ExecOutcome, FakeRuntime
from agent.runtime.protocol import RuntimeFailure
from control.api.clock import FakeClock
from tests.fakes.agent_node import OWNER, make_pod

POD = make_pod()
WHERE = f'for Container "web" in Pod "{describe_pod(POD)}" failed - error: '


async def run_post_start(action: dict[str, Any], outcome: ExecOutcome | None = None) -> None:
    runtime = FakeRuntime(FakeClock())
    runtime.add_image("web:1")
    container_id = await runtime.create_container("c", {"Image": "web:1", "HostConfig": {}})
    await runtime.start_container(container_id)
    if outcome is None:
        runtime.inject_error("run_exec", RuntimeFailure("no such container"))
    else:
        runtime.exec_outcome = lambda record, command: outcome
    cache = ContainerCache(runtime, OWNER, FakeClock())
    hooks = HookRunner(runtime, cache, FakeClock(), lambda *args, **details: None, lambda: "127.0.0.1")
    container = {"name": "web", "lifecycle": {"postStart": action}}
    await hooks.post_start(PodRecord(uid="u", pod=POD, wake=lambda: None), container, container_id)


EXEC = {"exec": {"command": ["sh", "-c", "exit 5"]}}


@pytest.mark.parametrize(
    ("action", "outcome", "message"),
    [
        pytest.param(
            EXEC,
            ExecOutcome(exit_code=5, output=b"one\ntwo"),
            f"Exec lifecycle hook ([sh -c exit 5]) {WHERE}command 'sh -c exit 5' exited with 5: one\ntwo, "
            'message: "one\\ntwo"',
            id="a command that fails",
        ),
        pytest.param(
            EXEC,
            None,
            f'Exec lifecycle hook ([sh -c exit 5]) {WHERE}no such container, message: ""',
            id="a command that cannot be run",
        ),
        pytest.param(
            {"httpGet": {"path": "/x", "port": "web", "host": "127.0.0.1"}},
            ExecOutcome(),
            f"HTTP lifecycle hook (/x) {WHERE}couldn't find port: web in web",
            id="a port that nobody knows",
        ),
        pytest.param(
            {"tcpSocket": {"port": 80}},
            ExecOutcome(),
            "Cannot run handler: invalid handler: tcpSocket",
            id="a handler that is none",
        ),
    ],
)
async def test_a_hook_that_fails_says_so_in_the_kubelets_words(
    action: dict[str, Any], outcome: ExecOutcome | None, message: str
) -> None:
    with pytest.raises(HookError) as caught:
        await run_post_start(action, outcome)
    assert str(caught.value) == message


async def test_a_server_hears_that_a_hook_calls_and_the_hook_does_not_mind_its_answer() -> None:
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    headers = [{"name": "X-Hook", "value": "yes"}, {"name": "Accept", "value": ""}]
    action = {"path": "hook?a=b", "port": port, "host": "127.0.0.1", "httpHeaders": headers}
    await run_post_start({"httpGet": action}, ExecOutcome())
    server.close()
    (head,) = heads
    assert head.splitlines() == [
        "GET /hook?a=b HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "X-Hook: yes",
        "User-Agent: kube-lifecycle/1.36",
        "Connection: close",
        "",
    ]
