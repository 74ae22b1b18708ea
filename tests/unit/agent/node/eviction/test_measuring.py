"""What Pods use: from the engine's samples and from the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.node.eviction.measuring import UseMeasuring
from agent.node.eviction.pod_usage import NO_FILES, ContainerUse, FileUsage, PodUse
from agent.node.file_usage import measure_directory
from agent.pods.container_cache import ContainerCache
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.identity import container_labels, container_name
from agent.runtime.protocol import ContainerRecord
from control.api.clock import FakeClock
from control.api.objects import ReadOnlyObject
from tests.fakes.agent_node import OWNER, make_pod

MIB = 1 << 20
LOG = FileUsage(used_bytes=5, inodes=1)
POD = make_pod(volumes=[{"name": "here", "emptyDir": {}}, {"name": "not-yet", "emptyDir": {}}])


class Engine(FakeRuntime):
    """Samples and sizes of the test's own."""

    layer = ""

    async def stats(self, container_id: str) -> Mapping[str, Any]:
        memory = {"usage": 30 * MIB, "stats": {"total_inactive_file": 10 * MIB}}
        return {"memory_stats": memory, "pids_stats": {"current": 7}}

    async def inspect_container(self, container_id: str, *, with_size: bool = False) -> ContainerRecord:
        record = await super().inspect_container(container_id, with_size=with_size)
        return replace(record, writable_layer=self.layer, written_bytes=999 if with_size else 0)


class Disk:
    """A host whose logs all have one size."""

    def measure_directory(self, directory: str) -> FileUsage:
        return measure_directory(directory)

    def measure_log(self, log_path: str) -> FileUsage:
        return LOG


async def measuring_of(engine: Engine, directories: Mapping[str, Path]) -> UseMeasuring:
    """A Pod with one running container on the engine."""
    engine.add_image("web:1")
    labels = container_labels(OWNER, POD, POD["spec"]["containers"][0], attempt=0, sandbox_id="")
    container_id = await engine.create_container(container_name(POD, "web", 0), {"Image": "web:1", "Labels": labels})
    await engine.start_container(container_id)
    cache = ContainerCache(engine, OWNER, engine.clock)
    await cache.refresh(container_id)

    def local_directories(pod: ReadOnlyObject) -> Mapping[str, Path]:
        return directories

    return UseMeasuring(
        runtime=engine, cache=cache, local_directories=local_directories, files=Disk(), clock=engine.clock
    )


async def test_memory_processes_layer_log_and_volumes_are_measured(tmp_path: Path) -> None:
    engine = Engine(FakeClock())
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "file").write_bytes(b"x" * MIB)
    (tmp_path / "volume").mkdir()
    engine.layer = str(tmp_path / "layer")
    measuring = await measuring_of(engine, {"here": tmp_path / "volume", "not-yet": tmp_path / "none"})
    layer = measure_directory(engine.layer)
    files = layer.plus(LOG)
    volumes = {"here": measure_directory(str(tmp_path / "volume")), "not-yet": NO_FILES}
    assert await measuring.measure_all([POD]) == {
        "uid-of-web": PodUse(
            containers={"web": ContainerUse(memory_bytes=20 * MIB, processes=7, files=files, layer=layer)},
            volumes=volumes,
        )
    }
    assert await measuring.measure_files([POD]) == {
        "uid-of-web": PodUse(containers={"web": ContainerUse(files=files, layer=layer)}, volumes=volumes)
    }


@pytest.mark.parametrize("layer", ["", "/somewhere/on/the/engine's/own/machine"])
async def test_the_engine_says_what_was_written_where_its_files_are_out_of_reach(layer: str) -> None:
    engine = Engine(FakeClock())
    engine.layer = layer
    measuring = await measuring_of(engine, {})
    use = (await measuring.measure_files([POD]))["uid-of-web"]
    assert use.container_files == FileUsage(used_bytes=999).plus(LOG)


async def test_memory_of_pods_together_is_that_of_what_runs() -> None:
    engine = Engine(FakeClock())
    measuring = await measuring_of(engine, {})
    assert await measuring.memory_bytes([POD, make_pod("other")]) == 20 * MIB


async def test_a_pod_without_containers_uses_nothing() -> None:
    measuring = await measuring_of(Engine(FakeClock()), {})
    assert await measuring.measure_all([make_pod("other")]) == {"uid-of-other": PodUse()}
