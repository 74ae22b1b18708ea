"""Every part a process of its own: scheduler and controllers beside the API server, and a node that joined by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control.auth.pki import CertificateAuthority, KeyPair
from control.client.kubeconfig import Access, merge_context
from tests.cluster import Cluster, run, wait_for
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
    cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=150)


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
    assert len(cluster.get("pods", "-l", "app=web")["items"]) == 4
    for lease, candidates, dead in (
        ("kube-scheduler", schedulers, leaders[0]),
        ("kube-controller-manager", managers, leaders[1]),
    ):
        (standby,) = (item for item in candidates if item is not dead)
        assert holder_of(cluster, lease) == standby.identity
    cluster.kubectl("delete", "deployment/web", "--cascade=foreground", "--wait=true")
    assert cluster.get("pods", "-l", "app=web")["items"] == []


def write_node_kubeconfig(cluster: Cluster, name: str) -> Path:
    """A kubeconfig with a certificate for a node, as an administrator of any cluster makes it."""
    pki = cluster.state / "pki"
    authority = CertificateAuthority(KeyPair((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes()))
    pair = authority.issue_client(f"system:node:{name}", ("system:nodes",), now=datetime.now(UTC))
    config = json.loads((cluster.state / "cluster.json").read_text())
    access = Access(
        server=f"https://127.0.0.1:{config['port']}",
        ca_pem=authority.certificate_pem.decode(),
        client_certificate_pem=pair.certificate_pem.decode(),
        client_key_pem=pair.key_pem.decode(),
    )
    path = cluster.directory / f"{name}.kubeconfig"
    merge_context(path, f"podling-{cluster.name}", access)
    return path


@pytest.fixture
def joined(parts: tuple[Cluster, list[PartProcess]]) -> Iterator[Cluster]:
    """A second node, whose agent was told its kubeconfig and its name alone."""
    cluster, _ = parts
    command = [sys.executable, "-m", "agent", "run", "--node-name", JOINED]
    command += ["--kubeconfig", str(write_node_kubeconfig(cluster, JOINED))]
    with (cluster.directory / "joined.log").open("wb") as log:
        agent = subprocess.Popen(command, env=cluster.env, stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_for(lambda: cluster.kubectl("get", "node", JOINED, check=False).returncode == 0, "the node has registered")
        cluster.wait("--for=condition=Ready", f"node/{JOINED}")
        yield cluster
    finally:
        agent.terminate()
        agent.wait()
        agents = cluster.directory / "data" / "agents" / cluster.name
        cleanup = ["cleanup", "--cluster", cluster.name, "--node-name", JOINED, "--state-dir", str(agents)]
        run([sys.executable, "-m", "agent", *cleanup], env=cluster.env)


def test_a_node_that_joined_by_hand_runs_pods_and_serves_their_streams(joined: Cluster) -> None:
    overrides = {"spec": {"nodeSelector": {"kubernetes.io/hostname": JOINED}}}
    joined.kubectl(
        "run", "there", "--image=nginx", "--image-pull-policy=IfNotPresent", "--overrides", json.dumps(overrides)
    )
    joined.wait("--for=condition=Ready", "pod/there")
    assert joined.get("pod", "there")["spec"]["nodeName"] == JOINED
    assert len(joined.containers("there", "there")) == 1
    assert "start worker process" in joined.kubectl("logs", "there").stdout
    assert joined.kubectl("exec", "there", "--", "cat", "/etc/hostname").stdout == "there\n"
    token = joined.kubectl("exec", "there", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token").stdout
    assert token.count(".") == 2
    joined.kubectl("delete", "pod/there", "--wait=true")


def test_a_second_agent_of_a_node_is_refused_with_another_directory_too(joined: Cluster) -> None:
    command = [sys.executable, "-m", "agent", "run", "--node-name", JOINED, "--state-dir", str(joined.directory / "x")]
    command += ["--kubeconfig", str(joined.directory / f"{JOINED}.kubeconfig")]
    second = run(command, env=joined.env, check=False)
    assert second.returncode == 1
    assert second.stderr.splitlines() == [
        f"another agent runs node {JOINED} of cluster {joined.name!r} on this host, with another --state-dir"
    ]
    joined.wait("--for=condition=Ready", f"node/{JOINED}")
