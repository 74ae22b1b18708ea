"""The words of an eviction, and who is refused under pressure."""

from __future__ import annotations

from typing import Any

import pytest

from agent.node.eviction.admission import judge_under_pressure
from agent.node.eviction.local_limits import exceeded_limit, has_local_limits
from agent.node.eviction.messages import eviction_message
from agent.node.eviction.pod_usage import ContainerUse, FileUsage, PodUse
from agent.node.eviction.signals import RESOURCES, Observation, Signal
from agent.node.eviction.thresholds import parse_thresholds
from control.api.objects import Object
from tests.fakes.agent_node import make_pod

MIB = 1 << 20


def message(pod: Object, use: PodUse | None, signal: Signal, threshold: str, available: int, capacity: int) -> str:
    due = parse_thresholds(f"{signal.value}<{threshold}")
    observed = {signal: Observation(available=available, capacity=capacity)}
    return eviction_message(pod, use, RESOURCES[signal], due, observed)[0]


def container(name: str, **resources: Any) -> Object:
    return {"name": name, "resources": resources}


def test_memory_names_the_containers_that_use_more_than_they_asked_for() -> None:
    pod = make_pod(
        containers=[
            container("greedy", requests={"memory": "10Mi"}),
            container("modest", requests={"memory": "100Mi"}),
            container("asks-nothing"),
        ]
    )
    use = PodUse(
        containers={
            "greedy": ContainerUse(memory_bytes=20 * MIB),
            "modest": ContainerUse(memory_bytes=20 * MIB),
            "asks-nothing": ContainerUse(memory_bytes=1500),
        }
    )
    due = parse_thresholds("memory.available<100Mi")
    observed = {Signal.MEMORY_AVAILABLE: Observation(available=90 * MIB + 1024, capacity=1 << 30)}
    text, annotations = eviction_message(pod, use, "memory", due, observed)
    assert text == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 92161Ki. "
        "Container greedy was using 20Mi, request is 10Mi, has larger consumption of memory. "
        "Container asks-nothing was using 1500, request is 0, has larger consumption of memory. "
    )
    assert annotations == {
        "offending_containers": "greedy,asks-nothing",
        "offending_containers_usage": "20Mi,1500",
        "starved_resource": "memory",
    }


def test_disk_counts_layer_and_log_and_a_part_is_told_as_an_amount() -> None:
    use = PodUse(containers={"web": ContainerUse(files=FileUsage(used_bytes=3 * MIB))})
    text = message(make_pod(), use, Signal.NODEFS_AVAILABLE, "10%", 5 * MIB, 100 * MIB)
    assert text == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10Mi, available: 5Mi. "
        "Container web was using 3Mi, request is 0, has larger consumption of ephemeral-storage. "
    )


def test_counts_are_told_in_thousands() -> None:
    text = message(make_pod(), PodUse(), Signal.PID_AVAILABLE, "10k", 4000, 32768)
    assert text == "The node was low on resource: pids. Threshold quantity: 10k, available: 4k. "
    text = message(make_pod(), None, Signal.NODEFS_INODES_FREE, "5%", 1234, 100_000)
    assert text == "The node was low on resource: inodes. Threshold quantity: 5000, available: 1234. "


TOLERATES_MEMORY = [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]
TOLERATES_DISK = [{"key": "node.kubernetes.io/disk-pressure", "operator": "Exists"}]
BURSTABLE = [container("c", requests={"memory": "1Mi"})]


