"""The official Python client on a Pod that runs: logs, exec over WebSocket, port-forward, ephemeral reads."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.stream import portforward, stream

from tests.cluster import Cluster, wait_for

pytestmark = pytest.mark.docker

SCRIPT = "nc -ll -p 7001 -e cat & i=0; while true; do echo line $i; i=$((i+1)); sleep 0.1; done"


@pytest.fixture(scope="module")
def core(cluster: Cluster) -> Iterator[client.CoreV1Api]:
    """The client of the cluster with nodes."""
    with config.new_client_from_config(config_file=str(cluster.directory / "kubeconfig")) as api_client:
        yield client.CoreV1Api(api_client)


def is_ready(pod: client.V1Pod) -> bool:
    return any(item.type == "Ready" and item.status == "True" for item in pod.status.conditions or ())


@pytest.fixture(scope="module")
def place(core: client.CoreV1Api) -> Iterator[str]:
    """A namespace with the Pod `chatty`, which prints and echoes."""
    name = f"streams-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    container = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", SCRIPT]}
    container |= {"readinessProbe": {"tcpSocket": {"port": 7001}, "periodSeconds": 1}}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    core.create_namespaced_pod(name, {"metadata": {"name": "chatty"}, "spec": spec})
    wait_for(lambda: is_ready(core.read_namespaced_pod("chatty", name)), "the Pod is ready")
    yield name
    core.delete_namespace(name)


def test_logs_are_read_and_followed(core: client.CoreV1Api, place: str) -> None:
    followed = watch.Watch().stream(core.read_namespaced_pod_log, "chatty", place)
    assert [next(followed) for _ in range(4)] == [f"line {number}" for number in range(4)]
    assert core.read_namespaced_pod_log("chatty", place).startswith("line 0\nline 1\n")
    assert len(core.read_namespaced_pod_log("chatty", place, tail_lines=2).splitlines()) == 2


def test_exec_carries_output_errors_input_and_the_exit_code(core: client.CoreV1Api, place: str) -> None:
    def run(*command: str, **options: Any) -> Any:
        options = {"stdin": False, "tty": False, "stdout": True, "stderr": True} | options
        return stream(core.connect_get_namespaced_pod_exec, "chatty", place, command=list(command), **options)

    assert run("echo", "hello") == "hello\n"
    failing = run("sh", "-c", "echo out; echo wrong >&2; exit 7", _preload_content=False)
    failing.run_forever(timeout=120)
    assert (failing.read_stdout(), failing.read_stderr(), failing.returncode) == ("out\n", "wrong\n", 7)
    reading = run("head", "-c", "6", stdin=True, _preload_content=False)
    reading.write_stdin("hello\n")
    reading.run_forever(timeout=120)
    assert (reading.read_stdout(), reading.returncode) == ("hello\n", 0)


def test_a_port_is_forwarded(core: client.CoreV1Api, place: str) -> None:
    forwarded = portforward(core.connect_get_namespaced_pod_portforward, "chatty", place, ports="7001")
    connection = forwarded.socket(7001)
    connection.settimeout(120)
    connection.sendall(b"hello")
    assert connection.recv(5) == b"hello"
    connection.close()
    assert forwarded.error(7001) is None
