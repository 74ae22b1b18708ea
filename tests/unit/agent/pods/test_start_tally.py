"""Starts are counted as the kubelet counts them."""

from __future__ import annotations

from agent.runtime.protocol import RuntimeFailure
from tests.fakes.agent_node import HollowNode

WEB = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent"}


async def test_pods_and_containers_that_start_are_counted_by_type(node: HollowNode) -> None:
    await node.create(initContainers=[{**WEB, "name": "helper", "restartPolicy": "Always"}], containers=[WEB])
    await node.settle(5)
    starts = node.worker_services.executor.starts
    assert (starts.pods, starts.pod_failures) == (1, 0)
    assert dict(starts.containers) == {"init_container": 1, "container": 1}
    assert not starts.container_failures


async def test_a_container_that_does_not_start_is_counted_with_its_reason(node: HollowNode) -> None:
    await node.create(containers=[{**WEB, "image": "no:1"}])
    await node.settle(1)
    starts = node.worker_services.executor.starts
    assert starts.containers["container"] >= 1
    assert starts.container_failures["container", "ErrImagePull"] >= 1


async def test_a_sandbox_that_does_not_start_is_a_failure_of_the_pod(node: HollowNode) -> None:
    node.runtime.inject_error("start_container", RuntimeFailure("no room"))
    await node.create(containers=[WEB])
    await node.settle(15)
    starts = node.worker_services.executor.starts
    assert starts.pod_failures == 1
    assert dict(starts.containers) == {"container": 1}
