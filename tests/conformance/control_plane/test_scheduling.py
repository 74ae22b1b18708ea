"""Requirements of sig-scheduling and on PodDisruptionBudgets, on played nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import Batch, Object, make_object, message_of
from tests.conformance.control_plane.played_nodes import PlayedNodes
from tests.conformance.http_api import MERGE_PATCH, STRATEGIC_MERGE_PATCH, HttpApi

RESOURCE = "example.com/fake"
PRIORITIES = {"low": 1, "medium": 100, "high": 1000}
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


@pytest.fixture(scope="module")
def priorities(api: HttpApi, batch: Batch) -> Iterator[dict[str, str]]:
    """Names of PriorityClasses of the module's own by how urgent they are."""
    names = {key: f"{batch.namespace}-{key}" for key in PRIORITIES}
    for key, value in PRIORITIES.items():
        api.create(CLASSES, make_class(names[key], value, batch.namespace))
    yield names
    api.delete(CLASSES, labelSelector=f"module={batch.namespace}")


def make_class(name: str, value: int, module: str) -> Object:
    """A PriorityClass."""
    return make_object("PriorityClass", name, labels={"module": module}, value=value) | {
        "apiVersion": "scheduling.k8s.io/v1"
    }


def make_pod(name: str, *, amount: str = "", node: str = "", **spec: Any) -> Object:
    """A Pod that asks for so much of a resource, on a node if one is named."""
    resources = {"requests": {RESOURCE: amount}, "limits": {RESOURCE: amount}} if amount else {}
    if node:
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    container = {"name": "pause", "image": "pause", "resources": resources, **spec.pop("container", {})}
    return make_object("Pod", name, labels={"name": name}, spec={"containers": [container], **spec})


def offer(api: HttpApi, nodes: PlayedNodes, amount: str | None, resource: str = RESOURCE) -> None:
    """Let every node have so much of a resource; None takes it away."""
    for name in nodes.names:
        status = {key: {resource: amount} for key in ("capacity", "allocatable")}
        api.patch(f"/api/v1/nodes/{name}/status", {"status": status}, MERGE_PATCH)


def wait_running(batch: Batch, *names: str) -> None:
    """Wait until these Pods run."""
    batch.wait(lambda pod: pod["status"].get("phase") == "Running", *names, what="run")


def delete_pods(batch: Batch, *names: str) -> None:
    """Remove Pods at once."""
    for name in names:
        batch.api.request("DELETE", batch.path(f"pods/{name}"), {"gracePeriodSeconds": 0})


def is_unschedulable(pod: Object) -> bool:
    """True when the scheduler found no node for the Pod."""
    conditions = pod["status"].get("conditions", ())
    return any(item["type"] == "PodScheduled" and item.get("reason") == "Unschedulable" for item in conditions)


# --- preemption -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("[sig-scheduling] SchedulerPreemption [Serial] validates basic preemption works")
def test_basic_preemption(batch: Batch, nodes: PlayedNodes, priorities: dict[str, str]) -> None:
    offer(batch.api, nodes, "5")
    names = []
    for node in nodes.names:
        for _ in range(2):
            names.append(f"basic-{len(names)}")
            priority = priorities["medium" if len(names) > 1 else "low"]
            pod = make_pod(names[-1], amount="2", node=node, priorityClassName=priority)
            batch.api.create(batch.path("pods"), pod)
    wait_running(batch, *names)
    batch.api.create(batch.path("pods"), make_pod("preemptor", amount="2", priorityClassName=priorities["high"]))
    wait_running(batch, "preemptor")
    pods = batch.pods()
    victim = pods.get(names[0])
    assert victim is None or "deletionTimestamp" in victim["metadata"]
    assert not [name for name in names[1:] if "deletionTimestamp" in pods[name]["metadata"]]
    assert pods["preemptor"]["spec"]["nodeName"] == nodes.names[0]
    delete_pods(batch, "preemptor", *names)


@pytest.mark.requirement(
    "[sig-scheduling] SchedulerPreemption [Serial] validates pod disruption condition is added to the preempted pod"
)
def test_a_preempted_pod_tells_so(batch: Batch, nodes: PlayedNodes, priorities: dict[str, str]) -> None:
    offer(batch.api, nodes, "1")
    victim = make_pod("victim", amount="1", node=nodes.names[0], priorityClassName=priorities["low"])
    victim["metadata"]["finalizers"] = ["example.com/test-finalizer"]
    batch.api.create(batch.path("pods"), victim)
    wait_running(batch, "victim")
    preemptor = make_pod("preemptor", amount="1", node=nodes.names[0], priorityClassName=priorities["high"])
    batch.api.create(batch.path("pods"), preemptor)
    batch.wait(lambda pod: "deletionTimestamp" in pod["metadata"], "victim", what="is told to go")
    (condition,) = (item for item in batch.pod("victim")["status"]["conditions"] if item["type"] == "DisruptionTarget")
    assert (condition["status"], condition["reason"]) == ("True", "PreemptionByScheduler")
    batch.api.patch(batch.path("pods/victim"), {"metadata": {"finalizers": None}}, MERGE_PATCH)
    wait_running(batch, "preemptor")
    delete_pods(batch, "preemptor")


