"""Host ports against a real kernel: who reaches them, who owns them, and what is left of them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from agent.network.native import NativeNetwork
from agent.network.nftables import table_name
from agent.network.protocol import NetworkError, PodAddress, PortMapping
from tests.contract.network.native_host import CLUSTER_CIDR, NODE_CIDR, OTHER_NODE_CIDR, Host
from tests.own_ports import fixed_port

pytestmark = pytest.mark.docker

PORT = fixed_port(20_080)  # below the range of outgoing connections
WEB = PortMapping(host_port=PORT, container_port=80)
LOOPBACK = "127.0.0.1"


async def serve(host: Host, *ports: PortMapping, name: str = "page") -> tuple[str, PodAddress]:
    """A Pod with the host ports that answers HTTP on port 80 with its name."""
    container, address = await host.start_pod("sleep", "1000", ports=ports)
    assert await host.run(container, f"echo {name} > /tmp/index.html && httpd -p 80 -h /tmp") == (0, "")
    return container, address


@asynccontextmanager
async def answering_udp(host: Host, container: str, name: str) -> AsyncIterator[None]:
    """Somebody in the Pod who answers with the name on UDP port 53."""
    script = (
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 53)); print(flush=True)\n"
        f"while True: s.sendto(b'{name}', s.recvfrom(100)[1])"
    )
    command = await in_network(host, container, "python3", "-c", script)
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        await process.stdout.readline()
        yield
    finally:
        process.kill()
        await process.wait()


async def in_network(host: Host, container: str, *command: str) -> list[str]:
    """A command of the host's to be run in the container's network."""
    record = await host.runtime.inspect_container(container)
    return ["nsenter", "--net", "--target", str(record.pid), *command]


async def fetch(address: str, port: int = PORT, *, source: str = "") -> str:
    """What a process of the host gets from a port; empty when nobody answers."""
    local = (source, 0) if source else None
    try:
        connecting = asyncio.open_connection(address, port, local_addr=local)
        reader, writer = await asyncio.wait_for(connecting, 60)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
    except OSError:
        return ""
    return answer.decode().rpartition("\r\n\r\n")[2].strip()


def ask_by_udp(client: socket.socket, address: str, port: int) -> str:
    client.settimeout(60)
    client.sendto(b"name?\n", (address, port))
    return client.recv(100).decode().strip()


@contextmanager
def listening(address: str, port: int = PORT) -> Iterator[None]:
    """A process of the host that has the port."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, port))
        holder.listen()
        yield


def rules(host: Host) -> str:
    listing = subprocess.run(
        ["nft", "list", "table", "ip", table_name(host.cluster)], capture_output=True, text=True, check=False
    )
    return listing.stdout


async def test_a_host_port_is_reached_from_everywhere(host: Host) -> None:
    server, address = await serve(host, WEB)
    client, _ = await host.start_pod("sleep", "1000")

    assert host.problems == []
    assert await fetch(host.node_ip) == "page"
    assert await fetch(LOOPBACK) == "page"
    assert await fetch(LOOPBACK, source=host.node_ip) == "page"
    assert await fetch(address.ip) == "", "only the host port leads to the container's"
    for container in (client, server):
        assert await host.run(container, f"wget -q -O - http://{host.node_ip}:{PORT}/") == (0, "page\n")


async def test_a_host_ip_and_a_protocol_keep_ports_apart(host: Host) -> None:
    await serve(host, PortMapping(host_port=PORT, container_port=80, host_ip=LOOPBACK), name="one")
    await serve(host, PortMapping(host_port=PORT, container_port=80, host_ip=host.node_ip), name="two")
    dns = PortMapping(host_port=PORT, container_port=53, host_ip=host.node_ip, protocol="UDP")
    container, _ = await serve(host, dns)

    assert await fetch(LOOPBACK) == "one"
    assert await fetch(host.node_ip) == "two"
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        async with answering_udp(host, container, "three"):
            assert await asyncio.to_thread(ask_by_udp, client, host.node_ip, PORT) == "three"


async def test_a_node_without_the_hosts_loopback_binds_its_own_address_alone(host: Host) -> None:
    host.network = NativeNetwork(cluster=host.cluster, cluster_cidr=CLUSTER_CIDR)
    await host.network.prepare_node(NODE_CIDR)
    await serve(host, WEB)

    assert await fetch(host.node_ip) == "page"
    assert await fetch(LOOPBACK) == ""


async def test_a_port_goes_with_its_pod_and_the_next_one_gets_it(host: Host) -> None:
    udp = PortMapping(host_port=PORT, container_port=53, protocol="UDP")
    container, address = await serve(host, WEB, udp, name="old")
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        async with answering_udp(host, container, "old"):
            assert await asyncio.to_thread(ask_by_udp, client, host.node_ip, PORT) == "old"
        await host.network.detach(address)
        assert f". {PORT} :" not in rules(host)
        assert address.ip not in rules(host)
        assert await fetch(host.node_ip) == ""
        with listening(host.node_ip):
            """The port is free."""
        successor, _ = await serve(host, WEB, udp, name="new")
        async with answering_udp(host, successor, "new"):
            assert await asyncio.to_thread(ask_by_udp, client, host.node_ip, PORT) == "new", "the old flow is forgotten"
    assert await fetch(host.node_ip) == "new"


