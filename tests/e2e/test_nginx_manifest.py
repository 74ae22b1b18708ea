"""manifests/nginx.yaml: a bare Pod and a Deployment of three, on real containers."""

from __future__ import annotations

import re
import urllib.request
from typing import Any

import pytest

from tests.cluster import MANIFESTS, Cluster, docker, run, wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    """The four Ready Pods of the manifest."""
    cluster.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "nginx.yaml"))
    cluster.kubectl("rollout", "status", "-n", namespace, "deployment/web", "--timeout=90s")
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/nginx")
    items: list[dict[str, Any]] = cluster.get("-n", namespace, "pods")["items"]
    assert len(items) == 4
    return items


def fetch_title(ip: str) -> str:
    page = urllib.request.urlopen(f"http://{ip}/", timeout=10).read().decode()
    match = re.search("<title>(.*?)</title>", page)
    assert match, page
    return match[1]


def test_the_containers_of_a_pod_join_the_namespaces_of_its_pause_container(
    cluster: Cluster, pods: list[dict[str, Any]]
) -> None:
    for pod in pods:
        [pause] = cluster.containers(pod["metadata"]["name"], "POD")
        [nginx] = cluster.containers(pod["metadata"]["name"], "nginx")
        joined = f"container:{pause['Id']}"
        assert nginx["HostConfig"]["NetworkMode"] == joined
        assert nginx["HostConfig"]["IpcMode"] == joined
        assert nginx["HostConfig"]["PidMode"] == joined
        assert pod["status"]["containerStatuses"][0]["containerID"] == f"docker://{nginx['Id']}"


def test_every_pod_serves_the_page_on_an_address_of_its_own(pods: list[dict[str, Any]]) -> None:
    addresses = [pod["status"]["podIP"] for pod in pods]
    assert len(set(addresses)) == 4
    for address in addresses:
        assert "nginx" in fetch_title(address)


def test_a_pod_reaches_another_pod_and_the_outside(
    cluster: Cluster, namespace: str, pods: list[dict[str, Any]]
) -> None:
    other = next(pod for pod in pods if pod["metadata"]["name"] != "nginx")["status"]["podIP"]
    answer = cluster.kubectl("exec", "-n", namespace, "nginx", "--", "wget", "-q", "-O", "-", f"http://{other}/")
    assert "nginx" in answer.stdout
    # "The outside" without leaving this machine: the engine's bridge is beyond the Pod range, reached by its route.
    bridge = run(["ip", "-o", "-4", "address", "show", "docker0"]).stdout.split()[3].split("/")[0]
    answer = cluster.kubectl("exec", "-n", namespace, "nginx", "--", "ping", "-c", "1", "-W", "5", bridge)
    assert " 0% packet loss" in answer.stdout


def test_the_outside_sees_the_nodes_address_not_the_pods(cluster: Cluster, namespace: str, pods: list[Any]) -> None:
    """Masquerade: a container on the engine's bridge, which knows no route to Pods, answers to the host."""
    server = docker("run", "-d", "--label", f"io.podling.test={cluster.name}", "nginx")
    try:
        address = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", server)
        fetch = ("exec", "-n", namespace, "nginx", "--", "wget", "-q", "-O", "-", f"http://{address}/")
        wait_for(lambda: "nginx" in cluster.kubectl(*fetch, check=False).stdout, "it serves its page")
        assert not any(pod["status"]["podIP"] in docker("logs", server) for pod in pods)
    finally:
        docker("rm", "-f", server)


def test_pods_look_outside_as_kubectl_shows_them(cluster: Cluster, namespace: str, pods: list[Any]) -> None:
    lines = cluster.kubectl("get", "-n", namespace, "pods", "-o", "wide").stdout.splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED", "NODE",
                                "READINESS", "GATES"]  # fmt: skip
    for pod in pods:
        row = next(line.split() for line in lines if line.startswith(pod["metadata"]["name"] + " "))
        assert row[1:4] == ["1/1", "Running", "0"]
        assert row[5] == pod["status"]["podIP"]
