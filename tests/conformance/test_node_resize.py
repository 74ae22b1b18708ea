"""Requirements of sig-node on in-place resize: what the kernel holds, what the status says, and no restart.

Amounts and changes are those of upstream's tests: containers differ a little from one another, and every change that
may be taken back is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from control.api.quantity import cpu_millis, quantity_value
from tests.cluster import docker, wait_for
from tests.conformance.batch import Batch, Object, is_ready, make_pod, shell

pytestmark = pytest.mark.docker

Amounts = tuple[str, str, str, str]
"""cpu request, cpu limit, memory request, memory limit"""


def guaranteed(number: int, cpu: int, memory: int) -> Amounts:
    """Requests that are limits, of the container with this number."""
    return (f"{cpu + 2 * number}m",) * 2 + (f"{memory + 2 * number}Mi",) * 2


ORIGINAL = [guaranteed(number, 20, 35) for number in range(3)]

# requirement → amounts of the containers before and after, and whether the change is taken back
RESIZES: dict[str, tuple[list[Amounts], list[Amounts], bool]] = {
    "[sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase cpu & "
    "mem on c1, c2, decrease cpu & mem on c3 - net increase": (
        ORIGINAL,
        [guaranteed(0, 25, 40), guaranteed(1, 25, 40), guaranteed(2, 15, 30)],
        True,
    ),
    "[sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase cpu & "
    "mem on c1, decrease cpu & mem on c2, c3 - net decrease": (
        ORIGINAL,
        [guaranteed(0, 25, 40), guaranteed(1, 15, 30), guaranteed(2, 15, 30)],
        True,
    ),
    "[sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase: CPU "
    "(c1,c3), memory (c2, c3) ; decrease: CPU (c2)": (
        ORIGINAL,
        [guaranteed(0, 25, 35), guaranteed(1, 15, 40), guaranteed(2, 25, 40)],
        True,
    ),
    "[sig-node] Pod InPlace Resize Container burstable pods - extended 6 containers - various operations performed "
    "(including adding limits and requests)": (
        [
            ("20m", "", "", ""),
            ("", "", "35Mi", ""),
            ("20m", "", "35Mi", ""),
            ("20m", "", "", ""),
            ("", "", "35Mi", ""),
            ("20m", "30m", "35Mi", "45Mi"),
        ],
        [
            ("25m", "35m", "", ""),
            ("", "", "30Mi", "50Mi"),
            ("20m", "", "30Mi", ""),
            ("15m", "", "35Mi", ""),
            ("20m", "", "40Mi", ""),
            ("15m", "35m", "40Mi", "40Mi"),
        ],
        False,  # what was added cannot be removed
    ),
    # Both amounts are the same to the kernel: too little for it to tell apart.
    "[sig-node] Pod InPlace Resize Container burstable pods - extended resize with equivalents": (
        [("2m", "10m", "", "")],
        [("1m", "5m", "", "")],
        True,
    ),
}
NAMES = {requirement: f"resized-{number}" for number, requirement in enumerate(RESIZES)}


def make_resources(amounts: Amounts) -> Object:
    cpu_request, cpu_limit, memory_request, memory_limit = amounts
    pairs = {
        "requests": {"cpu": cpu_request, "memory": memory_request},
        "limits": {"cpu": cpu_limit, "memory": memory_limit},
    }
    return {field: kept for field, values in pairs.items() if (kept := {k: v for k, v in values.items() if v})}


@pytest.fixture(scope="module")
def started(batch: Batch) -> Batch:
    """All Pods that are going to be resized."""
    amounts = {NAMES[requirement]: before for requirement, (before, _, _) in RESIZES.items()}
    amounts["replaced"] = [("20m", "", "35Mi", "")]
    batch.create(
        *(
            make_pod(
                name,
                *(
                    shell("exec sleep 1000", name=container_name(index), resources=make_resources(one))
                    for index, one in enumerate(before)
                ),
                restartPolicy="OnFailure",
                terminationGracePeriodSeconds=0,
            )
            for name, before in amounts.items()
        )
    )
    batch.wait(is_ready, *amounts, what="the Pods run")
    return batch


@pytest.mark.parametrize("requirement", RESIZES)
def test_pod_in_place_resize_container(started: Batch, requirement: str) -> None:
    name, (before, after, is_taken_back) = NAMES[requirement], RESIZES[requirement]
    containers = running_containers(started, name)
    assert all("resizePolicy" not in item for item in started.pod(name)["spec"]["containers"])
    check(started, name, before, containers)
    resize(started, name, after)
    check(started, name, after, containers)
    if is_taken_back:
        resize(started, name, before)
        check(started, name, before, containers)
    assert started.pod(name)["metadata"]["generation"] == (3 if is_taken_back else 2)


def resize(batch: Batch, name: str, amounts: list[Amounts]) -> None:
    """Ask for other amounts; the answer has them."""
    containers = [
        {"name": container_name(index), "resources": make_resources(one)} for index, one in enumerate(amounts)
    ]
    patched = batch.api.patch(batch.path(f"pods/{name}/resize"), {"spec": {"containers": containers}})
    assert [item["resources"] for item in patched["spec"]["containers"]] == [item["resources"] for item in containers]


@pytest.mark.requirement("[sig-node] Pod InPlace Resize Container resize pod via the replace endpoint")
def test_pod_in_place_resize_container_resize_pod_via_the_replace_endpoint(started: Batch) -> None:
    containers = running_containers(started, "replaced")
    pod = started.pod("replaced")
    assert pod["metadata"]["generation"] == 1
    pod["spec"]["containers"][0]["resources"] = make_resources(("25m", "", "40Mi", ""))
    path = started.path("pods/replaced/resize")
    started.api.update(path, pod)
    assert started.pod("replaced")["metadata"]["generation"] == 2
    check(started, "replaced", [("25m", "", "40Mi", "")], containers)
    assert started.api.get(path) == started.pod("replaced")


def check(batch: Batch, name: str, amounts: list[Amounts], before: dict[str, str]) -> None:
    """The status reports what is wanted, the kernel holds it, and no container was restarted."""
    wanted = [make_resources(one) for one in amounts]

    def is_reported() -> bool:
        pod = batch.pod(name)
        reported = [item.get("resources") for item in pod["status"]["containerStatuses"]]
        resizing = [item["type"] for item in pod["status"]["conditions"] if item["type"].startswith("PodResize")]
        return reported == wanted and not resizing and is_ready(pod)

    wait_for(is_reported, f"the status has the resources {wanted}")
    pod = batch.pod(name)
    assert [item["resources"] for item in pod["spec"]["containers"]] == wanted
    assert [item["restartCount"] for item in pod["status"]["containerStatuses"]] == [0] * len(amounts)
    assert running_containers(batch, name) == before
    held = [held_by_kernel(pid) for pid in first_processes(list(before.values()))]
    assert held == [wanted_of_kernel(one) for one in wanted]


def container_name(index: int) -> str:
    return f"c{index + 1}"


def running_containers(batch: Batch, name: str) -> dict[str, str]:
    statuses = batch.pod(name)["status"]["containerStatuses"]
    return {item["name"]: item["containerID"].removeprefix("docker://") for item in statuses}


def first_processes(container_ids: list[str]) -> list[int]:
    """Process ids on the host, in the order of the containers."""
    found = {item["Id"]: item["State"]["Pid"] for item in json.loads(docker("inspect", *container_ids))}
    return [found[container_id] for container_id in container_ids]


# --- control groups, of version 1 and 2 -------------------------------------------------------------------------------

ROOT = Path("/sys/fs/cgroup")
UNIFIED = (ROOT / "cgroup.controllers").exists()


def held_by_kernel(pid: int) -> tuple[int, int, int]:
    """CPU shares (weight in version 2), CPU quota in microseconds and memory limit in bytes; -1 is no limit."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    paths = {controller: path for _, controllers, path in lines for controller in controllers.split(",")}
    if UNIFIED:
        place = ROOT / paths[""].lstrip("/")
        quota, memory = (place / name for name in ("cpu.max", "memory.max"))
        shares = place / "cpu.weight"
    else:
        cpu, memory_place = (ROOT / one / paths[one].lstrip("/") for one in ("cpu", "memory"))
        shares, quota, memory = cpu / "cpu.shares", cpu / "cpu.cfs_quota_us", memory_place / "memory.limit_in_bytes"
    bytes_max = limit_in(memory)
    return int(shares.read_text()), limit_in(quota), bytes_max if bytes_max < 1 << 60 else -1


def limit_in(file: Path) -> int:
    word = file.read_text().split()[0]
    return -1 if word == "max" else int(word)


def wanted_of_kernel(resources: Any) -> tuple[int, int, int]:
    """What the kubelet asks for: a limit is the request where there is none, and both have a least value."""
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    shares = max(2, cpu_millis(requests.get("cpu", limits.get("cpu", "0"))) * 1024 // 1000)
    quota = max(1000, cpu_millis(limits["cpu"]) * 100) if "cpu" in limits else -1
    memory = quantity_value(limits["memory"]) if "memory" in limits else -1
    return 1 + (shares - 2) * 9999 // 262142 if UNIFIED else shares, quota, memory
