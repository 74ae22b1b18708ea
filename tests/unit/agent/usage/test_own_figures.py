"""What the agent says of its Pods, of its starts and of its own process."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from agent.pods.container_cache import ContainerCache
from agent.pods.start_tally import StartTally
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.identity import container_labels, container_name, sandbox_labels, sandbox_name
from agent.usage.own_figures import OwnFigures, figure_metrics
from agent.usage.own_process import process_metrics, read_own_process
from agent.usage.prometheus import format_metrics
from control.api.clock import FakeClock
from tests.fakes.agent_node import OWNER, make_pod

STATIC = {"kubernetes.io/config.source": "file"}


def lines(pods: list[Any], cache: ContainerCache, starts: StartTally) -> list[str]:
    figures = OwnFigures(pods=lambda: pods, cache=cache, starts=starts)
    return [line for line in format_metrics(figure_metrics(figures)).splitlines() if not line.startswith("#")]


def empty_cache() -> ContainerCache:
    return ContainerCache(FakeRuntime(FakeClock()), OWNER, FakeClock())


def test_pods_are_counted_by_where_they_come_from() -> None:
    running, ended, static = make_pod(), make_pod(), make_pod()
    ended["status"] = {"phase": "Succeeded"}
    static["metadata"]["annotations"] = STATIC
    running["spec"]["ephemeralContainers"] = [{"name": "debugger"}]
    found = lines([running, ended, static], empty_cache(), StartTally())
    assert set(found) >= {
        'kubelet_desired_pods{static=""} 2',
        'kubelet_desired_pods{static="true"} 1',
        'kubelet_active_pods{static=""} 1',
        'kubelet_active_pods{static="true"} 1',
        "kubelet_mirror_pods 1",
        "kubelet_managed_ephemeral_containers 1",
        "kubelet_running_pods 0",
    }


def test_starts_are_told_with_their_failures() -> None:
    starts = StartTally(
        pods=4,
        pod_failures=1,
        containers=Counter({"container": 3}),
        container_failures=Counter({("container", "ErrImagePull"): 2}),
    )
    assert set(lines([], empty_cache(), starts)) >= {
        "kubelet_started_pods_total 4",
        "kubelet_started_pods_errors_total 1",
        'kubelet_started_containers_total{container_type="container"} 3',
        'kubelet_started_containers_errors_total{code="ErrImagePull",container_type="container"} 2',
    }


async def test_containers_of_the_engine_are_counted_by_their_state() -> None:
    runtime, pod = FakeRuntime(FakeClock()), make_pod()
    runtime.add_image("web:1")
    sandbox = {"Image": "web:1", "Labels": sandbox_labels(OWNER, pod, attempt=0), "HostConfig": {}}
    sandbox_id = await runtime.create_container(sandbox_name(pod, 0), sandbox)
    for attempt in (0, 1):
        labels = container_labels(OWNER, pod, pod["spec"]["containers"][0], attempt=attempt, sandbox_id=sandbox_id)
        body = {"Image": "web:1", "Labels": labels, "HostConfig": {}}
        container_id = await runtime.create_container(container_name(pod, "web", attempt), body)
    for started in (sandbox_id, container_id):
        await runtime.start_container(started)
    cache = ContainerCache(runtime, OWNER, runtime.clock)
    await cache.relist()
    assert set(lines([pod], cache, StartTally())) >= {
        "kubelet_running_pods 1",
        'kubelet_running_containers{container_state="created"} 1',
        'kubelet_running_containers{container_state="running"} 1',
    }


def test_the_process_is_read_of_files_like_the_kernels(tmp_path: Path) -> None:
    own = tmp_path / "self"
    (own / "fd").mkdir(parents=True)
    (own / "fd" / "0").touch()
    columns = ["S", *["0"] * 10, "150", "50", *["0"] * 6, "1000", "4096", "2", "0"]
    (own / "stat").write_text(f"7 (a (b) c) {' '.join(columns)}\n")
    (own / "limits").write_text("Max open files            1024   4096   files\n")
    (tmp_path / "stat").write_text("btime 1700000000\n")
    process = read_own_process(tmp_path)
    assert (process.cpu_seconds, process.started_at) == (2.0, 1_700_000_010.0)
    assert (process.virtual_bytes, process.resident_bytes) == (4096, 8192)
    assert (process.open_files, process.open_files_max) == (1, 1024)


def test_the_process_that_asks_is_there() -> None:
    found = format_metrics(process_metrics(read_own_process()))
    names = {line.split()[0] for line in found.splitlines() if not line.startswith("#")}
    assert names >= {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
