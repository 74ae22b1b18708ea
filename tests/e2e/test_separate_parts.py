"""Every part a process of its own: scheduler and controllers beside the API server, and a node that joined by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, run, wait_for
from tests.joined_node import joined_node
from tests.part_process import PartProcess, holder_of, wait_for_leader

pytestmark = pytest.mark.docker

JOINED = "joined"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, list[PartProcess]]]:
    """A cluster of one node without scheduler and controllers, and two processes of each beside it."""
    cluster = Cluster(tmp_path_factory.mktemp("parts"))
    started: list[PartProcess] = []
    try:
        cluster.up("--no-scheduler", "--no-controllers", "--no-node-verification")
        pod_cidr = json.loads((cluster.state / "cluster.json").read_text())["pod_cidr"]
        started += [PartProcess(cluster, "scheduler") for _ in range(2)]
        started += [PartProcess(cluster, "controllers", "--cluster-cidr", pod_cidr) for _ in range(2)]
        cluster.wait("--for=condition=Ready", "node", "--all")
        yield cluster, started
    finally:
        for item in started:
            item.terminate()
        cluster.delete()


def wait_rolled_out(cluster: Cluster, name: str) -> None:
    cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=180s")


def test_a_deployment_is_ready_and_scaled_by_the_standbys_when_both_leaders_are_killed(
    parts: tuple[Cluster, list[PartProcess]],
) -> None:
    cluster, started = parts
    cluster.kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    cluster.kubectl(
        "patch", "deployment", "web", "-p",
        '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","imagePullPolicy":"IfNotPresent"}]}}}}',
    )  # fmt: skip
    wait_rolled_out(cluster, "web")
    schedulers, managers = started[:2], started[2:]
    leaders = [
        wait_for_leader(cluster, "kube-scheduler", schedulers),
        wait_for_leader(cluster, "kube-controller-manager", managers),
    ]
    for leader in leaders:
        leader.kill()
    cluster.kubectl("scale", "deployment/web", "--replicas=4")
    wait_rolled_out(cluster, "web")
    # Those of the first rollout may still be ending.
    wait_for(lambda: len(cluster.get("pods", "-l", "app=web")["items"]) == 4, "there are as many Pods")
    for lease, candidates, dead in (
        ("kube-scheduler", schedulers, leaders[0]),
        ("kube-controller-manager", managers, leaders[1]),
    ):
        (standby,) = (item for item in candidates if item is not dead)
        assert holder_of(cluster, lease) == standby.identity
    cluster.kubectl("delete", "deployment/web", "--cascade=foreground", "--wait=true")
    assert cluster.get("pods", "-l", "app=web")["items"] == []


@pytest.fixture
def joined(parts: tuple[Cluster, list[PartProcess]]) -> Iterator[tuple[Cluster, Path]]:
    """A second node, whose agent was told its kubeconfig and its name alone; with that kubeconfig."""
    with joined_node(parts[0], JOINED) as kubeconfig:
        yield parts[0], kubeconfig


def test_a_node_that_joined_by_hand_runs_pods_and_serves_their_streams(joined: tuple[Cluster, Path]) -> None:
    cluster, _ = joined
    overrides = {"spec": {"nodeSelector": {"kubernetes.io/hostname": JOINED}}}
    cluster.kubectl(
        "run", "there", "--image=nginx", "--image-pull-policy=IfNotPresent", "--overrides", json.dumps(overrides)
    )
    cluster.wait("--for=condition=Ready", "pod/there")
    assert cluster.get("pod", "there")["spec"]["nodeName"] == JOINED
    assert len(cluster.containers("there", "there")) == 1
    wait_for(lambda: "start worker process" in cluster.kubectl("logs", "there").stdout, "the server has started")
    assert cluster.kubectl("exec", "there", "--", "cat", "/etc/hostname").stdout == "there\n"
    token = cluster.kubectl("exec", "there", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token").stdout
    assert token.count(".") == 2
    cluster.kubectl("delete", "pod/there", "--wait=true")


def test_a_second_agent_of_a_node_is_refused_with_another_directory_too(joined: tuple[Cluster, Path]) -> None:
    cluster, kubeconfig = joined
    command = [sys.executable, "-m", "agent", "run", "--node-name", JOINED, "--state-dir", str(cluster.directory / "x")]
    command += ["--kubeconfig", str(kubeconfig)]
    second = run(command, env=cluster.env, check=False)
    assert second.returncode == 1
    assert second.stderr.splitlines() == [
        f"another agent runs node {JOINED} of cluster {cluster.name!r} on this host, with another --state-dir"
    ]
    cluster.wait("--for=condition=Ready", f"node/{JOINED}")
