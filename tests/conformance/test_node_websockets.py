"""Requirements of sig-node on WebSockets: a log and a command as a browser would read them."""

from __future__ import annotations

import pytest
import websocket

from tests.cluster import wait_for
from tests.conformance.batch import Batch, is_ready, make_pod, shell

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def alive(batch: Batch) -> Batch:
    """A Pod that has printed and runs on."""
    batch.create(make_pod("alive", shell("echo container is alive; sleep 10000")))
    batch.wait(is_ready, "alive", what="the Pod runs")
    wait_for(lambda: batch.logs("alive"), "it has printed")
    return batch


def read_all(batch: Batch, path: str, subprotocol: str) -> list[bytes]:
    """Every message until the server closes."""
    url = f"wss://{batch.api.address}{batch.path(f'pods/{path}')}"
    tls = {"context": batch.api.tls}
    connection = websocket.create_connection(url, subprotocols=[subprotocol], sslopt=tls, timeout=60)
    assert connection.getsubprotocol() == subprotocol
    messages = []
    while True:
        opcode, data = connection.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            connection.close()
            return messages
        messages.append(bytes(data))


@pytest.mark.requirement("[sig-node] Pods should support retrieving logs from the container over websockets")
def test_pods_should_support_retrieving_logs_from_the_container_over_websockets(alive: Batch) -> None:
    assert b"".join(read_all(alive, "alive/log?container=main", "binary.k8s.io")) == b"container is alive\n"


@pytest.mark.requirement("[sig-node] Pods should support remote command execution over websockets")
@pytest.mark.parametrize("subprotocol", ["channel.k8s.io", "v4.channel.k8s.io"])
def test_pods_should_support_remote_command_execution_over_websockets(alive: Batch, subprotocol: str) -> None:
    query = "stderr=1&stdout=1&container=main&command=echo&command=remote+execution+test"
    messages = [item for item in read_all(alive, f"alive/exec?{query}", subprotocol) if len(item) > 1]
    assert b"".join(item[1:] for item in messages if item[0] == 1) == b"remote execution test\n"
    # Of the outcome on channel 3, clients of the oldest protocol want to hear only when it is an error.
    others = [item for item in messages if item[0] != 1]
    assert [item[0] for item in others] == ([] if subprotocol == "channel.k8s.io" else [3])
