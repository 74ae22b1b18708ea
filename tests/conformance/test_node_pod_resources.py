"""Requirements of sig-node on resources of a Pod as a whole (KEP-2837): what the kernel holds, and what it enforces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cgroups.control_files import weight_of
from agent.cgroups.tree import CGROUP_ROOT, LinuxCgroupTree
from tests.cluster import docker, wait_for
from tests.conformance.batch import Batch, Object, is_ready, make_pod, shell

pytestmark = pytest.mark.docker

SLEEP = "exec sleep 1000"
#: the first process holds 24 MiB and waits for a reader that does not read
FILL = "mkfifo /tmp/p; sleep 1000 < /tmp/p & exec dd if=/dev/zero of=/tmp/p bs=24M count=1"
NAMES_V1 = {"quota": "cpu.cfs_quota_us", "memory": "memory.limit_in_bytes", "weight": "cpu.shares"}
NAMES_V2 = {"quota": "cpu.max", "memory": "memory.max", "weight": "cpu.weight"}
TREE = LinuxCgroupTree()


def amounts(cpu: str, memory: str) -> Object:
    return {"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu, "memory": memory}}


FILLING = shell(FILL, resources={"limits": {"memory": "36Mi"}, "requests": {"memory": "1Mi"}})


def whole_pod(name: str) -> Object:
    """A Pod with resources of its own."""
    return make_pod(
        name,
        shell(SLEEP),
        shell(SLEEP, resources=amounts("50m", "16Mi")),
        resources=amounts("200m", "48Mi"),
        restartPolicy="Always",
    )


PODS = (
    make_pod("besteffort", shell(SLEEP), restartPolicy="Always"),
    make_pod(
        "sum",
        shell(SLEEP, resources=amounts("100m", "16Mi")),
        shell(SLEEP, resources={"limits": {"cpu": "200m", "memory": "32Mi"}, "requests": {"cpu": "50m"}}),
        restartPolicy="Always",
    ),
    whole_pod("whole"),
    whole_pod("resized"),
    make_pod("removed", shell(SLEEP, resources=amounts("10m", "16Mi"))),
)


@pytest.fixture(scope="module")
def started(batch: Batch) -> Batch:
    """All Pods, running."""
    batch.create(*PODS)
    batch.wait(is_ready, *(pod["metadata"]["name"] for pod in PODS), what="the Pods run")
    return batch


def pod_cgroup(batch: Batch, name: str) -> str:
    """The path of the cgroup that the Pod's containers stand in."""
    statuses = batch.get("pod", name)["status"]["containerStatuses"]
    ids = [item["containerID"].removeprefix("docker://") for item in statuses]
    (parent,) = set(docker("inspect", "-f", "{{.HostConfig.CgroupParent}}", *ids).split())
    return parent.lstrip("/")


def held(path: str) -> dict[str, str]:
    """Quota, memory and weight as the kernel has them."""
    found = {}
    for what, name in (NAMES_V1 if TREE.version == "1" else NAMES_V2).items():
        hierarchy = TREE.find_hierarchy(name.partition(".")[0])
        assert hierarchy is not None
        found[what] = TREE.read(hierarchy, path, name).partition(" ")[0]
    return found


def expected(quota: int, memory_mebibytes: int, shares: int) -> dict[str, str]:
    weight = shares if TREE.version == "1" else weight_of(shares)
    return {"quota": str(quota), "memory": str(memory_mebibytes << 20), "weight": str(weight)}


def directories(path: str) -> list[Path]:
    return [CGROUP_ROOT / hierarchy / path for hierarchy in TREE.hierarchies()]


def patch_resources(batch: Batch, name: str, resources: Any) -> None:
    body = json.dumps({"spec": {"resources": resources}})
    batch.kubectl("patch", "pod", name, "--subresource=resize", "-p", body)


def test_a_pod_is_limited_to_what_its_containers_are_together(started: Batch) -> None:
    path = pod_cgroup(started, "sum")
    assert "/kubepods/burstable/pod" in path
    assert held(path) == expected(30_000, 48, 153)


def test_a_best_effort_pod_is_limited_by_nothing(started: Batch) -> None:
    path = pod_cgroup(started, "besteffort")
    assert "/kubepods/besteffort/pod" in path
    found = held(path)
    assert found["quota"] in ("-1", "max")
    assert found["weight"] == expected(0, 0, 2)["weight"]


def test_a_pods_own_resources_are_its_cgroups_and_its_containers_without_limits(started: Batch) -> None:
    path = pod_cgroup(started, "whole")
    assert path.rpartition("/")[0].endswith("/kubepods")  # Guaranteed
    assert held(path) == expected(20_000, 48, 204)
    status = started.get("pod", "whole")["status"]
    assert status["resources"] == amounts("200m", "48Mi")
    assert status["qosClass"] == "Guaranteed"
    ids = {item["name"]: item["containerID"].removeprefix("docker://") for item in status["containerStatuses"]}
    limits = {
        name: docker("inspect", "-f", "{{.HostConfig.CpuQuota}} {{.HostConfig.Memory}}", one).strip()
        for name, one in ids.items()
    }
    assert limits == {"main": f"20000 {48 << 20}", "c1": f"5000 {16 << 20}"}


def test_containers_within_their_own_limits_cannot_exceed_their_pods(started: Batch) -> None:
    started.create(make_pod("greedy", FILLING, FILLING, resources={"limits": {"memory": "36Mi"}}))

    def exit_codes() -> list[int]:
        statuses = started.get("pod", "greedy").get("status", {}).get("containerStatuses") or ()
        return [item["state"]["terminated"]["exitCode"] for item in statuses if "terminated" in item["state"]]

    wait_for(lambda: 137 in exit_codes(), "the kernel kills a container of the Pod")


def test_pod_level_resources_are_resized_in_place(started: Batch) -> None:
    path = pod_cgroup(started, "resized")
    before = started.get("pod", "resized")["status"]["containerStatuses"]
    for cpu, memory, quota in (("400m", "64Mi", 40_000), ("100m", "32Mi", 10_000)):
        patch_resources(started, "resized", amounts(cpu, memory))
        wait_for(
            lambda wanted=amounts(cpu, memory): started.get("pod", "resized")["status"].get("resources") == wanted,
            "the status has the new resources",
        )
        holds = expected(quota, int(memory[:-2]), quota * 1024 // 100_000)
        wait_for(lambda holds=holds: held(path) == holds, f"the kernel holds {holds}")
    after = started.get("pod", "resized")["status"]["containerStatuses"]
    assert [item["containerID"] for item in after] == [item["containerID"] for item in before]


def test_the_cgroup_goes_with_its_pod(started: Batch) -> None:
    path = pod_cgroup(started, "removed")
    assert any(directory.is_dir() for directory in directories(path))
    started.kubectl("delete", "pod", "removed", "--wait=true")
    wait_for(lambda: not any(directory.exists() for directory in directories(path)), "the cgroup is gone everywhere")
