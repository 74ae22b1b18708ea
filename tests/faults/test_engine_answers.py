"""The engine answers 500, carries calls out and loses the answer, or drops its events: Pods run, once each.

The seed decides which calls fail; it is printed, and PODLING_FAULT_SEED sets it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, docker, wait_for
from tests.faults.cluster_on_engine import ClusterOnEngine
from tests.faults.engine_proxy import EngineProxy, exactly, sometimes

pytestmark = pytest.mark.docker

POD_UID, CONTAINER_NAME = "io.kubernetes.pod.uid", "io.kubernetes.container.name"
CREATE, START = "/containers/create", "/containers/[^/]+/start"
FAILING_SHARE = 0.2


@pytest.fixture(scope="module")
def proxy() -> Iterator[EngineProxy]:
    """The way to the engine."""
    with tempfile.TemporaryDirectory(prefix="podling-proxy-") as directory:
        made = EngineProxy(Path(directory))
        yield made
        made.close()


@pytest.fixture(scope="module")
def proxied(proxy: EngineProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that goes that way, with a Pod that nothing may disturb."""
    made = ClusterOnEngine(tmp_path_factory.mktemp("proxied"), host=proxy.host)
    try:
        made.up()
        run_pod(made, "steady")
        made.wait("--for=condition=Ready", "pod/steady")
        yield made
    finally:
        proxy.behave()
        made.delete()


@pytest.fixture(autouse=True)
def behaving(proxy: EngineProxy) -> Iterator[None]:
    """Every test begins and ends with an engine that works."""
    yield
    proxy.behave()
    proxy.refused.clear()
    proxy.forgotten.clear()


def pod_spec(**more: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "36000"]}
    return {"terminationGracePeriodSeconds": 0, "containers": [{**container, **more}]}


def run_pod(cluster: Cluster, name: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec()}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))


def containers(cluster: Cluster) -> list[dict[str, Any]]:
    ids = docker("ps", "-aq", "--no-trunc", "--filter", f"label=io.podling.cluster={cluster.name}").split()
    return json.loads(docker("inspect", *ids, check=False)) if ids else []


def steady_ids(cluster: Cluster) -> set[str]:
    found = {item["Id"] for item in containers(cluster) if "_steady_" in item["Name"] and item["State"]["Running"]}
    assert len(found) == 2
    return found


def is_orderly(cluster: Cluster) -> bool:
    """Whether every Pod is Ready and runs exactly once, and no container belongs to no Pod."""
    pods = {pod["metadata"]["uid"]: pod for pod in cluster.get("pods")["items"]}
    found = containers(cluster)
    owners = [(item["Config"]["Labels"][POD_UID], item["Config"]["Labels"][CONTAINER_NAME]) for item in found]
    running = Counter(owner for owner, item in zip(owners, found, strict=True) if item["State"]["Running"])
    statuses = [item for pod in pods.values() for item in pod["status"].get("containerStatuses", [{"ready": False}])]
    return (
        all(item["ready"] for item in statuses)
        and all(uid in pods for uid, _ in owners)
        and running == Counter((uid, name) for uid in pods for name in ("POD", "main"))
    )


def test_a_refused_call_is_told_and_tried_again(proxied: Cluster, proxy: EngineProxy) -> None:
    before = steady_ids(proxied)
    proxy.refuses = lambda method, path: path == CREATE
    run_pod(proxied, "unlucky")
    events = ("events", "--field-selector", "involvedObject.name=unlucky,type=Warning")
    told = "Failed to create pod sandbox: no luck today"
    wait_for(lambda: told in proxied.kubectl("get", *events).stdout, "an Event tells why")
    proxy.behave()
    proxied.wait("--for=condition=Ready", "pod/unlucky")
    wait_for(lambda: is_orderly(proxied), "every Pod runs once", seconds_max=240)
    assert steady_ids(proxied) == before


@pytest.mark.parametrize(("path", "name", "times"), [(CREATE, "created", 3), (START, "started", 2)])
def test_a_call_that_failed_but_happened_is_made_good(
    proxied: Cluster, proxy: EngineProxy, path: str, name: str, times: int
) -> None:
    """Both containers of the Pod: the sandbox and the one that joins it."""
    before = steady_ids(proxied)
    proxy.forgets = exactly("POST", path, times)
    run_pod(proxied, name)
    proxied.wait("--for=condition=Ready", f"pod/{name}")
    assert len(proxy.forgotten) == times
    wait_for(lambda: is_orderly(proxied), "every Pod runs once")
    assert proxied.get("pod", name)["status"]["containerStatuses"][0]["restartCount"] == 0
    assert steady_ids(proxied) == before


def test_a_death_while_events_are_lost_is_seen(proxied: Cluster, proxy: EngineProxy) -> None:
    run_pod(proxied, "mortal")
    proxied.wait("--for=condition=Ready", "pod/mortal")
    before = steady_ids(proxied)
    proxy.refuses = lambda method, path: path == "/events"
    wait_for(lambda: proxy.open_streams() == 2, "events of containers and of images are followed")
    proxy.cut_events()
    [container] = proxied.containers("mortal", "main")
    os.kill(container["State"]["Pid"], signal.SIGKILL)
    wait_for(lambda: proxy.refused.count("GET /events") >= 2, "the agent asks for events in vain")
    proxy.behave()
    status = wait_for(lambda: restarted(proxied, "mortal"), "it is restarted")
    assert status["restartCount"] == 1
    wait_for(lambda: is_orderly(proxied), "every Pod runs once", seconds_max=240)
    assert steady_ids(proxied) == before


def restarted(cluster: Cluster, pod: str) -> dict[str, Any] | None:
    [status] = cluster.get("pod", pod)["status"]["containerStatuses"]
    return status if status["ready"] and status["restartCount"] else None


def wait_rolled_out(cluster: Cluster) -> None:
    """Every failed call may cost a back-off, and several of them in a row one that has grown."""
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=400s", timeout=460)


@pytest.mark.timeout(1200)
def test_a_rollout_converges_while_calls_fail_at_random(proxied: Cluster, proxy: EngineProxy) -> None:
    seed = int(os.environ.get("PODLING_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"PODLING_FAULT_SEED={seed}")
    before = steady_ids(proxied)
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod_spec()}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    proxy.refuses = sometimes(FAILING_SHARE / 2, random.Random(seed))
    proxy.forgets = sometimes(FAILING_SHARE / 2, random.Random(seed + 1))
    proxied.kubectl("apply", "-f", "-", stdin=json.dumps(deployment))
    wait_rolled_out(proxied)
    change = {"spec": {"template": {"spec": pod_spec(env=[{"name": "ROUND", "value": "2"}])}}}
    proxied.kubectl("patch", "deployment", "web", "-p", json.dumps(change))
    wait_rolled_out(proxied)
    assert proxy.refused
    assert proxy.forgotten
    proxy.behave()
    wait_for(lambda: is_orderly(proxied), "every Pod runs once", seconds_max=240)
    assert steady_ids(proxied) == before
