"""Host ports of real Pods: side by side, one after another, and in each other's way."""

from __future__ import annotations

import json
import socket
import urllib.request
from typing import Any

import pytest

from tests.cluster import Cluster, wait_for
from tests.own_ports import fixed_port
from tests.udp_answers import answering_udp

pytestmark = pytest.mark.docker

LOOPBACK = "127.0.0.1"
PORT = fixed_port(20_443)


def web_pod(name: str, *, pod_spec: dict[str, Any] | None = None, **port: Any) -> dict[str, Any]:
    """A Pod that answers with its name on port 8080, which is also a port of the host."""
    container = {
        "name": "web",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", f"echo {name} > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"],
        "ports": [{"containerPort": 8080, "hostPort": PORT, **port}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    # With a grace period of 0 the object goes at once and the port a moment later.
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container], **(pod_spec or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def start(cluster: Cluster, namespace: str, *pods: dict[str, Any], ready: bool = True) -> None:
    for pod in pods:
        cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(pod))
    if ready:
        cluster.wait("-n", namespace, "--for=condition=Ready", *(f"pod/{pod['metadata']['name']}" for pod in pods))


def fetch(address: str, *, source: str = "") -> str:
    """What the host gets from the port."""
    connection = socket.create_connection((address, PORT), timeout=60, source_address=(source, 0) if source else None)
    with connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.makefile().read().split("\n\n")[-1].strip()


def can_fetch(address: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://{address}:{PORT}/", timeout=5).read())
    except OSError:
        return False


@pytest.fixture
def node(cluster: Cluster) -> dict[str, Any]:
    """The node."""
    found: dict[str, Any] = cluster.get("nodes")["items"][0]
    return found


@pytest.mark.requirement(
    "[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP "
    "and protocol"
)
def test_there_is_no_conflict_between_pods_with_same_host_port_but_different_host_ip_and_protocol(
    cluster: Cluster, namespace: str, node: dict[str, Any]
) -> None:
    name, node_ip = node["metadata"]["name"], node["status"]["addresses"][0]["address"]
    here = {"nodeSelector": {"kubernetes.io/hostname": name}}
    start(
        cluster,
        namespace,
        web_pod("pod1", pod_spec=here, hostIP=LOOPBACK, protocol="TCP"),
        web_pod("pod2", pod_spec=here, hostIP=node_ip, protocol="TCP"),
        web_pod("pod3", pod_spec=here, hostIP=node_ip, protocol="UDP"),
    )
    client = web_pod("client", pod_spec={"hostNetwork": True, "nodeName": name})
    container = client["spec"]["containers"][0]
    del container["ports"], container["readinessProbe"]
    container["command"] = ["sleep", "3600"]
    start(cluster, namespace, client)
    for address, pod in ((LOOPBACK, "pod1"), (node_ip, "pod2")):
        command = ("wget", "-qO-", f"http://{address}:{PORT}/")
        assert cluster.kubectl("-n", namespace, "exec", "client", "--", *command).stdout.strip() == pod
    assert fetch(LOOPBACK, source=node_ip) == "pod1"
    with answering_udp(cluster, "pod3", 8080), socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(60)
        udp.sendto(b"hostname\n", (node_ip, PORT))
        assert udp.recv(100) == b"pod3"


def test_a_pod_waits_for_a_taken_host_port_and_gets_it(cluster: Cluster, namespace: str, node: dict[str, Any]) -> None:
    node_ip = node["status"]["addresses"][0]["address"]
    start(cluster, namespace, web_pod("first"))
    assert fetch(LOOPBACK) == fetch(node_ip) == "first"
    start(cluster, namespace, web_pod("second"), ready=False)
    cluster.wait("-n", namespace, "--for=condition=PodScheduled=False", "pod/second")
    conditions = cluster.get("-n", namespace, "pod", "second")["status"]["conditions"]
    [message] = [item["message"] for item in conditions if item["type"] == "PodScheduled"]
    assert message.startswith("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.")
    cluster.kubectl("-n", namespace, "delete", "pod", "first")
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/second")
    assert fetch(LOOPBACK) == fetch(node_ip) == "second"
    cluster.kubectl("-n", namespace, "delete", "pod", "second")
    wait_for(lambda: not can_fetch(LOOPBACK), "the port leads nowhere")


def test_a_bound_pod_with_a_taken_host_port_fails_as_a_kubelet_fails_it(
    cluster: Cluster, namespace: str, node: dict[str, Any]
) -> None:
    start(cluster, namespace, web_pod("first"))
    start(cluster, namespace, web_pod("bound", pod_spec={"nodeName": node["metadata"]["name"]}), ready=False)
    cluster.wait("-n", namespace, "--for=jsonpath={.status.phase}=Failed", "pod/bound")
    status = cluster.get("-n", namespace, "pod", "bound")["status"]
    assert status["reason"] == "NodePorts"
    assert status["message"] == (
        "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    )
    assert fetch(LOOPBACK) == "first"


def test_a_port_of_a_process_of_the_host_is_told_and_waited_for(cluster: Cluster, namespace: str) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("0.0.0.0", PORT))
        holder.listen()
        start(cluster, namespace, web_pod("web"), ready=False)
        events = ("-n", namespace, "events", "--field-selector", "involvedObject.name=web,type=Warning")
        told = f"cannot bind host port {PORT}/TCP"
        wait_for(lambda: told in cluster.kubectl("get", *events).stdout, "an Event tells why")
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/web")
    # The node's address may have become free a moment before the loopback.
    wait_for(lambda: can_fetch(LOOPBACK), "the port is bound on the loopback, too")
    assert fetch(LOOPBACK) == "web"