@pytest.mark.parametrize(
    ("spec", "pressures", "refused"),
    [
        pytest.param({}, [], "", id="no pressure"),
        pytest.param({}, ["MemoryPressure"], "[MemoryPressure]", id="best effort under memory pressure"),
        pytest.param({"containers": BURSTABLE}, ["MemoryPressure"], "", id="burstable under memory pressure"),
        pytest.param({"tolerations": TOLERATES_MEMORY}, ["MemoryPressure"], "", id="best effort that tolerates it"),
        pytest.param({"tolerations": TOLERATES_DISK}, ["MemoryPressure"], "[MemoryPressure]", id="tolerates another"),
        pytest.param({"containers": BURSTABLE}, ["DiskPressure"], "[DiskPressure]", id="nobody under disk pressure"),
        pytest.param({"tolerations": TOLERATES_DISK}, ["DiskPressure"], "[DiskPressure]", id="whatever it tolerates"),
        pytest.param({}, ["PIDPressure"], "[PIDPressure]", id="nobody under pid pressure"),
        pytest.param(
            {"containers": BURSTABLE},
            ["MemoryPressure", "DiskPressure"],
            "[DiskPressure MemoryPressure]",
            id="both at once",
        ),
        pytest.param({"priority": 2_000_000_000}, ["DiskPressure"], "", id="a critical Pod"),
    ],
)
def test_whom_a_node_under_pressure_refuses(spec: dict[str, Any], pressures: list[str], refused: str) -> None:
    rejection = judge_under_pressure(make_pod(**spec), frozenset(pressures))
    if refused:
        assert rejection is not None
        assert (rejection.reason, rejection.message) == ("Evicted", f"The node had condition: {refused}. ")
    else:
        assert rejection is None


def test_a_static_pod_is_critical() -> None:
    pod = make_pod()
    pod["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert judge_under_pressure(pod, frozenset({"DiskPressure"})) is None


def files(mib: float) -> FileUsage:
    return FileUsage(used_bytes=int(mib * MIB))


def storage(name: str, limit: str) -> Object:
    return container(name, limits={"ephemeral-storage": limit})


@pytest.mark.parametrize(
    ("spec", "use", "text"),
    [
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]},
            PodUse(volumes={"v": files(1.5)}),
            'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
            id="an emptyDir over its limit",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]},
            PodUse(volumes={"v": files(1)}),
            "",
            id="an emptyDir at its limit",
        ),
        pytest.param(
            {"containers": [storage("a", "1Mi"), storage("b", "10Mi")]},
            PodUse(containers={"a": ContainerUse(files=files(2)), "b": ContainerUse(files=files(2))}),
            'Container a exceeded its local ephemeral storage limit "1Mi". ',
            id="a container over its limit",
        ),
        pytest.param(
            {"containers": [storage("a", "1Mi"), storage("b", "1Mi")]},
            PodUse(containers={"a": ContainerUse(files=files(1)), "b": ContainerUse()}, volumes={"v": files(2)}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
            id="volumes count for the Pod as a whole",
        ),
        pytest.param(
            {"containers": [storage("a", "1Mi"), container("b")]},
            PodUse(containers={"a": ContainerUse(), "b": ContainerUse(files=files(2))}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
            id="so does a container without a limit",
        ),
        pytest.param(
            {"containers": [container("a")], "volumes": [{"name": "v", "emptyDir": {}}]},
            PodUse(containers={"a": ContainerUse(files=files(999))}, volumes={"v": files(999)}),
            "",
            id="no limits",
        ),
    ],
)
def test_local_storage_limits(spec: dict[str, Any], use: PodUse, text: str) -> None:
    assert exceeded_limit(make_pod(**spec), use) == text


@pytest.mark.parametrize(
    ("spec", "measured"),
    [
        pytest.param({}, False, id="no limit"),
        pytest.param({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]}, True, id="an emptyDir's"),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}}]},
            False,
            id="one in memory ends at its limit by itself",
        ),
        pytest.param({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "0"}}]}, False, id="nought is no limit"),
        pytest.param({"containers": [storage("a", "1Mi")]}, True, id="a container's"),
        pytest.param({"containers": [container("a", limits={"memory": "1Mi"})]}, False, id="another resource's"),
    ],
)
def test_only_pods_with_limits_are_measured(spec: dict[str, Any], measured: bool) -> None:
    assert has_local_limits(make_pod(**spec)) is measured
