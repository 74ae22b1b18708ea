"""A cluster comes, survives whatever happens to its processes, and goes without a trace."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import MANIFESTS, Cluster, is_alive, wait_for
from tests.host_snapshot import difference, take_first_snapshot, take_snapshot

pytestmark = [pytest.mark.docker, pytest.mark.alone]


@pytest.fixture
def own_cluster(tmp_path: Any) -> Iterator[Cluster]:
    """A cluster of the test's own, not yet up."""
    made = Cluster(tmp_path)
    yield made
    made.delete()


def processes(cluster: Cluster) -> dict[str, int]:
    """Process ids by name, from the supervisor's own status."""
    lines = cluster.podling("status", check=False).stdout.splitlines()
    return {line.split()[0]: int(line.split("pid ")[1].split(",")[0]) for line in lines if ", pid" in line}


def running_containers(cluster: Cluster, pod: str) -> set[str]:
    return {item["Id"] for item in cluster.containers(pod)}


def apply_nginx(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", str(MANIFESTS / "nginx.yaml"))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    cluster.wait("--for=condition=Ready", "pod/nginx")


def test_up_and_delete_leave_the_host_as_it_was(own_cluster: Cluster) -> None:
    before = take_first_snapshot(own_cluster.directory)
    own_cluster.up()
    apply_nginx(own_cluster)
    own_cluster.kubectl("apply", "-f", str(MANIFESTS / "shared-localhost.yaml"))
    own_cluster.wait("--for=condition=Ready", "pod/shared-localhost")
    own_cluster.delete()
    changes = difference(before, take_snapshot(own_cluster.directory))
    # The tools keep caches in HOME, and the kubeconfig file stays, without our entries.
    changes["files"] = [line for line in changes.get("files", []) if "/.kube" not in line and "kubeconfig" not in line]
    assert changes == {"files": []}


def test_up_again_is_idempotent(own_cluster: Cluster) -> None:
    own_cluster.up()
    first = processes(own_cluster)
    own_cluster.up()
    assert processes(own_cluster) == first


def test_state_survives_down_and_up(own_cluster: Cluster) -> None:
    own_cluster.up()
    apply_nginx(own_cluster)
    own_cluster.kubectl("create", "configmap", "kept", "--from-literal=colour=red")
    uid = own_cluster.get("pod", "nginx")["metadata"]["uid"]
    own_cluster.podling("down")
    assert running_containers(own_cluster, "nginx") == set()
    own_cluster.up()
    assert own_cluster.get("configmap", "kept")["data"] == {"colour": "red"}
    own_cluster.wait("--for=condition=Ready", "pod/nginx")
    wait_for(lambda: running_containers(own_cluster, "nginx"), "nginx runs again")
    assert own_cluster.get("pod", "nginx")["metadata"]["uid"] == uid


@pytest.mark.parametrize("victims", [("control",), ("agent",), ("control", "agent")], ids="+".join)
def test_killed_processes_come_back_and_no_container_restarts(own_cluster: Cluster, victims: tuple[str, ...]) -> None:
    own_cluster.up()
    apply_nginx(own_cluster)
    containers = running_containers(own_cluster, "nginx")
    before = processes(own_cluster)
    own_cluster.kubectl("create", "configmap", "acknowledged")
    for name, pid in before.items():
        if name.startswith(victims):
            os.kill(pid, signal.SIGKILL)

    def recovered() -> bool:
        after = processes(own_cluster)
        return after.keys() == before.keys() and all(
            after[name] != before[name] for name in before if name.startswith(victims)
        )

    wait_for(recovered, "the killed processes run again")
    own_cluster.up()
    assert own_cluster.get("configmap", "acknowledged")
    own_cluster.kubectl("scale", "deployment", "web", "--replicas=4")
    own_cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    assert running_containers(own_cluster, "nginx") == containers
    assert own_cluster.get("pod", "nginx")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_killed_supervisor_leaves_pods_running_and_up_repairs(own_cluster: Cluster) -> None:
    own_cluster.up()
    apply_nginx(own_cluster)
    containers = running_containers(own_cluster, "nginx")
    supervisor = int((own_cluster.state / "supervisor.lock").read_text())
    children = processes(own_cluster)
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not any(is_alive(pid) for pid in children.values()), "its processes end by themselves")
    assert running_containers(own_cluster, "nginx") == containers
    own_cluster.up()
    own_cluster.wait("--for=condition=Ready", "pod/nginx")
    assert running_containers(own_cluster, "nginx") == containers


