"""A Pod that is evicted: it fails, ends quickly, says why, and leaves nothing behind."""

from __future__ import annotations

from agent.pods.rejection import Rejection
from agent.runtime.fake_runtime import Program
from control.api.meta import find_condition
from tests.fakes.agent_node import HollowNode

MESSAGE = "The node was low on resource: memory. "


def evicted(grace_seconds: float = 1, *, is_disruption: bool = True) -> Rejection:
    return Rejection(
        reason="Evicted",
        message=MESSAGE,
        grace_seconds=grace_seconds,
        disruption=MESSAGE if is_disruption else "",
        removes_containers=True,
    )


async def test_an_evicted_pod_fails_and_its_containers_go(node: HollowNode) -> None:
    pod = await node.create()
    assert [item["metadata"]["name"] for item in node.workers.evictable_pods()] == ["web"]
    node.workers.fail(pod["metadata"]["uid"], evicted())
    assert list(node.workers.evictable_pods()) == []
    await node.settle(1.5)
    status = await node.status()
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", MESSAGE)
    disruption = find_condition(status["conditions"], "DisruptionTarget")
    assert disruption is not None
    assert (disruption["status"], disruption["reason"]) == ("True", "TerminationByKubelet")
    assert disruption["message"] == MESSAGE
    assert find_condition(status["conditions"], "Ready")["status"] == "False"
    assert "terminated" in status["containerStatuses"][0]["state"]
    assert await node.containers() == []
    assert node.volumes.mounted == set()
    assert node.workers.is_released(pod["metadata"]["uid"])


async def test_it_has_failed_when_its_last_process_has_ended_and_not_before(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    pod = await node.create(terminationGracePeriodSeconds=30)
    node.workers.fail(pod["metadata"]["uid"], evicted(grace_seconds=10))
    await node.settle(9)
    status = await node.status()
    assert (status["phase"], status.get("reason")) == ("Running", None)
    assert find_condition(status["conditions"], "DisruptionTarget") is None
    assert not node.workers.is_released(pod["metadata"]["uid"])
    await node.settle(1.5)
    assert (await node.status())["reason"] == "Evicted"


async def test_a_short_grace_period_of_the_pod_s_own_stands(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    pod = await node.create(terminationGracePeriodSeconds=3)
    node.workers.fail(pod["metadata"]["uid"], evicted(grace_seconds=60))
    await node.settle(4)
    assert (await node.status())["reason"] == "Evicted"


async def test_it_stays_failed_after_the_agent_s_restart_and_can_be_deleted(node: HollowNode) -> None:
    pod = await node.create()
    node.workers.fail(pod["metadata"]["uid"], evicted())
    await node.settle(1.5)
    await node.crash()
    await node.start()
    await node.settle(2)
    assert ((await node.status())["reason"], await node.containers()) == ("Evicted", [])
    await node.delete()
    assert await node.find() is None


async def test_a_pod_that_never_ran_fails_as_well(node: HollowNode) -> None:
    node.volumes.failure = "not yet"
    pod = await node.create()
    node.workers.fail(pod["metadata"]["uid"], evicted())
    await node.settle(1.5)
    status = await node.status()
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    assert find_condition(status["conditions"], "DisruptionTarget") is not None


async def test_containers_of_pods_that_have_ended_are_removed_on_demand(node: HollowNode) -> None:
    node.runtime.add_image("job:1", program=Program(runs_seconds=1))
    job = [{"name": "job", "image": "job:1", "imagePullPolicy": "IfNotPresent"}]
    await node.create("done", containers=job, restartPolicy="Never")
    await node.create("web")
    await node.settle(2)
    before = (await node.status("done"))["containerStatuses"]
    await node.workers.remove_dead_containers()
    await node.settle(1)
    assert {record.name.split("_")[2] for record in await node.containers()} == {"web"}
    status = await node.status("done")
    assert (status["phase"], status["containerStatuses"]) == ("Succeeded", before)


async def test_a_pod_over_its_own_limit_is_no_disruption(node: HollowNode) -> None:
    pod = await node.create()
    node.workers.fail(pod["metadata"]["uid"], evicted(is_disruption=False))
    await node.settle(1.5)
    status = await node.status()
    assert status["reason"] == "Evicted"
    assert find_condition(status["conditions"], "DisruptionTarget") is None
