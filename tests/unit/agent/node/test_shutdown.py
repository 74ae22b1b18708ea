"""Graceful node shutdown: who ends when, and what is said of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.node.shutdown import MESSAGE, SLACK_SECONDS, NodeShutdown, ShutdownPeriods, plan_shutdown
from agent.node.shutdown_request import take_request
from agent.runtime.fake_runtime import Program
from control.api.objects import Object
from tests.fakes.agent_node import HollowNode, make_pod

CRITICAL = 2_000_000_000
PERIODS = ShutdownPeriods(total_seconds=30, critical_seconds=10)


def pod_of(name: str, priority: int | None = None, grace: int = 30) -> Object:
    return make_pod(name, terminationGracePeriodSeconds=grace, **({} if priority is None else {"priority": priority}))


@pytest.mark.parametrize(
    ("pods", "periods", "expected"),
    [
        pytest.param([], PERIODS, [], id="nothing runs"),
        pytest.param(
            [pod_of("c", CRITICAL), pod_of("a"), pod_of("b", CRITICAL - 1), pod_of("d", CRITICAL + 1000)],
            PERIODS, [(20, ["a", "b"]), (10, ["c", "d"])], id="what is not critical ends first",
        ),
        pytest.param([pod_of("c", CRITICAL)], PERIODS, [(10, ["c"])], id="a group without Pods takes no time"),
        pytest.param(
            [pod_of("a"), pod_of("c", CRITICAL)], ShutdownPeriods(total_seconds=5, critical_seconds=10),
            [(0, ["a"]), (5, ["c"])], id="the part is not longer than the whole",
        ),
    ],
)  # fmt: skip
def test_the_order(pods: list[Object], periods: ShutdownPeriods, expected: list[tuple[float, list[str]]]) -> None:
    groups = plan_shutdown(pods, periods)
    assert [(group.seconds, [pod["metadata"]["name"] for pod in group.pods]) for group in groups] == expected


@pytest.mark.parametrize(("grace", "expected"), [(5, 5), (60, 20)], ids=["its own", "the group's"])
def test_a_pod_has_the_shorter_of_two_grace_periods(grace: int, expected: float) -> None:
    pod = pod_of("a", grace=grace)
    [group] = plan_shutdown([pod], PERIODS)
    assert group.rejection_of(pod).grace_seconds == expected


async def test_pods_end_in_order_and_say_why(tmp_path: Path) -> None:
    node = HollowNode(tmp_path)
    node.runtime.add_image("stubborn:1")
    node.runtime.programs["stubborn:1"] = Program(ignores_sigterm=True)
    await node.start()
    stubborn = [{"name": "web", "image": "stubborn:1", "imagePullPolicy": "IfNotPresent"}]
    await node.create("plain", containers=stubborn)
    await node.create("critical", priority=CRITICAL)
    announced: list[str] = []
    shutdown = NodeShutdown(
        pods=node.workers.evictable_pods,
        fail=node.workers.fail,
        is_released=node.workers.is_released,
        announce=lambda: announced.append(shutdown.problem),
        clock=node.clock,
    )
    assert shutdown.problem == ""
    assert shutdown.judge(make_pod()) is None
    running = asyncio.ensure_future(shutdown.run(PERIODS))
    await node.settle(19)
    assert announced == ["node is shutting down"]
    assert shutdown.judge(make_pod()) is not None
    assert (await node.status("critical"))["phase"] == "Running"
    await node.settle(5)
    for name in ("plain", "critical"):
        status = await node.status(name)
        assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Terminated", MESSAGE)
        [disrupted] = [item for item in status["conditions"] if item["type"] == "DisruptionTarget"]
        assert (disrupted["reason"], disrupted["message"]) == ("TerminationByKubelet", MESSAGE)
    assert len(await running) == 2
    assert await shutdown.run(PERIODS) == []
    await node.crash()


async def test_a_pod_that_does_not_end_holds_nothing_up(tmp_path: Path) -> None:
    node = HollowNode(tmp_path)
    shutdown = NodeShutdown(
        pods=lambda: [pod_of("a")],
        fail=lambda uid, rejection: None,
        is_released=lambda uid: False,
        announce=lambda: None,
        clock=node.clock,
    )
    running = asyncio.ensure_future(shutdown.run(ShutdownPeriods(total_seconds=3, critical_seconds=1)))
    await asyncio.sleep(0)
    await node.clock.advance(2 + SLACK_SECONDS - 0.5)
    assert not running.done()
    await node.clock.advance(1)
    await asyncio.sleep(0)
    assert running.done()
    assert running.result() == ["uid-of-a"]


def test_a_request_is_taken_once(tmp_path: Path) -> None:
    request = {"gracePeriodSeconds": 60, "criticalGracePeriodSeconds": 20}
    (tmp_path / "shutdown.json").write_text(json.dumps(request))
    assert take_request(tmp_path) == ShutdownPeriods(total_seconds=60, critical_seconds=20)
    assert take_request(tmp_path) == ShutdownPeriods()
    (tmp_path / "shutdown.json").write_text("[]")
    assert take_request(tmp_path) == ShutdownPeriods()
