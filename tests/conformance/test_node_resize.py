"""Requirements of sig-node on in-place resize: what the kernel holds, what the status says, and no restart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster import docker, wait_for
from tests.conformance.batch import Batch, Object, is_ready, make_pod, shell

pytestmark = pytest.mark.docker

Amounts = tuple[str, str, str, str]
# cpu request, cpu limit, memory request, memory limit
SMALL: Amounts = ("100m", "100m", "64Mi", "64Mi")
MORE_CPU: Amounts = ("200m", "200m", "64Mi", "64Mi")
MORE: Amounts = ("200m", "200m", "96Mi", "96Mi")
LESS: Amounts = ("50m", "50m", "48Mi", "48Mi")
BURST: Amounts = ("50m", "100m", "48Mi", "64Mi")
BURST_MORE: Amounts = ("75m", "150m", "64Mi", "96Mi")
SAME_BUT_OTHERWISE_WRITTEN: Amounts = ("0.05", "0.1", "49152Ki", "65536Ki")
ONLY_REQUESTS: Amounts = ("50m", "", "48Mi", "")


def make_resources(amounts: Amounts) -> Object:
    cpu_request, cpu_limit, memory_request, memory_limit = amounts
    pairs = {
        "requests": {"cpu": cpu_request, "memory": memory_request},
        "limits": {"cpu": cpu_limit, "memory": memory_limit},
    }
    return {field: kept for field, values in pairs.items() if (kept := {k: v for k, v in values.items() if v})}


# requirement → amounts of the containers before and after
RESIZES: dict[str, tuple[list[Amounts], list[Amounts]]] = {
    "guaranteed pods with multiple containers 3 containers - increase cpu & mem on c1, c2, decrease cpu & mem on c3": (
        [SMALL, SMALL, SMALL],
        [MORE, MORE, LESS],
    ),
    "guaranteed pods with multiple containers 3 containers - increase: CPU (c1,c3), memory (c2, c3) ; decrease: CPU": (
        [SMALL, SMALL, SMALL],
        [MORE_CPU, ("50m", "50m", "96Mi", "96Mi"), MORE],
    ),
    "burstable pods - extended 6 containers - various operations performed (including adding limits and requests)": (
        [BURST, BURST, ONLY_REQUESTS, ONLY_REQUESTS, BURST_MORE, BURST],
        [
            BURST_MORE,
            BURST,
            ("50m", "100m", "48Mi", "64Mi"),
            ("75m", "", "48Mi", ""),
            BURST,
            ("50m", "100m", "48Mi", "96Mi"),
        ],
    ),
    "burstable pods - extended resize with equivalents": ([BURST], [SAME_BUT_OTHERWISE_WRITTEN]),
}
NAMES = {requirement: f"resized-{number}" for number, requirement in enumerate(RESIZES)}


@pytest.fixture(scope="module")
def started(batch: Batch) -> Batch:
    """All Pods that are going to be resized."""
    pods = []
    for requirement, (before, _) in RESIZES.items():
        containers = [shell("exec sleep 1000", resources=make_resources(amounts)) for amounts in before]
        pods.append(make_pod(NAMES[requirement], *containers, restartPolicy="Always"))
    pods.append(make_pod("replaced", shell("exec sleep 1000", resources=make_resources(BURST)), restartPolicy="Always"))
    batch.create(*pods)
    batch.wait(is_ready, *NAMES.values(), "replaced", what="the Pods run")
    return batch


@pytest.mark.parametrize("requirement", RESIZES)
def test_pod_in_place_resize_container(started: Batch, requirement: str) -> None:
    name, (_, after) = NAMES[requirement], RESIZES[requirement]
    before = running_containers(started, name)
    containers = [{"name": container_name(index), "resources": make_resources(one)} for index, one in enumerate(after)]
    patch = json.dumps({"spec": {"containers": containers}})
    started.kubectl("patch", "pod", name, "--subresource=resize", "-p", patch)
    check(started, name, after, before)


def test_pod_in_place_resize_container_resize_pod_via_the_replace_endpoint(started: Batch) -> None:
    before = running_containers(started, "replaced")
    pod = started.get("pod", "replaced")
    pod["spec"]["containers"][0]["resources"] = make_resources(BURST_MORE)
    path = f"/api/v1/namespaces/{started.namespace}/pods/replaced/resize"
    started.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(pod))
    check(started, "replaced", [BURST_MORE], before)


def check(batch: Batch, name: str, amounts: list[Amounts], before: dict[str, str]) -> None:
    """The status reports what is wanted, the engine holds it, and no container was restarted."""
    wanted = {container_name(index): make_resources(one) for index, one in enumerate(amounts)}

    def is_reported() -> bool:
        pod = batch.get("pod", name)
        reported = {item["name"]: item.get("resources") for item in pod["status"]["containerStatuses"]}
        spec = {item["name"]: item["resources"] for item in pod["spec"]["containers"]}
        conditions = [item["type"] for item in pod["status"]["conditions"]]
        return reported == spec and not [one for one in conditions if one.startswith("PodResize")]

    wait_for(is_reported, "the status has the new resources")
    assert running_containers(batch, name) == before
    for container, container_id in before.items():
        assert held_limits(container_id) == wanted_limits(wanted[container]), container
    restarts = [item["restartCount"] for item in batch.get("pod", name)["status"]["containerStatuses"]]
    assert set(restarts) == {0}


def container_name(index: int) -> str:
    return f"c{index}" if index else "main"


def running_containers(batch: Batch, name: str) -> dict[str, str]:
    statuses = batch.get("pod", name)["status"]["containerStatuses"]
    return {item["name"]: item["containerID"].removeprefix("docker://") for item in statuses}


def held_limits(container_id: str) -> tuple[int, int]:
    """CPU quota in microseconds and memory in bytes as the engine holds them."""
    text = docker("inspect", "-f", "{{.HostConfig.CpuQuota}} {{.HostConfig.Memory}}", container_id)
    quota, memory = text.split()
    return int(quota), int(memory)


def wanted_limits(resources: Any) -> tuple[int, int]:
    limits = resources.get("limits") or {}
    cpu, memory = limits.get("cpu", "0"), limits.get("memory", "0")
    quota = int(float(cpu.removesuffix("m")) * (100 if cpu.endswith("m") else 100_000))
    units = {"Ki": 1 << 10, "Mi": 1 << 20}
    return quota, int(memory[:-2]) * units[memory[-2:]] if memory[-2:] in units else int(memory)
