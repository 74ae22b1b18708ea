"""From the text of a node's page to usage."""

from __future__ import annotations

import pytest

from control.apiserver.extensions.resource_metrics.samples import Point, Reading, parse_reading
from control.apiserver.extensions.resource_metrics.usage import (
    Usage,
    container_metrics,
    earliest,
    node_usage,
    pod_usage,
)

PAGE = r"""# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="web",namespace="default",pod="a"} 4.5 100500
container_memory_working_set_bytes{container="web",namespace="default",pod="a"} 2.097152e+06 100500
container_start_time_seconds{container="web",namespace="default",pod="a"} 50.25
container_swap_usage_bytes{container="web",namespace="default",pod="a"} 0 100500
container_cpu_usage_seconds_total{pod="b",container="q\"uo\\te",namespace="default"} NaN
node_cpu_usage_seconds_total 30.5 100000
node_memory_working_set_bytes 1.024e+06 100000
pod_cpu_usage_seconds_total{namespace="default",pod="a"} 4.5 100500
no metric at all {
resource_scrape_error 0
"""
WEB = ("default", "a", "web")


def test_a_page_is_read_with_the_times_it_names() -> None:
    reading = parse_reading(PAGE, read_at=200.0)
    assert reading.node == Point(time=100.0, cpu_seconds=30.5, memory_bytes=1_024_000)
    assert reading.containers[WEB] == Point(time=100.5, cpu_seconds=4.5, memory_bytes=2 << 20, started_at=50.25)
    assert ("default", "b", 'q"uo\\te') in reading.containers


def test_samples_without_a_time_are_as_of_the_reading() -> None:
    assert parse_reading("node_cpu_usage_seconds_total 3\n", read_at=200.0).node.time == 200.0


def reading(time: float, **containers: Point) -> Reading:
    node = Point(time, cpu_seconds=time * 2, memory_bytes=4096)
    return Reading(node, {("default", "a", name): point for name, point in containers.items()})


def point(
    time: float, cpu_seconds: float | None, *, started_at: float | None = 0.0, memory: int | None = 1024
) -> Point:
    return Point(time, cpu_seconds=cpu_seconds, memory_bytes=memory, started_at=started_at)


def test_a_node_uses_the_difference_of_two_points() -> None:
    usage = node_usage(reading(10), reading(15))
    assert usage == Usage(time=15, window_seconds=5, cpu_nanos=2 * 10**9, memory_bytes=4096)
    assert usage.quantities() == {"cpu": "2", "memory": "4Ki"}


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [
        pytest.param(point(10, 1.0), point(20, 2.0), (10.0, 10**8), id="two points"),
        pytest.param(None, point(20, 2.0, started_at=16), (4.0, 5 * 10**8), id="new since the older reading"),
        pytest.param(point(10, 9.0), point(20, 2.0, started_at=16), (4.0, 5 * 10**8), id="restarted in between"),
        pytest.param(None, point(20, 2.0, started_at=None), None, id="new, of unknown age"),
        pytest.param(None, point(20, 2.0, started_at=19.9), None, id="too young to tell"),
        pytest.param(point(20, 2.0), point(20, 2.0), None, id="the same sample twice"),
        pytest.param(point(10, 9.0), point(20, 2.0), None, id="a counter that went back"),
        pytest.param(point(10, None), point(20, 2.0), None, id="no older counter"),
    ],
)
def test_a_container_is_measured_from(older: Point | None, newer: Point, expected: tuple[float, int] | None) -> None:
    before = reading(10, **({"web": older} if older else {}))
    usages = pod_usage(before, reading(20, web=newer), "default", "a")
    found = {name: (usage.window_seconds, usage.cpu_nanos) for name, usage in usages.items()}
    assert found == ({"web": expected} if expected else {})


def test_a_pod_is_left_out_while_one_of_its_containers_cannot_be_measured() -> None:
    newer = reading(20, web=point(20, 2.0), side=point(20, 1.0, started_at=None))
    assert pod_usage(reading(10, web=point(10, 1.0)), newer, "default", "a") == {}


def test_a_pod_of_another_namespace_is_another_pod() -> None:
    assert pod_usage(reading(10, web=point(10, 1.0)), reading(20, web=point(20, 2.0)), "other", "a") == {}


def test_containers_come_in_the_pods_order_and_the_earliest_stands_for_the_pod() -> None:
    usages = {
        name: Usage(time=time, window_seconds=1, cpu_nanos=1_500_000, memory_bytes=1000)
        for name, time in (("debug", 3.0), ("side", 2.0), ("web", 1.0))
    }
    assert [item["name"] for item in container_metrics(usages, ["web", "side"])] == ["web", "side", "debug"]
    assert container_metrics(usages, [])[0]["usage"] == {"cpu": "1500u", "memory": "1k"}
    assert earliest(list(usages.values())).time == 1.0
