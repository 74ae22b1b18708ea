"""Hooks that hang, images that do not come and containers that somebody removes: found by tests/pod_fuzz."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.pods.gc import GarbageCollector
from agent.pods.pod_files import PodFiles
from agent.pods.probe_attempt import ProbeResult
from agent.pods.rejection import Rejection
from agent.runtime.fake_container import ExecOutcome, Program
from control.api.builtin_kinds import PODS
from control.api.objects import ReadOnlyObject
from tests.fakes.agent_node import FakeNetworkFiles, FakeProbes, HollowNode

WEB = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent"}
HANGING = {**WEB, "lifecycle": {"postStart": {"exec": {"command": ["sleep", "infinity"]}}}}


async def test_a_hook_that_hangs_does_not_outlive_the_pods_deadline(node: HollowNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    await node.create(containers=[HANGING], activeDeadlineSeconds=5, terminationGracePeriodSeconds=1)
    await node.settle(4)
    assert len(await node.running("web")) == 1
    await node.settle(3)
    status = await node.status()
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert await node.running("web") == []


async def test_a_deadline_that_is_brought_forward_counts_while_a_hook_hangs(node: HollowNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    await node.create(containers=[HANGING], terminationGracePeriodSeconds=1)
    await node.client.patch(PODS, "web", {"spec": {"activeDeadlineSeconds": 2}}, namespace="default")
    await node.settle(5)
    assert (await node.status())["phase"] == "Failed"


async def test_an_eviction_does_not_wait_for_a_hook_that_hangs(node: HollowNode) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    pod = await node.create(containers=[HANGING], terminationGracePeriodSeconds=1)
    node.workers.fail(pod["metadata"]["uid"], Rejection(reason="Evicted", message="low on memory"))
    await node.settle(3)
    assert (await node.status())["reason"] == "Evicted"


async def test_a_container_whose_new_image_is_missing_has_no_last_state_but_its_own_end(node: HollowNode) -> None:
    await node.create()
    await node.client.patch(PODS, "web", {"spec": {"containers": [{**WEB, "image": "no:1"}]}}, namespace="default")
    await node.settle(1)
    waiting = (await node.status())["containerStatuses"][0]
    assert waiting["state"]["waiting"]["reason"] == "ErrImagePull"
    ended = waiting["lastState"]["terminated"]
    await node.crash()
    await node.start()
    again = (await node.status())["containerStatuses"][0]
    states = [again["state"].get("terminated"), again["lastState"].get("terminated")]
    assert states.count(ended) == 1


async def test_what_a_container_waits_for_stays_told_while_its_image_is_pulled_again(node: HollowNode) -> None:
    await node.create(containers=[{**WEB, "image": "no:1"}])
    await node.settle(3)
    writes = len(node.api.requests)
    assert await _reason(node) == "ImagePullBackOff"
    node.runtime.add_registry_image("no:1")
    node.runtime.pull_gates["no:1"] = gate = asyncio.get_running_loop().create_future()
    await node.settle(10)
    assert await _reason(node) == "ImagePullBackOff"
    assert "PATCH" not in [request.method for request in node.api.requests[writes:]]
    gate.set_result(None)
    await node.settle(1)
    assert (await node.status())["phase"] == "Running"


async def _reason(node: HollowNode) -> str:
    state = (await node.status())["containerStatuses"][0]["state"]
    return str(state["waiting"]["reason"])


async def test_restart_counts_do_not_fall_when_somebody_removes_the_newest_container(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program()
    await node.create()
    for attempt in range(2):
        [record] = await node.running("web")
        assert record.name.endswith(f"_{attempt}")
        if attempt == 0:
            node.runtime.exit_container(record.id, exit_code=1)
        else:
            await node.runtime.remove_container(record.id)
        await node.settle()
    await node.settle(12)
    status = (await node.status())["containerStatuses"][0]
    assert status["restartCount"] == 2
    assert [record.name[-2:] for record in await node.running("web")] == ["_2"]


@pytest.mark.parametrize(
    ("exit_code", "own", "phase"),
    [
        pytest.param(0, {"restartPolicy": "Never"}, "Succeeded", id="success that the container does not repeat"),
        pytest.param(3, {"restartPolicy": "Never"}, "Failed", id="failure that the container does not repeat"),
        pytest.param(0, {"restartPolicy": "OnFailure"}, "Succeeded", id="success of a container that repeats failures"),
        pytest.param(3, {"restartPolicy": "OnFailure"}, "Running", id="failure that the container repeats"),
    ],
)
async def test_a_containers_own_restart_policy_decides_how_its_pod_ends(
    node: HollowNode, exit_code: int, own: Mapping[str, str], phase: str
) -> None:
    node.runtime.programs["web:1"] = Program(runs_seconds=1, exit_code=exit_code)
    await node.create(containers=[{**WEB, **own}], restartPolicy="Always")
    await node.settle(5)
    assert (await node.status())["phase"] == phase


async def test_nobody_probes_a_container_that_somebody_removed(node: HollowNode) -> None:
    node.probes = probes = _RecordingProbes()
    await node.crash()
    await node.start()
    await node.create(containers=[{**WEB, "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}])
    await node.settle(2)
    [removed] = await node.running("web")
    await node.runtime.remove_container(removed.id)
    await node.settle(2)
    probes.ids.clear()
    await node.settle(5)
    [running] = await node.running("web")
    assert set(probes.ids) == {running.id}


class _RecordingProbes(FakeProbes):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    async def probe(self, container: ReadOnlyObject, container_id: str, *arguments: Any) -> ProbeResult:
        self.ids.append(container_id)
        return await super().probe(container, container_id, *arguments)


async def test_a_pod_whose_pause_died_first_gives_all_back_when_it_completes(node: HollowNode) -> None:
    pod = await node.create(restartPolicy="Never", terminationGracePeriodSeconds=1)
    (pause,) = await node.running("POD")
    node.runtime.exit_container(pause.id, exit_code=137)
    await node.settle(3)
    status = await node.status()
    assert status["phase"] == "Failed"
    assert node.network.ports == {}
    assert not node.cgroup_tree.pods()
    assert not node.volumes.mounted
    assert node.workers.is_released(pod["metadata"]["uid"])


async def test_the_cgroup_of_an_ended_pod_whose_pause_was_removed_is_garbage(node: HollowNode, tmp_path: Path) -> None:
    await node.create(restartPolicy="Never", terminationGracePeriodSeconds=1)
    await node.create("other")
    for container in await node.containers():
        if "_POD_web_" in container.name:
            await node.runtime.remove_container(container.id)
    await node.settle(3)
    assert (await node.status())["phase"] == "Failed"
    collector = GarbageCollector(
        cache=node.cache,
        volumes=node.volumes,
        files=PodFiles(tmp_path / "swept", FakeNetworkFiles()),
        network=node.network,
        cgroups=node.cgroups,
        workers=node.workers,
        sweep_log_links=lambda: None,
        clock=node.clock,
    )
    await collector.step()
    other = await node.find("other")
    assert other is not None
    assert [path.rpartition("/pod")[2] for path in node.cgroup_tree.pods()] == [other["metadata"]["uid"]]


@pytest.mark.parametrize("agent_sees_it", [True, False])
@pytest.mark.parametrize(("policy", "phase", "attempts"), [("Never", "Failed", []), ("OnFailure", "Running", ["_1"])])
async def test_what_must_not_run_twice_does_not_because_its_container_was_removed(
    node: HollowNode, policy: str, phase: str, attempts: list[str], agent_sees_it: bool
) -> None:
    await node.create(restartPolicy=policy, terminationGracePeriodSeconds=1)
    (web,) = await node.running("web")
    if not agent_sees_it:
        await node.crash()
    await node.runtime.remove_container(web.id)
    if not agent_sees_it:
        await node.start()
    await node.settle(12)
    assert (await node.status())["phase"] == phase
    assert [record.name[-2:] for record in await node.running("web")] == attempts
