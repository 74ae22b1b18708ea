"""Several nodes on one engine: addresses, spreading, cordon, taints, drain, a node's death, nodes that come and go."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, docker, run, wait_for
from tests.own_ports import fixed_port

pytestmark = pytest.mark.docker

NODES = 3
#: Long enough for a look at what a taint has left until then.
PATIENCE_SECONDS = 20


@pytest.fixture(scope="module")
def nodes_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of three nodes."""
    made = Cluster(tmp_path_factory.mktemp("nodes"))
    try:
        made.up("--nodes", str(NODES))
        yield made
    finally:
        made.delete()


@pytest.fixture
def space(nodes_cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own; before and afterwards every node takes Pods."""
    wait_for(lambda: not any(taints(node) for node in nodes_cluster.get("nodes")["items"]), "no node is tainted")
    name = f"test-{uuid.uuid4().hex[:8]}"
    nodes_cluster.kubectl("create", "namespace", name)
    yield name
    nodes_cluster.kubectl("delete", "namespace", name, "--wait=true")
    nodes_cluster.kubectl("uncordon", *node_names(nodes_cluster))
    for node in nodes_cluster.get("nodes")["items"]:
        for taint in taints(node):
            # Those of a node's conditions come and go by themselves.
            if "kubernetes.io/" not in taint["key"]:
                nodes_cluster.kubectl("taint", "node", node["metadata"]["name"], f"{taint['key']}:{taint['effect']}-")


def taints(node: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node["spec"].get("taints") or []
    return found


def node_names(cluster: Cluster) -> list[str]:
    return [node["metadata"]["name"] for node in cluster.get("nodes")["items"]]


def deployment(replicas: int, *, ports: Sequence[dict[str, int]] = (), **pod_spec: Any) -> str:
    container = {
        "name": "web",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "echo $HOSTNAME > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"],
        "ports": list(ports),
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **pod_spec},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})


def sleeper(name: str, node: str, **pod_spec: Any) -> str:
    """A Pod that sleeps, bound to the node by its creator."""
    container = {
        "name": "sleep",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "3600"],
    }
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0, **pod_spec}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def run_web(cluster: Cluster, space: str, replicas: int, **pod_spec: Any) -> list[dict[str, Any]]:
    cluster.kubectl("apply", "-n", space, "-f", "-", stdin=deployment(replicas, **pod_spec))
    cluster.kubectl("rollout", "status", "-n", space, "deployment/web", "--timeout=120s")
    return live_pods(cluster, space)


def live_pods(cluster: Cluster, space: str) -> list[dict[str, Any]]:
    pods = cluster.get("-n", space, "pods")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def ready_elsewhere(cluster: Cluster, space: str, node: str) -> list[dict[str, Any]]:
    return [pod for pod in live_pods(cluster, space) if pod["spec"].get("nodeName") != node and is_ready(pod)]


def is_ready(pod: dict[str, Any]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", []))


def is_unschedulable(pod: dict[str, Any]) -> bool:
    return any(item.get("reason") == "Unschedulable" for item in pod["status"].get("conditions", []))


def pod_node(pod: dict[str, Any]) -> str:
    return str(pod["spec"]["nodeName"])


def ready_status(cluster: Cluster, node: str) -> str:
    conditions = cluster.get("node", node)["status"]["conditions"]
    return str(next(item["status"] for item in conditions if item["type"] == "Ready"))


def listed(cluster: Cluster, node: str) -> list[str]:
    """The line of `podling node list`: name, readiness, what its agent does, port."""
    lines = [line.split("\t") for line in cluster.podling("node", "list").stdout.splitlines()]
    [line] = [line for line in lines if line[0] == node]
    return line


def agent_pid(cluster: Cluster, node: str) -> int:
    return int(listed(cluster, node)[2].removeprefix("agent pid "))


def kill_node(cluster: Cluster, node: str) -> None:
    """`podling node kill`; returns when the node's agent is dead."""
    pid = agent_pid(cluster, node)
    cluster.podling("node", "kill", node)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the agent is dead")


def own_containers(cluster: Cluster, *, node: str, everything: bool = True) -> list[str]:
    """Names of the containers of a node."""
    labels = ("--filter", f"label=io.podling.cluster={cluster.name}", "--filter", f"label=io.podling.node={node}")
    return docker("ps", *(["-a"] if everything else []), *labels, "--format", "{{.Names}}").split()


@pytest.mark.requirement("[sig-architecture] Conformance Tests should have at least two untainted nodes")
def test_every_node_has_an_address_a_range_and_a_port_of_its_own(nodes_cluster: Cluster, space: str) -> None:
    nodes = {node["metadata"]["name"]: node for node in nodes_cluster.get("nodes")["items"]}
    assert sorted(nodes) == [f"{nodes_cluster.name}-node-{number}" for number in (1, 2, 3)]
    assert not [taint for node in nodes.values() for taint in node["spec"].get("taints", ())]
    ranges = {name: ipaddress.IPv4Network(node["spec"]["podCIDR"]) for name, node in nodes.items()}
    addresses = {name: node["status"]["addresses"][0] for name, node in nodes.items()}
    assert {item["type"] for item in addresses.values()} == {"InternalIP"}
    assert {name: item["address"] for name, item in addresses.items()} == {
        name: str(network[1]) for name, network in ranges.items()
    }
    assert len(set(ranges.values())) == NODES
    assert len({node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] for node in nodes.values()}) == NODES
    for pod in run_web(nodes_cluster, space, 3):
        assert ipaddress.IPv4Address(pod["status"]["podIP"]) in ranges[pod_node(pod)]
        assert pod["status"]["hostIP"] == addresses[pod_node(pod)]["address"]


