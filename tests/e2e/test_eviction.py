"""Eviction on real containers: by limits of local storage, then by a node's pressure, and who is refused meanwhile.

On a cluster of its own, because what is low there is low for every Pod. Thresholds that are always met stand for a
machine that runs out: nothing of it has to be filled up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster, docker, wait_for
from tests.conformance.batch import Batch, is_ready, make_pod, message_of, shell
from tests.conformance.http_api import HttpApi
from tests.fakes.docker_images import ensure_busybox_image

pytestmark = pytest.mark.docker

WRITE = "dd if=/dev/zero of={path} bs=1M count=3 && touch /tmp/written && sleep 1000"
WRITTEN = {"exec": {"command": ["test", "-e", "/tmp/written"]}, "periodSeconds": 1}
LOW = ("memory.available<99.9%", "nodefs.available<99.9%")


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    ensure_busybox_image()
    made = Cluster(tmp_path_factory.mktemp("eviction"))
    try:
        # No threshold yet: the disk of the machine that tests run on is nobody's business.
        made.up("--kubelet-arg", "eviction-hard=", "--kubelet-arg", "max-pods=20")
        api = HttpApi(made)
        yield Batch(made, api, "default")
        api.close()
    finally:
        made.delete()


def writer(path: str, **fields: Any) -> dict[str, Any]:
    return shell(WRITE.format(path=path), readinessProbe=WRITTEN, **fields)


def storage(limit: str) -> dict[str, Any]:
    return {"limits": {"ephemeral-storage": limit}}


def in_volume(limit: str) -> dict[str, Any]:
    return {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": limit}}]}


OVER_LIMITS = {
    "directory": 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
    "layer": 'Container main exceeded its local ephemeral storage limit "2Mi". ',
    "sum": "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
}
MOUNT = [{"name": "v", "mountPath": "/v"}]


def test_pods_over_their_limits_and_pods_of_a_node_under_pressure_are_evicted(batch: Batch) -> None:
    sleeper = shell("sleep 1000")
    asking = {**sleeper, "resources": {"requests": {"memory": "1Mi"}}}
    batch.create(
        make_pod("directory", writer("/v/file", volumeMounts=MOUNT), **in_volume("1Mi")),
        make_pod("layer", writer("/file", resources=storage("2Mi")), {**sleeper, "resources": storage("9Mi")}),
        make_pod("sum", writer("/v/file", volumeMounts=MOUNT, resources=storage("2Mi")), **in_volume("9Mi")),
        make_pod("within", writer("/v/file", volumeMounts=MOUNT, resources=storage("9Mi")), **in_volume("9Mi")),
        make_pod("critical", sleeper, priorityClassName="system-node-critical"),
        make_pod("asking", asking),
    )
    batch.wait(is_ready, "within", "critical", "asking", what="those within their limits have written")
    # A look at the disk may have found them before anybody saw them ready.
    batch.wait(lambda pod: is_ready(pod) or is_evicted(pod), *OVER_LIMITS, what="the others have written")
    # Agents look at once when they start; it is also how a user changes their flags.
    flags = [item for text in (f"eviction-hard={','.join(LOW)}", "max-pods=20") for item in ("--kubelet-arg", text)]
    batch.cluster.up(*flags)
    batch.wait(is_evicted, *OVER_LIMITS, "within", "asking", what="evicted")

    pods = batch.pods()
    for name, message in OVER_LIMITS.items():
        assert pods[name]["status"]["message"] == message
        assert disruption(pods[name]) is None
    for name in ("within", "asking"):
        message = pods[name]["status"]["message"]
        assert message.startswith("The node was low on resource: memory. Threshold quantity: ")
        assert disruption(pods[name]) == {"status": "True", "reason": "TerminationByKubelet", "message": message}
        assert message_of(batch, name, "Evicted") == message
    assert is_ready(pods["critical"])
    assert order(batch, "within", "asking") == ["within", "asking"], "who asked for nothing goes first"
    wait_for(lambda: containers(batch) == {"critical"}, "what the evicted Pods wrote is gone")

    wait_for(lambda: pressures(batch) == ("True", "True"), "the node says what it is short of")
    [node] = batch.get("nodes")["items"]
    assert node["status"]["allocatable"]["pods"] == "20"
    selector = "involvedObject.kind=Node,reason=EvictionThresholdMet"
    events = wait_for(lambda: batch.get("events", "--field-selector", selector)["items"], "an Event tells")
    assert {event["message"] for event in events} == {"Attempting to reclaim memory"}

    batch.create(make_pod("late", sleeper, nodeName=node["metadata"]["name"]))
    batch.wait(is_evicted, "late", what="refused")
    refusal = "Pod was rejected: The node had condition: [DiskPressure MemoryPressure]. "
    assert batch.pods()["late"]["status"]["message"] == refusal


def pressures(batch: Batch) -> tuple[str, str]:
    """Whether the node says that it is short of memory, and of disk."""
    [node] = batch.get("nodes")["items"]
    conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
    return conditions["MemoryPressure"], conditions["DiskPressure"]


def is_evicted(pod: dict[str, Any]) -> bool:
    status = pod.get("status", {})
    return (status.get("phase"), status.get("reason")) == ("Failed", "Evicted")


def disruption(pod: dict[str, Any]) -> dict[str, str] | None:
    for condition in pod["status"].get("conditions", ()):
        if condition["type"] == "DisruptionTarget":
            return {name: condition[name] for name in ("status", "reason", "message")}
    return None


def order(batch: Batch, *names: str) -> list[str]:
    """The Pods in the order in which they were evicted."""
    log = (batch.cluster.state / "logs").glob("agent-*.log")
    lines = [line for path in log for line in path.read_text().splitlines() if "Evicting a Pod" in line]
    return [name for line in lines for name in names if f"pod=default/{name} " in line]


def containers(batch: Batch) -> set[str]:
    """The Pods that own a container on the engine, running or not."""
    label = f"label=io.podling.cluster={batch.cluster.name}"
    listed = docker("ps", "-a", "--filter", label, "--format", '{{.Label "io.kubernetes.pod.name"}}')
    return set(listed.split())
