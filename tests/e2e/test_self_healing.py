"""What breaks is healed: containers, sandboxes, Pods, Deployments."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from typing import Any

import pytest

from tests.cluster import MANIFESTS, Cluster, docker, wait_for
from tests.e2e.test_failing_pods import wait_for_event

pytestmark = pytest.mark.docker


@pytest.fixture
def healing(cluster: Cluster, namespace: str) -> str:
    """The namespace with manifests/self-healing.yaml applied and its steady parts Ready."""
    cluster.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "self-healing.yaml"))
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/steady")
    cluster.kubectl("rollout", "status", "-n", namespace, "deployment/healing", "--timeout=120s")
    return namespace


def container_status(cluster: Cluster, namespace: str, pod: str) -> dict[str, Any]:
    status: dict[str, Any] = cluster.get("-n", namespace, "pod", pod)["status"]["containerStatuses"][0]
    return status


def wait_ready_with(cluster: Cluster, namespace: str, pod: str, *, restarts: int) -> dict[str, Any]:
    def healed() -> dict[str, Any] | None:
        status = container_status(cluster, namespace, pod)
        return status if status["ready"] and status["restartCount"] == restarts else None

    found: dict[str, Any] = wait_for(healed, f"{pod} is Ready after {restarts} restarts")
    return found


def test_a_killed_process_is_replaced_by_the_next_attempt(cluster: Cluster, healing: str) -> None:
    [old] = cluster.containers("steady", "nginx")
    os.kill(old["State"]["Pid"], signal.SIGKILL)
    status = wait_ready_with(cluster, healing, "steady", restarts=1)
    [new] = cluster.containers("steady", "nginx")
    assert new["Id"] != old["Id"]
    assert new["Config"]["Labels"]["io.podling.attempt"] == "1"
    assert new["Name"].endswith("_1")
    assert status["lastState"]["terminated"]["exitCode"] == 137
    assert status["containerID"] == f"docker://{new['Id']}"
    previous = cluster.kubectl("logs", "-n", healing, "steady", "--previous")
    assert previous.returncode == 0


def test_a_killed_pause_container_rebuilds_the_sandbox(cluster: Cluster, healing: str) -> None:
    [old_pause] = cluster.containers("steady", "POD")
    [old_nginx] = cluster.containers("steady", "nginx")
    docker("kill", old_pause["Id"])
    wait_ready_with(cluster, healing, "steady", restarts=1)
    [new_pause] = cluster.containers("steady", "POD")
    [new_nginx] = cluster.containers("steady", "nginx")
    assert new_pause["Id"] != old_pause["Id"]
    assert new_pause["Name"].endswith("_1")
    assert new_nginx["HostConfig"]["NetworkMode"] == f"container:{new_pause['Id']}"
    assert new_nginx["Id"] != old_nginx["Id"]


def test_a_pod_whose_containers_are_all_removed_is_rebuilt(cluster: Cluster, healing: str) -> None:
    removed = {item["Id"] for item in cluster.containers("steady", everything=True)}
    # The node may be removing one of them already, which the command takes for a failure.
    docker("rm", "-f", *removed, check=False)

    def is_rebuilt() -> bool:
        running = {item["Id"] for item in cluster.containers("steady", "nginx")}
        present = {item["Id"] for item in cluster.containers("steady", everything=True)}
        return bool(running - removed) and not present & removed

    wait_for(is_rebuilt, "the Pod is rebuilt")
    wait_for(lambda: container_status(cluster, healing, "steady")["ready"], "the Pod is Ready")
    assert cluster.get("-n", healing, "pod", "steady")["status"]["phase"] == "Running"


def test_a_deleted_pod_of_a_deployment_is_replaced(cluster: Cluster, healing: str) -> None:
    before = {pod["metadata"]["uid"] for pod in cluster.get("-n", healing, "pods", "-l", "app=healing")["items"]}
    cluster.kubectl("delete", "-n", healing, "pods", "-l", "app=healing")

    def replaced() -> bool:
        after = {pod["metadata"]["uid"] for pod in cluster.get("-n", healing, "pods", "-l", "app=healing")["items"]}
        return len(after) == 2 and not before & after

    wait_for(replaced, "two others are there")
    cluster.kubectl("rollout", "status", "-n", healing, "deployment/healing", "--timeout=120s")


def test_a_container_that_ends_by_itself_backs_off_visibly(cluster: Cluster, healing: str) -> None:
    def backing_off() -> Any:
        status = container_status(cluster, healing, "fragile")
        waiting = status["state"].get("waiting", {})
        return status if waiting.get("reason") == "CrashLoopBackOff" else None

    status = wait_for(backing_off, "fragile is in CrashLoopBackOff")
    assert status["state"]["waiting"]["message"].startswith(
        "back-off 10s restarting failed container=worker pod=fragile"
    )
    assert status["lastState"]["terminated"]["exitCode"] == 7
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert "CrashLoopBackOff" in cluster.kubectl("get", "-n", healing, "pod", "fragile").stdout
    told = "BackOff: Back-off restarting failed container worker in pod fragile"
    assert wait_for_event(cluster, healing, "fragile", told) == "Warning"
    assert "working" in cluster.kubectl("logs", "-n", healing, "fragile").stdout


def test_a_new_image_rolls_out_within_its_bounds(cluster: Cluster, namespace: str) -> None:
    """With maxSurge 1 and maxUnavailable 0: never fewer than 3 Ready, never more than 4 Pods."""
    docker("tag", "nginx:latest", f"podling-test/nginx:{cluster.name}")
    try:
        cluster.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "nginx.yaml"))
        strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        cluster.kubectl(
            "patch", "-n", namespace, "deployment", "web", "-p", json.dumps({"spec": {"strategy": strategy}})
        )
        cluster.kubectl("rollout", "status", "-n", namespace, "deployment/web", "--timeout=120s")
        watch = subprocess.Popen(
            ["kubectl", "get", "-n", namespace, "deployment", "web", "--watch", "-o", "json"],
            env=cluster.env, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert watch.stdout
        select.select([watch.stdout], [], [])  # it shows the Deployment as it is before anything changes
        image = f"podling-test/nginx:{cluster.name}"
        cluster.kubectl("set", "image", "-n", namespace, "deployment/web", f"nginx={image}")
        cluster.kubectl("rollout", "status", "-n", namespace, "deployment/web", "--timeout=120s")
        watch.terminate()
        output, _ = watch.communicate()
        seen = list(decode_stream(output))
        assert len(seen) > 3
        for deployment in seen:
            assert deployment["status"].get("readyReplicas", 0) >= 3
            assert deployment["status"].get("replicas", 0) <= 4
        pods = cluster.get("-n", namespace, "pods", "-l", "app=web")["items"]
        for pod in (item for item in pods if "deletionTimestamp" not in item["metadata"]):
            assert pod["spec"]["containers"][0]["image"] == image
        history = cluster.kubectl("rollout", "history", "-n", namespace, "deployment/web").stdout
        assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    finally:
        docker("rmi", f"podling-test/nginx:{cluster.name}")


def decode_stream(text: str) -> Any:
    """JSON documents that follow one another; a cut last one is left out."""
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        try:
            value, end = decoder.raw_decode(text, position)
        except ValueError:
            return
        yield value
        position = end
        while position < len(text) and text[position].isspace():
            position += 1