@pytest.mark.requirement(
    "[sig-scheduling] SchedulerPreemption [Serial] PreemptionExecutionPath runs ReplicaSets to verify preemption "
    "running path"
)
def test_replica_sets_are_preempted(batch: Batch, nodes: PlayedNodes, api: HttpApi) -> None:
    """The most urgent Pod displaces the two least urgent ones, which are made again and wait."""
    offer(api, nodes, "1000")
    path = f"/apis/apps/v1/namespaces/{batch.namespace}/replicasets"
    with api.watch(batch.path("pods"), "path") as events:
        for index, amount in enumerate(("200", "300", "450", "500"), start=1):
            priority = f"{batch.namespace}-p{index}"
            api.create(CLASSES, make_class(priority, index, batch.namespace))
            labels = {"path": f"rs{index}"}
            template = make_pod("", amount=amount, node=nodes.names[0], priorityClassName=priority)
            template = {"metadata": {"labels": labels}, "spec": template["spec"]}
            spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
            api.create(path, make_object("ReplicaSet", f"rs{index}", spec=spec) | {"apiVersion": "apps/v1"})
            wait_for(
                lambda index=index: api.get(f"{path}/rs{index}")["status"].get("readyReplicas") == 1, f"rs{index} runs"
            )
        seen: dict[str, set[str]] = {f"rs{index}": set() for index in range(1, 5)}
        while not (len(seen["rs1"]) == 2 and len(seen["rs2"]) == 2):
            pod = next(events)[1]
            seen[pod["metadata"]["labels"]["path"]].add(pod["metadata"]["uid"])
    assert {key: len(uids) for key, uids in seen.items()} == {"rs1": 2, "rs2": 2, "rs3": 1, "rs4": 1}
    for index in range(1, 5):
        api.delete(f"{path}/rs{index}")


@pytest.mark.requirement(
    "[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be "
    "operated with different HTTP methods"
)
def test_the_endpoints_of_priority_classes(batch: Batch, api: HttpApi) -> None:
    label = f"{batch.namespace}-endpoints"
    for value in (1, 2):
        api.create(CLASSES, make_class(f"{label}-{value}", value, label))
        assert (
            api.expect(409, "POST", CLASSES, make_class(f"{label}-{value}", value, label))["reason"] == "AlreadyExists"
        )
    one = f"{CLASSES}/{label}-1"
    for patch_type in (MERGE_PATCH, STRATEGIC_MERGE_PATCH):
        answer = api.expect(422, "PATCH", one, {"value": 10}, type=patch_type)
        assert answer["reason"] == "Invalid"
    answer = api.expect(422, "PUT", one, api.get(one) | {"value": 10})
    assert answer["details"]["causes"][0]["field"] == "value"
    assert api.patch(one, {"description": "updated description"})["description"] == "updated description"
    assert api.update(one, api.get(one) | {"description": "once more"})["description"] == "once more"
    assert [item["value"] for item in api.items(CLASSES, f"module={label}")] == [1, 2]
    api.delete(CLASSES, labelSelector=f"module={label}")
    assert api.items(CLASSES, f"module={label}") == []


# --- predicates -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement(
    "[sig-scheduling] SchedulerPredicates [Serial] validates resource limits of pods that are allowed to run"
)
def test_a_full_node_takes_no_more(batch: Batch, nodes: PlayedNodes) -> None:
    names = []
    for index, node in enumerate(nodes.names):
        names.append(f"filler-{index}")
        container = {"resources": {"requests": {"cpu": "5600m"}, "limits": {"cpu": "5600m"}}}  # 70 % of 8
        batch.api.create(batch.path("pods"), make_pod(names[-1], node=node, container=container))
    wait_running(batch, *names)
    container = {"resources": {"requests": {"cpu": "4000m"}, "limits": {"cpu": "4000m"}}}
    batch.api.create(batch.path("pods"), make_pod("additional", container=container))
    batch.wait(is_unschedulable, "additional", what="finds no node")
    event = wait_for(lambda: batch.events("additional"), "the scheduler tells so")[0]
    assert (event["type"], event["reason"]) == ("Warning", "FailedScheduling")
    assert "Insufficient cpu" in event["message"]
    delete_pods(batch, "additional", *names)


@pytest.mark.requirement(
    "[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if matching"
)
def test_a_node_selector_is_respected(batch: Batch, nodes: PlayedNodes) -> None:
    node = nodes.names[1]
    batch.api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"kubernetes.io/e2e-test": "42"}}})
    selector = {"kubernetes.io/hostname": node, "kubernetes.io/e2e-test": "42"}
    batch.api.create(batch.path("pods"), make_pod("with-labels", nodeSelector=selector))
    wait_running(batch, "with-labels")
    assert batch.pod("with-labels")["spec"]["nodeName"] == node
    batch.api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"kubernetes.io/e2e-test": None}}})
    delete_pods(batch, "with-labels")


@pytest.mark.requirement(
    "[sig-scheduling] SchedulerPredicates [Serial] validates that there exists conflict between pods with same "
    "hostPort and protocol but one using 0.0.0.0 hostIP"
)
def test_host_ports_of_all_addresses_conflict(batch: Batch, nodes: PlayedNodes) -> None:
    for name, address in (("pod4", "0.0.0.0"), ("pod5", "10.0.0.5")):
        port = {"hostPort": 54322, "containerPort": 8080, "protocol": "TCP", "hostIP": address}
        pod = make_pod(name, node=nodes.names[0], container={"ports": [port]})
        batch.api.create(batch.path("pods"), pod)
        if name == "pod4":
            wait_running(batch, name)
    batch.wait(is_unschedulable, "pod5", what="finds no node")
    assert "didn't have free ports" in message_of(batch, "pod5", "FailedScheduling")
    delete_pods(batch, "pod4")
    wait_running(batch, "pod5")
    delete_pods(batch, "pod5")
