"""The Docker Engine restarts, crashes, hangs, runs out of disk: the cluster waits, says so, and converges."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.identity import CONTAINER_NAME_LABEL, HOLDER_TYPE
from tests.cluster import Cluster, wait_for
from tests.faults.cluster_on_engine import ClusterOnEngine
from tests.faults.own_engine import OwnEngine

pytestmark = pytest.mark.docker

#: Long enough that the agent's periodic looks fall into it and calls of its run out of time.
HANG_SECONDS = 31.0
#: Held by a container that is none of the Pod's.
DOCKER_VOLUME = {"name": "v", "csi": {"driver": "docker.podling.io"}}


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    """An engine with the image busybox."""
    with tempfile.TemporaryDirectory(prefix="podling-engine-", ignore_cleanup_errors=True) as directory:
        made = OwnEngine(Path(directory))
        try:
            made.start()
            made.copy_image("busybox")
            yield made
        finally:
            made.delete()


@pytest.fixture(scope="module")
def moved(engine: OwnEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with two Pods on that engine, one of them with a volume of the engine's own."""
    made = ClusterOnEngine(tmp_path_factory.mktemp("moved"), host=engine.host)
    try:
        # A full disk is the engine's trouble here; what nodes do about one is shown elsewhere.
        made.up("--kubelet-arg", "eviction-hard=")
        run_pod(made, "one")
        run_pod(made, "two", volume=DOCKER_VOLUME)
        made.wait("--for=condition=Ready", "pod/one", "pod/two")
        yield made
    finally:
        made.delete()


def run_pod(cluster: Cluster, name: str, volume: dict[str, Any] | None = None) -> None:
    volumes = [] if volume is None else [volume]
    container = {
        "name": "main",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "36000"],
        "volumeMounts": [{"name": item["name"], "mountPath": "/volume"} for item in volumes],
    }
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container], "volumes": volumes}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))


def is_ready(pod: dict[str, Any]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", []))


def is_orderly(cluster: Cluster, engine: OwnEngine) -> bool:
    """Whether every Pod is Ready and runs exactly once, and nothing else does."""
    pods = cluster.get("pods")["items"]
    wanted = Counter((pod["metadata"]["uid"], name) for pod in pods for name in ("POD", "main"))
    wanted += Counter((pod["metadata"]["uid"], HOLDER_TYPE) for pod in pods if DOCKER_VOLUME in pod["spec"]["volumes"])
    labels = [item["Config"]["Labels"] for item in engine.containers()]
    running = Counter((one["io.kubernetes.pod.uid"], one.get(CONTAINER_NAME_LABEL, HOLDER_TYPE)) for one in labels)
    return running == wanted and all(map(is_ready, pods))


def running_ids(engine: OwnEngine) -> set[str]:
    return {item["Id"] for item in engine.containers()}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_pods_run_again_after_the_engine_came_back(moved: Cluster, engine: OwnEngine, end: str) -> None:
    uids = {pod["metadata"]["uid"] for pod in moved.get("pods")["items"]}
    getattr(engine, end)()
    engine.start()
    wait_for(lambda: is_orderly(moved, engine), "every Pod runs once", seconds_max=240)
    assert {pod["metadata"]["uid"] for pod in moved.get("pods")["items"]} == uids


def test_a_hang_of_the_engine_restarts_nothing_and_loses_no_order(moved: Cluster, engine: OwnEngine) -> None:
    before = running_ids(engine)
    engine.pause()
    try:
        run_pod(moved, "patient")
        moved.kubectl("delete", "pod", "two", "--wait=false")
        # Nothing may happen: how long that is watched is the test.
        pods = moved.kubectl("wait", "--for=condition=Ready", "pod/patient", f"--timeout={HANG_SECONDS}s", check=False)
        assert pods.returncode != 0
    finally:
        engine.resume()
    moved.wait("--for=delete", "pod/two")
    moved.wait("--for=condition=Ready", "pod/patient")
    wait_for(lambda: is_orderly(moved, engine), "every Pod runs once")
    kept = {item["Id"] for item in engine.containers("--filter", "label=io.kubernetes.pod.name=one")}
    assert len(kept) == 2
    assert kept <= before


def test_a_full_disk_of_the_engine_is_told_and_waited_for(moved: Cluster, engine: OwnEngine) -> None:
    before = running_ids(engine)
    engine.fill_disk()
    try:
        run_pod(moved, "hungry")
        events = ("events", "--field-selector", "involvedObject.name=hungry,type=Warning")
        wait_for(lambda: "no space left on device" in moved.kubectl("get", *events).stdout, "an Event tells why")
        assert not is_ready(moved.get("pod", "hungry"))
    finally:
        engine.free_disk()
    moved.wait("--for=condition=Ready", "pod/hungry")
    wait_for(lambda: is_orderly(moved, engine), "every Pod runs once")
    assert before <= running_ids(engine)