def test_pods_spread_and_every_node_serves_their_logs_and_commands(nodes_cluster: Cluster, space: str) -> None:
    pods = run_web(nodes_cluster, space, 6)
    assert Counter(map(pod_node, pods)) == dict.fromkeys(node_names(nodes_cluster), 2)
    by_node = {pod_node(pod): pod for pod in pods}
    first, *others = by_node.values()
    for other in others:
        url = f"http://{other['status']['podIP']}:8080/"
        name = first["metadata"]["name"]
        answer = nodes_cluster.kubectl("exec", "-n", space, name, "--", "wget", "-qO-", url).stdout.strip()
        assert answer == other["metadata"]["name"]
        assert nodes_cluster.kubectl("logs", "-n", space, other["metadata"]["name"]).returncode == 0


def fetch(address: str, port: int) -> str:
    """What the host gets from there; empty when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=10) as page:
            return str(page.read().decode().strip())
    except OSError:
        return ""


def test_every_node_has_the_host_port_and_the_first_the_hosts_loopback(nodes_cluster: Cluster, space: str) -> None:
    port = fixed_port(20_555)
    pods = run_web(nodes_cluster, space, 3, ports=[{"containerPort": 8080, "hostPort": port}])
    assert len(set(map(pod_node, pods))) == NODES
    for pod in pods:
        assert fetch(pod["status"]["hostIP"], port) == pod["metadata"]["name"]
    [first] = [pod["metadata"]["name"] for pod in pods if pod_node(pod) == f"{nodes_cluster.name}-node-1"]
    assert fetch("127.0.0.1", port) == first
    nodes_cluster.kubectl("scale", "-n", space, "deployment", "web", "--replicas=4")
    waiting = wait_for(lambda: [pod for pod in live_pods(nodes_cluster, space) if is_unschedulable(pod)], "one waits")
    assert len(waiting) == 1
    nodes_cluster.kubectl("delete", "-n", space, "deployment", "web", "--cascade=foreground")
    wait_for(lambda: not fetch("127.0.0.1", port), "the port leads nowhere")
    table = ("nft", "list", "map", "ip", f"podling-{nodes_cluster.name}", "host_ports")
    wait_for(lambda: "elements" not in run(table).stdout, "no node leads its port anywhere")


def test_a_clash_of_two_nodes_in_the_hosts_network_is_an_event(nodes_cluster: Cluster, space: str) -> None:
    port = fixed_port(20_556)
    for name, node in zip(("first", "second"), node_names(nodes_cluster), strict=False):
        pod = json.loads(sleeper(name, node, hostNetwork=True))
        [container] = pod["spec"]["containers"]
        container |= {"command": ["httpd", "-f", "-p", str(port)], "ports": [{"containerPort": port}]}
        nodes_cluster.kubectl("apply", "-n", space, "-f", "-", stdin=json.dumps(pod))
        if name == "first":
            nodes_cluster.wait("-n", space, "--for=condition=Ready", "pod/first")
            wait_for(lambda: listens(port), "it listens")
    events = ("-n", space, "events", "--field-selector", "reason=HostPortConflict")
    [event] = wait_for(lambda: nodes_cluster.get(*events)["items"], "an Event tells")
    assert event["involvedObject"]["name"] == "second"
    assert event["message"].startswith(f"host port {port}/TCP is in use on this host")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_cordoned_node_takes_no_new_pods_until_uncordoned(nodes_cluster: Cluster, space: str) -> None:
    closed, *others = node_names(nodes_cluster)
    nodes_cluster.kubectl("cordon", closed)
    assert "SchedulingDisabled" in nodes_cluster.kubectl("get", "node", closed).stdout
    assert {pod_node(pod) for pod in run_web(nodes_cluster, space, 4)} == set(others)
    nodes_cluster.kubectl("uncordon", closed)
    nodes_cluster.kubectl("scale", "-n", space, "deployment", "web", "--replicas=6")
    nodes_cluster.kubectl("rollout", "status", "-n", space, "deployment/web", "--timeout=120s")
    assert Counter(map(pod_node, live_pods(nodes_cluster, space)))[closed] == 2


def test_a_pod_waits_for_a_taint_it_does_not_tolerate(nodes_cluster: Cluster, space: str) -> None:
    names = node_names(nodes_cluster)
    nodes_cluster.kubectl("taint", "node", *names, "room=full:NoSchedule")
    nodes_cluster.kubectl("apply", "-n", space, "-f", "-", stdin=deployment(1))
    nodes_cluster.wait("-n", space, "--for=condition=PodScheduled=False", "pod", "-l", "app=web")
    [pod] = live_pods(nodes_cluster, space)
    [condition] = [item for item in pod["status"]["conditions"] if item["type"] == "PodScheduled"]
    assert condition["message"].startswith("0/3 nodes are available: 3 node(s) had untolerated taint(s).")
    nodes_cluster.kubectl("taint", "node", names[1], "room-")
    nodes_cluster.kubectl("rollout", "status", "-n", space, "deployment/web", "--timeout=120s")
    assert [pod_node(pod) for pod in live_pods(nodes_cluster, space)] == [names[1]]


def test_a_no_execute_taint_evicts_what_does_not_tolerate_it_or_no_longer(nodes_cluster: Cluster, space: str) -> None:
    node = node_names(nodes_cluster)[2]
    tolerations = {
        "intolerant": [],
        "patient": [
            {"key": "fire", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": PATIENCE_SECONDS}
        ],
        "immune": [{"key": "fire", "operator": "Exists"}],
    }
    for name, items in tolerations.items():
        nodes_cluster.kubectl("apply", "-n", space, "-f", "-", stdin=sleeper(name, node, tolerations=items))
    nodes_cluster.wait("-n", space, "--for=condition=Ready", *(f"pod/{name}" for name in tolerations))
    began = time.monotonic()
    nodes_cluster.kubectl("taint", "node", node, "fire=here:NoExecute")
    nodes_cluster.wait("-n", space, "--for=delete", "pod/intolerant")
    assert {pod["metadata"]["name"] for pod in live_pods(nodes_cluster, space)} == {"patient", "immune"}
    nodes_cluster.wait("-n", space, "--for=delete", "pod/patient")
    assert time.monotonic() - began >= PATIENCE_SECONDS
    assert is_ready(nodes_cluster.get("-n", space, "pod", "immune"))
    events = ("-n", space, "events", "--field-selector", "reason=TaintManagerEviction")

    def told() -> set[str]:
        return {item["involvedObject"]["name"] for item in nodes_cluster.get(*events)["items"]}

    wait_for(lambda: told() >= {"intolerant", "patient"}, "Events tell of both")
    assert told() == {"intolerant", "patient"}


def test_a_drained_node_is_empty_and_its_pods_run_elsewhere(nodes_cluster: Cluster, space: str) -> None:
    run_web(nodes_cluster, space, 6)
    node = node_names(nodes_cluster)[0]
    nodes_cluster.kubectl("apply", "-n", space, "-f", "-", stdin=sleeper("bare", node))
    nodes_cluster.wait("-n", space, "--for=condition=Ready", "pod/bare")
    refused = nodes_cluster.kubectl("drain", node, "--ignore-daemonsets", check=False)
    assert refused.returncode != 0
    assert "cannot delete" in refused.stderr
    nodes_cluster.kubectl("drain", node, "--ignore-daemonsets", "--force", "--timeout=120s")
    assert [pod for pod in nodes_cluster.get("-n", space, "pods")["items"] if pod_node(pod) == node] == []
    nodes_cluster.kubectl("rollout", "status", "-n", space, "deployment/web", "--timeout=120s")
    wait_for(lambda: len(ready_elsewhere(nodes_cluster, space, node)) == 6, "as many run elsewhere")
    # Those of Pods without a grace period go after their objects.
    wait_for(lambda: own_containers(nodes_cluster, node=node) == [], "nothing runs there")


def test_a_dead_node_is_made_good_and_runs_nothing_twice(nodes_cluster: Cluster, space: str) -> None:
    lost = node_names(nodes_cluster)[1]
    before = run_web(nodes_cluster, space, 6)
    left = {pod["metadata"]["uid"] for pod in before if pod_node(pod) == lost}
    kept = {pod["metadata"]["uid"]: pod["status"] for pod in before if pod_node(pod) != lost}
    assert left
    kill_node(nodes_cluster, lost)
    assert own_containers(nodes_cluster, node=lost, everything=False) == []
    wait_for(lambda: len(ready_elsewhere(nodes_cluster, space, lost)) == 6, "the lost Pods are Ready elsewhere")
    assert ready_status(nodes_cluster, lost) == "Unknown"
    assert "NotReady" in nodes_cluster.kubectl("get", "node", lost).stdout
    assert listed(nodes_cluster, lost)[1:3] == ["NotReady", "agent halted"]

    nodes_cluster.podling("node", "start", lost)
    nodes_cluster.wait("--for=condition=Ready", f"node/{lost}")
    wait_for(lambda: not own_containers(nodes_cluster, node=lost), "the returned node removed what it no longer owns")

    def all_pods() -> dict[str, dict[str, Any]]:
        return {pod["metadata"]["uid"]: pod for pod in nodes_cluster.get("-n", space, "pods")["items"]}

    wait_for(lambda: not left & all_pods().keys(), "its Pods have gone")
    pods = all_pods()
    assert len(pods) == 6
    # Nobody else's containers were touched.
    for uid, status in kept.items():
        assert pods[uid]["status"]["containerStatuses"] == status["containerStatuses"]
    wait_for(lambda: not taints(nodes_cluster.get("node", lost)), "its taints are gone")
    assert not nodes_cluster.get("node", lost)["spec"].get("unschedulable")


def test_a_node_that_is_shut_down_ends_its_pods_in_order_and_comes_back(nodes_cluster: Cluster, space: str) -> None:
    node = node_names(nodes_cluster)[2]
    # Nobody evicts them from the node that is not ready: what it said of them stays to be seen.
    seen = {"tolerations": [{"operator": "Exists"}]}
    stubborn = {
        **seen,
        "containers": [
            {"name": "sleep", "image": "busybox", "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]}
        ],
        "terminationGracePeriodSeconds": 60,
    }
    nodes_cluster.kubectl("apply", "-n", space, "-f", "-", stdin=sleeper("plain", node, **stubborn))
    critical = sleeper("critical", node, priorityClassName="system-node-critical", **seen)
    nodes_cluster.kubectl("apply", "-n", space, "-f", "-", stdin=critical)
    nodes_cluster.wait("-n", space, "--for=condition=Ready", "pod/plain", "pod/critical")
    nodes_cluster.podling("node", "stop", node, "--grace-period", "3", "--critical-grace-period", "1")
    assert own_containers(nodes_cluster, node=node, everything=False) == []
    assert listed(nodes_cluster, node)[1:3] == ["NotReady", "agent halted"]
    [ready] = [item for item in nodes_cluster.get("node", node)["status"]["conditions"] if item["type"] == "Ready"]
    # Some seconds later the node's silence says more than its last word did.
    assert ready["status"] == "Unknown" or ready["message"] == "node is shutting down"
    ended = {}
    for name in ("plain", "critical"):
        status = nodes_cluster.get("-n", space, "pod", name)["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "Terminated")
        assert status["message"] == "Pod was terminated in response to imminent node shutdown."
        ended[name] = status["containerStatuses"][0]["state"]["terminated"]
    assert ended["plain"]["finishedAt"] <= ended["critical"]["finishedAt"]
    nodes_cluster.podling("node", "start", node)
    nodes_cluster.wait("--for=condition=Ready", f"node/{node}")
    assert nodes_cluster.get("-n", space, "pod", "plain")["status"]["phase"] == "Failed"


def test_a_frozen_node_gives_up_what_was_replaced_when_it_thaws(nodes_cluster: Cluster, space: str) -> None:
    """As a node that the network has cut off: its containers run on, unseen, until it hears of their end."""
    frozen = node_names(nodes_cluster)[2]
    pods = run_web(nodes_cluster, space, 3)
    left = {pod["metadata"]["uid"] for pod in pods if pod_node(pod) == frozen}
    assert left
    pid = agent_pid(nodes_cluster, frozen)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: len(ready_elsewhere(nodes_cluster, space, frozen)) == 3, "the Pods are Ready elsewhere")
        assert len(own_containers(nodes_cluster, node=frozen, everything=False)) == 2 * len(left)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not own_containers(nodes_cluster, node=frozen), "the thawed node removed what it no longer owns")
    nodes_cluster.wait("--for=condition=Ready", f"node/{frozen}")
    wait_for(lambda: not taints(nodes_cluster.get("node", frozen)), "its taints are gone")
    assert len(ready_elsewhere(nodes_cluster, space, frozen)) == 3
    assert agent_pid(nodes_cluster, frozen) == pid


def test_nodes_come_and_go_without_a_trace(nodes_cluster: Cluster, space: str) -> None:
    nodes_cluster.podling("node", "add", "guest")
    assert listed(nodes_cluster, "guest")[1] == "Ready"
    nodes_cluster.kubectl("cordon", *(name for name in node_names(nodes_cluster) if name != "guest"))
    [pod] = run_web(nodes_cluster, space, 1)
    assert pod_node(pod) == "guest"
    nodes_cluster.kubectl("uncordon", *node_names(nodes_cluster))
    nodes_cluster.podling("node", "remove", "guest")
    assert nodes_cluster.kubectl("get", "node", "guest", check=False).returncode != 0
    wait_for(lambda: len(ready_elsewhere(nodes_cluster, space, "guest")) == 1, "its Pod runs elsewhere")
    assert own_containers(nodes_cluster, node="guest") == []
    assert not (nodes_cluster.state / "nodes" / "guest").exists()
    assert "guest" not in nodes_cluster.podling("node", "list").stdout
    leases = ("get", "leases", "-n", "kube-node-lease", "-o", "name")
    wait_for(lambda: "guest" not in nodes_cluster.kubectl(*leases).stdout, "its Lease has gone")


def test_the_hosts_loopback_passes_to_the_next_node(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    first, second = (f"{cluster.name}-node-{number}" for number in (1, 2))
    try:
        cluster.up("--nodes", "2")
        host_port = fixed_port(20_557)
        port = {"containerPort": 8080, "hostPort": host_port}
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(serving("heir", second, ports=[port])))
        cluster.wait("--for=condition=Ready", "pod/heir")
        assert fetch("127.0.0.1", host_port) == ""
        cluster.podling("node", "remove", first)
        wait_for(lambda: fetch("127.0.0.1", host_port) == "heir", "the port is bound on the loopback")
        [status] = cluster.get("pod", "heir")["status"]["containerStatuses"]
        assert status["restartCount"] == 0
    finally:
        cluster.delete()


def serving(name: str, node: str, **container: Any) -> dict[str, Any]:
    """A Pod that answers with its name on port 8080, bound to the node by its creator."""
    pod: dict[str, Any] = json.loads(sleeper(name, node))
    command = ["sh", "-c", f"echo {name} > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]
    pod["spec"]["containers"][0] |= {"command": command, **container}
    return pod


def test_the_upstream_profile_keeps_kubernetes_timings(tmp_path: Any) -> None:
    cluster = Cluster(tmp_path)
    try:
        cluster.up("--profile", "upstream")
        cluster.kubectl("run", "pod", "--image=busybox", "--restart=Never")
        pod = cluster.get("pod", "pod")
        assert {item["tolerationSeconds"] for item in pod["spec"]["tolerations"]} == {300}
        assert "shareProcessNamespace" not in pod["spec"]
        [lease] = wait_for(lambda: cluster.get("leases", "-n", "kube-node-lease")["items"], "the node has its Lease")
        assert lease["spec"]["leaseDurationSeconds"] == 40
    finally:
        cluster.delete()
