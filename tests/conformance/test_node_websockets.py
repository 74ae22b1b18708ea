"""Requirements of sig-node on WebSockets: a log and a command as a browser would read them."""

from __future__ import annotations

import ssl

import pytest
import websocket
from kubernetes import config

from tests.conformance.batch import Batch, is_finished, is_ready, make_pod, shell

pytestmark = pytest.mark.docker


def read_all(batch: Batch, path: str, subprotocol: str) -> list[bytes]:
    """Every message until the server closes."""
    settings = config.new_client_from_config(config_file=str(batch.cluster.directory / "kubeconfig")).configuration
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    context.load_cert_chain(settings.cert_file, settings.key_file)
    url = f"{settings.host.replace('https', 'wss')}/api/v1/namespaces/{batch.namespace}/pods/{path}"
    connection = websocket.create_connection(url, subprotocols=[subprotocol], sslopt={"context": context}, timeout=60)
    messages = []
    while True:
        opcode, data = connection.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return messages
        messages.append(bytes(data))


def test_pods_should_support_retrieving_logs_from_the_container_over_websockets(batch: Batch) -> None:
    batch.create(make_pod("ws-log", shell("echo container is alive")))
    batch.wait(is_finished, "ws-log", what="the Pod has ended")
    assert b"".join(read_all(batch, "ws-log/log?container=main", "binary.k8s.io")) == b"container is alive\n"


def test_pods_should_support_remote_command_execution_over_websockets(batch: Batch) -> None:
    batch.create(make_pod("ws-exec", shell("sleep 1000")))
    batch.wait(is_ready, "ws-exec", what="the Pod runs")
    command = "&".join(f"command={word}" for word in ("echo", "remote", "execution", "test"))
    messages = read_all(batch, f"ws-exec/exec?stdout=1&stderr=1&container=main&{command}", "v4.channel.k8s.io")
    assert b"".join(item[1:] for item in messages if item[:1] == b"\x01") == b"remote execution test\n"
