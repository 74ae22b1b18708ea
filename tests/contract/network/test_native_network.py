"""The native wiring against a real kernel and engine: what it promises to the containers that join a sandbox."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
from pathlib import Path

import pytest

from agent.network.native import NativeNetwork
from agent.network.nftables import table_name
from agent.network.protocol import NetworkError
from tests.contract.network.native_host import CLUSTER_CIDR, NODE_CIDR, OTHER_NODE_CIDR, Host
from tests.fakes.docker_images import BUSYBOX_IMAGE

pytestmark = pytest.mark.docker


def read(path: str) -> str:
    return Path(path).read_text()


def firewall() -> str:
    tables = subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout
    return tables + subprocess.run(["iptables", "-w", "-S"], check=True, capture_output=True, text=True).stdout


SERVE = "echo page > /tmp/index.html && httpd -p 80 -h /tmp"  # returns when it listens


async def test_a_pod_has_its_address_and_reaches_its_node_other_pods_and_itself(host: Host) -> None:
    server, server_address = await host.start_pod("sleep", "1000")
    client, client_address = await host.start_pod("sleep", "1000")
    assert await host.run(server, SERVE) == (0, "")

    assert server_address != client_address
    page = f"wget -q -O - http://{server_address.ip}/"
    assert await host.run(client, page) == (0, "page\n")
    assert await host.run(server, page) == (0, "page\n")
    assert await host.run(server, "wget -q -O - http://127.0.0.1/") == (0, "page\n")
    assert (await host.run(client, f"ping -c 1 -W 5 {host.node_ip}"))[0] == 0
    assert f"inet {client_address.ip}/32" in (await host.run(client, "ip addr show eth0"))[1]


async def test_the_host_reaches_the_pod_from_the_nodes_address(host: Host) -> None:
    container, address = await host.start_pod("sleep", "1000")
    await host.run(container, SERVE)

    _, writer = await asyncio.wait_for(asyncio.open_connection(address.ip, 80), 60)

    assert writer.get_extra_info("sockname")[0] == host.node_ip
    writer.close()


async def test_a_pod_reaches_what_is_behind_the_host_by_masquerade(host: Host) -> None:
    """A container on Docker's bridge stands for the outside: it sees its own gateway as the client."""
    body = {"Image": BUSYBOX_IMAGE, "Cmd": ["sleep", "1000"], "Labels": host.labels, "HostConfig": {}}
    outside = await host.runtime.create_container(f"{host.cluster}-outside", body)
    await host.runtime.start_container(outside)
    script = "mkdir -p /tmp/cgi-bin && echo '#!/bin/sh\necho; echo $REMOTE_ADDR' > /tmp/cgi-bin/who"
    await host.run(outside, f"{script} && chmod 755 /tmp/cgi-bin/who && httpd -p 80 -h /tmp")
    address = (await host.run(outside, "hostname -i"))[1].strip()
    container, pod_address = await host.start_pod("sleep", "1000")

    code, client = await host.run(container, f"wget -q -O - http://{address}/cgi-bin/who")

    assert code == 0
    assert pod_address.ip not in client


async def test_pause_has_given_up_everything_when_a_pod_is_wired(host: Host) -> None:
    sandbox_id, pid, address = await host.start_sandbox()
    await host.network.attach(pid, address, {})

    status = read(f"/proc/{pid}/status")
    capabilities = [line for line in status.splitlines() if line.startswith("Cap")]
    assert [line.split()[1] for line in capabilities] == ["0" * 16] * 5
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    assert sandbox_id


async def test_a_sandbox_that_stays_in_the_hosts_network_is_never_wired(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.network.native.UNSHARE_SECONDS_MAX", 0.2)
    _, pid, address = await host.start_sandbox(command=[])

    with pytest.raises(NetworkError, match="did not leave the host's network"):
        await host.network.attach(pid, address, {})


async def test_a_sandbox_that_is_gone_is_told(host: Host) -> None:
    sandbox_id, pid, address = await host.start_sandbox()
    await host.runtime.remove_container(sandbox_id)

    with pytest.raises(NetworkError, match="has exited"):
        await host.network.attach(pid, address, {})


async def test_wiring_twice_changes_nothing(host: Host) -> None:
    _, pid, address = await host.start_sandbox()
    await host.network.attach(pid, address, {})
    before = host.links()

    await host.network.attach(pid, address, {})

    assert host.links() == before


async def test_sysctls_are_the_pods_own(host: Host) -> None:
    before = read("/proc/sys/net/core/somaxconn")
    container, _ = await host.start_pod("sleep", "1000", sysctls={"net.core.somaxconn": "777"})

    show = "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert await host.run(container, show) == (0, "777\n0\n")
    assert read("/proc/sys/net/core/somaxconn") == before


@pytest.mark.parametrize("name", ["kernel.shmmax", "net.ipv4.no_such_thing"])
async def test_a_sysctl_that_cannot_be_set_is_named(host: Host, name: str) -> None:
    _, pid, address = await host.start_sandbox()

    with pytest.raises(NetworkError, match=f"cannot set sysctl {name}"):
        await host.network.attach(pid, address, {name: "1"})


async def test_an_address_can_be_used_again_at_once(host: Host) -> None:
    first, pid, address = await host.start_sandbox()
    await host.network.attach(pid, address, {})
    second, second_pid, _ = await host.start_sandbox()

    await host.runtime.remove_container(first)
    await host.network.attach(second_pid, address, {})

    assert second
    with socket.socket() as probe:
        assert probe.connect_ex((address.ip, 80)) == errno.ECONNREFUSED


async def test_detaching_and_garbage_collection_remove_links(host: Host) -> None:
    _, pid, address = await host.start_sandbox()
    await host.network.attach(pid, address, {})
    _, other_pid, other = await host.start_sandbox()
    await host.network.attach(other_pid, other, {})
    before = host.links()

    await host.network.detach(address)
    await host.network.detach(address)
    await host.network.collect_garbage(frozenset({other.ip}))
    assert len(before - host.links()) == 1
    await host.network.collect_garbage(frozenset())

    assert len(before - host.links()) == 2


async def test_a_second_node_shares_the_rules_and_the_last_one_removes_them(host: Host) -> None:
    other = NativeNetwork(cluster=host.cluster, cluster_cidr=CLUSTER_CIDR)
    await other.prepare_node(OTHER_NODE_CIDR)
    assert firewall().count(table_name(host.cluster)) == 3

    await other.remove_node()
    assert firewall().count(table_name(host.cluster)) == 3
    await host.network.remove_node()
    await host.network.remove_node()

    assert table_name(host.cluster) not in firewall()


async def test_a_range_that_the_host_routes_elsewhere_is_refused(host: Host) -> None:
    stranger = NativeNetwork(cluster="stranger", cluster_cidr=CLUSTER_CIDR)
    _, pid, address = await host.start_sandbox()
    await host.network.attach(pid, address, {})

    with pytest.raises(NetworkError, match="the host routes"):
        await stranger.prepare_node(NODE_CIDR)
