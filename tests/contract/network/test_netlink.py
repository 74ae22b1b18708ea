"""Requests to the kernel that go together."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from agent.network.netlink import Netlink
from agent.network.netlink_socket import NetlinkError

pytestmark = pytest.mark.docker

ROUTED = ["10.252.9.1/32", "10.252.9.2/32"]


@pytest.fixture
def bridge() -> Iterator[str]:
    name = f"t{uuid.uuid4().hex[:8]}"
    with Netlink() as netlink:
        netlink.create_bridge(name)
        yield name
        netlink.delete_link(name)


def test_a_pair_has_one_queue_at_each_end_however_many_cpus_there_are() -> None:
    names = [f"t{uuid.uuid4().hex[:8]}" for _ in range(2)]
    with open("/proc/self/ns/net") as own, Netlink() as netlink:
        netlink.create_veth(
            *names,
            peer_namespace_fd=own.fileno(),
            mtu=1500,
            address="02:00:00:00:00:01",
            peer_address="02:00:00:00:00:02",
        )
        try:
            for name in names:
                queues = sorted(entry.name for entry in Path(f"/sys/class/net/{name}/queues").iterdir())
                assert queues == ["rx-0", "tx-0"]
        finally:
            netlink.delete_link(names[0])


def routed_over(netlink: Netlink, index: int) -> set[IPv4Network]:
    return {route.destination for route in netlink.list_routes() if route.link_index == index}


def test_requests_together_are_carried_out_in_order(bridge: str) -> None:
    index = socket.if_nametoindex(bridge)
    with Netlink() as netlink:
        with netlink.together():
            netlink.add_address(index, "10.252.9.7")
            for destination in ROUTED:
                netlink.replace_route(destination, index, source="10.252.9.7")
            assert routed_over_nothing_yet(index)

        assert routed_over(netlink, index) == {IPv4Network(destination) for destination in ROUTED}


def routed_over_nothing_yet(index: int) -> bool:
    with Netlink() as other:
        return not routed_over(other, index)


def set_routes_and_raise_links_that_are_not_there(netlink: Netlink, index: int) -> None:
    with netlink.together():
        netlink.replace_route(ROUTED[0], index)
        netlink.set_up("nobody-has-this")
        netlink.set_up("nor-this")
        netlink.replace_route(ROUTED[1], index)


def test_a_refused_request_among_others_is_told_and_the_socket_goes_on(bridge: str) -> None:
    index = socket.if_nametoindex(bridge)
    with Netlink() as netlink:
        with pytest.raises(NetlinkError, match="No such device"):
            set_routes_and_raise_links_that_are_not_there(netlink, index)

        assert routed_over(netlink, index) == {IPv4Network(destination) for destination in ROUTED}
        netlink.set_up(bridge)
