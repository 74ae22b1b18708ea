"""What a Pod's cgroup is limited to, and the files that say so."""

from __future__ import annotations

from typing import Any

import pytest

from agent.cgroups.control_files import ControlFile, control_files, is_larger, kernel_page_size, weight_of
from agent.cgroups.layout import CgroupLayout, parse_pod_uid
from agent.cgroups.limits import PodLimits, compute_pod_limits

MI = 1 << 20


def make_pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    listed = [{"name": f"c{number}", "resources": resources} for number, resources in enumerate(containers)]
    return {"metadata": {"name": "web", "uid": "u-1"}, "spec": {"containers": listed, **spec}}


def limits(cpu: str = "", memory: str = "", **more: str) -> dict[str, Any]:
    """Resources with limits, and the same requests, as the API defaults them."""
    amounts = {name: text for name, text in {"cpu": cpu, "memory": memory, **more}.items() if text}
    return {"limits": amounts, "requests": dict(amounts)}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(make_pod({}, {}), PodLimits(cpu_shares=2), id="BestEffort weighs least and is not limited"),
        pytest.param(
            make_pod(limits("500m", "64Mi"), limits("1", "64Mi")),
            PodLimits(cpu_shares=1536, cpu_quota_microseconds=150_000, memory_bytes=128 * MI),
            id="all containers are limited: their sum",
        ),
        pytest.param(
            make_pod(limits("500m", "64Mi"), {"requests": {"cpu": "100m"}}),
            PodLimits(cpu_shares=614),
            id="one is not: nor is the Pod",
        ),
        pytest.param(
            make_pod(limits(memory="64Mi"), limits("1", "64Mi")),
            PodLimits(cpu_shares=1024, memory_bytes=128 * MI),
            id="each resource by itself",
        ),
        pytest.param(
            make_pod(limits("100m", "64Mi"), overhead={"cpu": "50m", "memory": "16Mi"}),
            PodLimits(cpu_shares=153, cpu_quota_microseconds=15_000, memory_bytes=80 * MI),
            id="overhead comes on top",
        ),
        pytest.param(
            make_pod({}, limits("1", "64Mi"), resources=limits("2", "256Mi")),
            PodLimits(cpu_shares=2048, cpu_quota_microseconds=200_000, memory_bytes=256 * MI),
            id="the Pod's own limits hold for all",
        ),
        pytest.param(
            make_pod({}, {}, resources={"requests": {"cpu": "1"}, "limits": {"memory": "32Mi"}}),
            PodLimits(cpu_shares=1024, memory_bytes=32 * MI),
            id="the Pod limits memory alone",
        ),
        pytest.param(
            make_pod({}, resources=limits("1", "64Mi"), overhead={"memory": "6Mi", "cpu": "500m"}),
            PodLimits(cpu_shares=1536, cpu_quota_microseconds=150_000, memory_bytes=70 * MI),
            id="overhead on top of the Pod's own",
        ),
        pytest.param(
            make_pod(limits("100m", "8Mi"), initContainers=[{"name": "i", "resources": limits("2", "64Mi")}]),
            PodLimits(cpu_shares=2048, cpu_quota_microseconds=200_000, memory_bytes=64 * MI),
            id="an init container may need more",
        ),
        pytest.param(
            make_pod(limits("100m", "8Mi"), initContainers=[{"name": "i"}]),
            PodLimits(cpu_shares=102),
            id="an init container without limits",
        ),
        pytest.param(
            make_pod(limits("1m", "8Mi")),
            PodLimits(cpu_shares=2, cpu_quota_microseconds=1000, memory_bytes=8 * MI),
            id="no less than the kernel takes",
        ),
        pytest.param(
            make_pod(limits("1", "8Mi", **{"hugepages-2Mi": "4Mi"}), limits("1", "8Mi", **{"hugepages-2Mi": "2Mi"})),
            PodLimits(
                cpu_shares=2048,
                cpu_quota_microseconds=200_000,
                memory_bytes=16 * MI,
                huge_pages={"hugepages-2Mi": 6 * MI},
            ),
            id="huge pages of all",
        ),
    ],
)
def test_limits_of_a_pod(pod: dict[str, Any], expected: PodLimits) -> None:
    assert compute_pod_limits(pod) == expected