def test_two_clusters_live_side_by_side(own_cluster: Cluster, tmp_path: Any) -> None:
    other = Cluster(tmp_path)
    try:
        own_cluster.up()
        other.up()
        contexts = own_cluster.kubectl("config", "get-contexts", "-o", "name").stdout.split()
        assert contexts == sorted((f"podling-{own_cluster.name}", f"podling-{other.name}"))
        configurations = [json.loads((item.state / "cluster.json").read_text()) for item in (own_cluster, other)]
        for key in ("port", "pod_cidr", "service_cidr"):
            assert configurations[0][key] != configurations[1][key]
        for item in (own_cluster, other):
            item.kubectl("config", "use-context", f"podling-{item.name}")
            item.kubectl("run", "pod", "--image=nginx", "--image-pull-policy=IfNotPresent")
            item.wait("--for=condition=Ready", "pod/pod")
    finally:
        other.delete()
    own_cluster.kubectl("config", "use-context", f"podling-{own_cluster.name}")
    assert own_cluster.get("pod", "pod")["status"]["phase"] == "Running"


def test_foreign_kubeconfig_entries_are_kept(own_cluster: Cluster) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "theirs",
        "clusters": [{"name": "theirs", "cluster": {"server": "https://192.0.2.1:6443"}}],
        "users": [{"name": "them", "user": {"token": "secret"}}],
        "contexts": [{"name": "theirs", "context": {"cluster": "theirs", "user": "them"}}],
    }
    path = own_cluster.directory / "kubeconfig"
    path.write_text(json.dumps(foreign))
    own_cluster.up()
    names = own_cluster.kubectl("config", "get-contexts", "-o", "name").stdout.split()
    assert names == [f"podling-{own_cluster.name}", "theirs"]
    own_cluster.delete()
    assert own_cluster.kubectl("config", "get-contexts", "-o", "name").stdout.split() == ["theirs"]
    assert "secret" in path.read_text()


def test_the_kubeconfig_can_be_printed(own_cluster: Cluster) -> None:
    own_cluster.up()
    printed = own_cluster.podling("kubeconfig", "--print").stdout
    (own_cluster.directory / "printed").write_text(printed)
    answer = own_cluster.kubectl(
        "--kubeconfig", str(own_cluster.directory / "printed"), "get", "namespaces", "-o", "name"
    )
    assert "namespace/default" in answer.stdout


def test_version_logs_and_node_list_answer(own_cluster: Cluster) -> None:
    own_cluster.up()
    assert "control" in own_cluster.podling("status").stdout
    assert "Ready" in own_cluster.podling("node", "list").stdout
    assert own_cluster.podling("logs", "control").stdout


def test_an_unknown_identity_is_unauthorized(own_cluster: Cluster) -> None:
    own_cluster.up("--nodes", "0")
    result = own_cluster.kubectl(
        "get", "pods", "--token", "nonsense", "--kubeconfig", _without_credentials(own_cluster), check=False
    )
    assert "error: You must be logged in to the server" in result.stderr
    assert "the server has asked for the client to provide credentials" in result.stderr


def _without_credentials(cluster: Cluster) -> str:
    configuration = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json").stdout)
    configuration["users"] = [{"name": item["name"], "user": {}} for item in configuration["users"]]
    path = cluster.directory / "anonymous"
    path.write_text(json.dumps(configuration))
    return str(path)


def test_a_dead_node_comes_back(own_cluster: Cluster) -> None:
    own_cluster.up()
    apply_nginx(own_cluster)
    node = f"{own_cluster.name}-node-1"
    own_cluster.podling("node", "kill", node)
    own_cluster.wait("--for=condition=Ready=Unknown", f"node/{node}")
    assert running_containers(own_cluster, "nginx") == set()
    own_cluster.podling("node", "start", node)
    own_cluster.wait("--for=condition=Ready", f"node/{node}")
    own_cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