async def test_ports_survive_the_agent_and_go_with_pods_that_ended_meanwhile(host: Host) -> None:
    _, kept = await serve(host, WEB, name="kept")
    other = PortMapping(host_port=PORT + 1, container_port=80)
    _, gone = await serve(host, other, name="gone")
    successor = NativeNetwork(cluster=host.cluster, cluster_cidr=CLUSTER_CIDR, ports_on_loopback=True)
    await successor.prepare_node(NODE_CIDR)
    assert await fetch(LOOPBACK) == "kept"
    assert await fetch(LOOPBACK, PORT + 1) == "gone"

    await successor.collect_garbage(frozenset({kept.ip}))

    assert await fetch(LOOPBACK) == "kept"
    assert gone.ip not in rules(host)
    await successor.detach(kept)
    assert kept.ip not in rules(host)


async def test_a_port_of_somebody_else_is_refused_until_it_is_free(host: Host) -> None:
    _, pid, address = await host.start_sandbox()
    with listening("0.0.0.0"):
        with pytest.raises(NetworkError, match=rf"cannot bind host port {PORT}/TCP on {host.node_ip}: .* in use"):
            await host.network.attach(pid, address, {}, [WEB])
        assert address.ip not in rules(host)
    assert await host.network.attach(pid, address, {}, [WEB]) == []
    with pytest.raises(OSError, match="in use"), listening("0.0.0.0"):
        pass


async def test_a_taken_loopback_is_told_and_bound_when_it_is_free(host: Host) -> None:
    with listening(LOOPBACK):
        _, address = await serve(host, WEB)
        assert host.problems == [f"cannot bind host port {PORT}/TCP on {LOOPBACK}: the port is in use on this host"]
        assert await fetch(host.node_ip) == "page"
    await host.network.collect_garbage(frozenset({address.ip}))
    assert await fetch(LOOPBACK) == "page"


async def test_an_outgoing_connection_from_that_port_is_no_obstacle(host: Host) -> None:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        with socket.create_connection(server.getsockname(), source_address=(LOOPBACK, PORT)):
            await serve(host, WEB)
    assert host.problems == []
    assert await fetch(LOOPBACK) == "page"


async def test_an_address_that_the_host_does_not_have_is_refused(host: Host) -> None:
    _, pid, address = await host.start_sandbox()
    foreign = PortMapping(host_port=PORT, container_port=80, host_ip="192.0.2.1")
    with pytest.raises(NetworkError, match="cannot assign requested address"):
        await host.network.attach(pid, address, {}, [foreign])


SPOOF = """
import socket, struct, sys

def packet(source, target, port, text):
    payload = struct.pack("!HHHH", 4000, port, 8 + len(text), 0) + text
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    total = sum(struct.unpack("!10H", head))
    total = (total >> 16) + (total & 0xFFFF)
    return head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:] + payload

link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0x0800))
frame = bytes.fromhex("eeeeeeeeeeee") + link.getsockname()[4] + b"\\x08\\x00"
pod, node, loopback_port, node_port = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
link.send(frame + packet(pod, "127.0.0.1", loopback_port, b"to the loopback"))
link.send(frame + packet("127.0.0.1", node, node_port, b"from the loopback"))
link.send(frame + packet(pod, node, node_port, b"honest"))
"""


async def test_a_port_on_the_loopback_opens_the_loopback_to_nobody(host: Host) -> None:
    """A Pod may send raw frames: those for or from the host's 127.0.0.1 do not arrive."""
    container, address = await serve(host, WEB)
    with socket.socket(type=socket.SOCK_DGRAM) as loopback, socket.socket(type=socket.SOCK_DGRAM) as node:
        loopback.bind((LOOPBACK, 0))
        node.bind((host.node_ip, 0))
        ports = [str(one.getsockname()[1]) for one in (loopback, node)]
        command = await in_network(host, container, "python3", "-c", SPOOF, address.ip, host.node_ip, *ports)
        process = await asyncio.create_subprocess_exec(*command)
        assert await process.wait() == 0
        node.settimeout(60)
        assert await asyncio.to_thread(node.recv, 100) == b"honest"
        loopback.setblocking(False)
        with pytest.raises(BlockingIOError):
            loopback.recv(100)


async def test_a_removed_node_takes_its_ports_and_leaves_the_others(host: Host) -> None:
    other = NativeNetwork(cluster=host.cluster, cluster_cidr=CLUSTER_CIDR)
    node_ip = await other.prepare_node(OTHER_NODE_CIDR)
    _, address = await serve(host, WEB, name="kept")
    _, pid, _ = await host.start_sandbox()
    theirs = PodAddress(ip=node_ip.removesuffix("1") + "9", node_ip=node_ip)
    await other.attach(pid, theirs, {}, [WEB])
    assert theirs.ip in rules(host)

    await other.remove_node()

    assert theirs.ip not in rules(host)
    assert address.ip in rules(host)
    assert await fetch(LOOPBACK) == "kept"


async def test_clashes_in_the_hosts_network_are_found(host: Host) -> None:
    ports = [PortMapping(host_port=port, container_port=port) for port in (PORT, PORT + 1)]
    with listening(LOOPBACK):
        [problem] = await host.network.find_port_clashes(ports)
    assert problem.startswith(f"host port {PORT}/TCP is in use on this host")
    assert await host.network.find_port_clashes(ports) == []