def test_the_nodes_bound_on_processes_holds_for_every_pod() -> None:
    for pod in (make_pod({}), make_pod(limits("1", "64Mi"))):
        assert compute_pod_limits(pod, pids_max=64).pids_max == 64


LIMITED = PodLimits(cpu_shares=1024, cpu_quota_microseconds=50_000, memory_bytes=MI, pids_max=10)


@pytest.mark.parametrize(
    ("version", "found", "expected"),
    [
        pytest.param(
            "1",
            LIMITED,
            {"cpu.shares": "1024", "cpu.cfs_quota_us": "50000", "memory.limit_in_bytes": "1048576", "pids.max": "10"},
            id="v1",
        ),
        pytest.param(
            "2",
            LIMITED,
            {"cpu.weight": "39", "cpu.max": "50000 100000", "memory.max": "1048576", "pids.max": "10"},
            id="v2",
        ),
        pytest.param("1", PodLimits(cpu_shares=2), {"cpu.shares": "2"}, id="v1 without limits"),
        pytest.param("2", PodLimits(cpu_shares=2), {"cpu.weight": "1"}, id="v2 without limits"),
    ],
)
def test_files_of_a_pods_cgroup(version: str, found: PodLimits, expected: dict[str, str]) -> None:
    assert {file.name: file.text for file in control_files(found, version=version)} == expected


@pytest.mark.parametrize(
    ("version", "names"),
    [
        pytest.param("1", ("hugetlb.2MB.limit_in_bytes", "hugetlb.1GB.limit_in_bytes"), id="v1"),
        pytest.param("2", ("hugetlb.2MB.max", "hugetlb.1GB.max"), id="v2"),
    ],
)
def test_a_size_of_huge_pages_that_was_not_asked_for_is_forbidden(version: str, names: tuple[str, str]) -> None:
    asked = PodLimits(cpu_shares=2, huge_pages={"hugepages-2Mi": 4 * MI})
    files = control_files(asked, version=version, page_sizes=("2Mi", "1Gi"))

    assert files[1:] == [ControlFile("hugetlb", names[0], str(4 * MI)), ControlFile("hugetlb", names[1], "0")]


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (51, 2), (1024, 39), (262144, 10000)])
def test_weight_of_shares(shares: int, weight: int) -> None:
    assert weight_of(shares) == weight


@pytest.mark.parametrize(("size", "name"), [("64Ki", "64KB"), ("2Mi", "2MB"), ("512Mi", "512MB"), ("1Gi", "1GB")])
def test_kernel_page_size(size: str, name: str) -> None:
    assert kernel_page_size(size) == name


@pytest.mark.parametrize(
    ("text", "than", "expected"),
    [
        pytest.param("200", "100", True, id="more"),
        pytest.param("100", "100", False, id="the same"),
        pytest.param("50000 100000", "max 100000", False, id="less than no limit in v2"),
        pytest.param("200000", "-1", False, id="less than no quota in v1"),
        pytest.param("1048576", "9223372036854771712", False, id="less than no limit of memory in v1"),
        pytest.param("200000 100000", "50000 100000", True, id="a larger quota in v2"),
    ],
)
def test_is_larger(text: str, than: str, expected: bool) -> None:
    assert is_larger(text, than) == expected


@pytest.mark.parametrize(
    ("pod", "directory"),
    [
        pytest.param(make_pod({}), "podling/c/n/kubepods/besteffort/podu-1", id="BestEffort"),
        pytest.param(make_pod({"requests": {"cpu": "1"}}), "podling/c/n/kubepods/burstable/podu-1", id="Burstable"),
        pytest.param(make_pod(limits("1", "1Mi")), "podling/c/n/kubepods/podu-1", id="Guaranteed"),
        pytest.param(make_pod({}, resources=limits("1", "1Mi")), "podling/c/n/kubepods/podu-1", id="by the Pod's own"),
    ],
)
def test_a_pods_cgroup_stands_with_its_quality_of_service(pod: dict[str, Any], directory: str) -> None:
    layout = CgroupLayout(cluster="c", node="n")

    assert layout.pod_directory(pod) == directory
    assert directory in layout.pod_directories("u-1")


def test_only_pods_have_the_cgroups_of_pods() -> None:
    assert [parse_pod_uid(name) for name in ("podu-1", "burstable", "besteffort")] == ["u-1", "", ""]
