"""Where host ports are bound, and the rules for it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.host_port_rules import (
    Place,
    Target,
    find_listener,
    parse_bindings,
    plan_bindings,
    render_binding,
    render_chains,
    render_release,
)
from agent.network.protocol import PortMapping

TABLE, NODE_IP, POD_IP = "podling-test", "10.244.0.1", "10.244.0.5"


def place(text: str) -> Place:
    """`10.244.0.1:80/tcp`."""
    address, port, protocol = re.split("[:/]", text)
    return Place(address=address, port=int(port), protocol=protocol)


@pytest.mark.parametrize(
    ("port", "on_loopback", "bound", "extra"),
    [
        pytest.param({}, False, ["10.244.0.1:8080/tcp"], [], id="at the node's address"),
        pytest.param(
            {}, True, ["10.244.0.1:8080/tcp", "127.0.0.1:8080/tcp"], ["127.0.0.1:8080/tcp"], id="and on the loopback"
        ),
        pytest.param({"host_ip": "0.0.0.0"}, False, ["10.244.0.1:8080/tcp"], [], id="0.0.0.0 is no address"),
        pytest.param({"host_ip": "127.0.0.1"}, False, ["127.0.0.1:8080/tcp"], [], id="on the loopback if told"),
        pytest.param({"host_ip": "192.0.2.7"}, True, ["192.0.2.7:8080/tcp"], [], id="at any address if told"),
        pytest.param({"protocol": "UDP"}, False, ["10.244.0.1:8080/udp"], [], id="UDP"),
    ],
)
def test_a_port_is_bound(port: dict[str, str], on_loopback: bool, bound: list[str], extra: list[str]) -> None:
    mapping = PortMapping(host_port=8080, container_port=80, **port)
    plan = plan_bindings([mapping], pod_ip=POD_IP, node_ip=NODE_IP, on_loopback=on_loopback)
    assert plan.bindings == {place(item): Target(ip=POD_IP, port=80) for item in bound}
    assert plan.extra == {place(item) for item in extra}


@pytest.mark.parametrize("order", [1, -1])
def test_a_named_loopback_wins_over_the_one_that_comes_along(order: int) -> None:
    ports = [
        PortMapping(host_port=80, container_port=1),
        PortMapping(host_port=80, container_port=2, host_ip="127.0.0.1"),
    ][::order]
    plan = plan_bindings(ports, pod_ip=POD_IP, node_ip=NODE_IP, on_loopback=True)
    assert plan.bindings[place("127.0.0.1:80/tcp")] == Target(ip=POD_IP, port=2)
    assert plan.bindings[place("10.244.0.1:80/tcp")] == Target(ip=POD_IP, port=1)
    assert not plan.extra


def test_golden_chains() -> None:
    assert render_chains(TABLE, "test") == (
        "add table ip podling-test\n"
        "add map ip podling-test host_ports"
        " { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service ; }\n"
        "add map ip podling-test host_port_sources { type ipv4_addr . ipv4_addr : ipv4_addr ; }\n"
        "add chain ip podling-test host_ports_in { type nat hook prerouting priority dstnat; policy accept; }\n"
        "flush chain ip podling-test host_ports_in\n"
        "add rule ip podling-test host_ports_in meta l4proto { tcp, udp }"
        " dnat ip to ip daddr . meta l4proto . th dport map @host_ports\n"
        "add chain ip podling-test host_ports_local { type nat hook output priority -100; policy accept; }\n"
        "flush chain ip podling-test host_ports_local\n"
        "add rule ip podling-test host_ports_local meta l4proto { tcp, udp }"
        " dnat ip to ip daddr . meta l4proto . th dport map @host_ports\n"
        "add chain ip podling-test host_ports_out { type nat hook postrouting priority srcnat; policy accept; }\n"
        "flush chain ip podling-test host_ports_out\n"
        "add rule ip podling-test host_ports_out snat ip to ip saddr . ip daddr map @host_port_sources\n"
        "add chain ip podling-test guard { type filter hook prerouting priority raw; policy accept; }\n"
        "flush chain ip podling-test guard\n"
        'add rule ip podling-test guard iifname "pod9f86*" ip daddr 127.0.0.0/8 drop\n'
    )


def test_golden_binding_that_takes_a_port_over() -> None:
    old, new = Target(ip="10.244.0.4", port=80), Target(ip=POD_IP, port=80)
    taken, fresh = place("10.244.0.1:8080/tcp"), place("127.0.0.1:8080/tcp")
    assert render_binding(TABLE, {taken: old}, {taken: new, fresh: new}, node_ip=NODE_IP) == (
        "delete element ip podling-test host_ports { 10.244.0.1 . tcp . 8080 }\n"
        "add element ip podling-test host_ports { 10.244.0.1 . tcp . 8080 : 10.244.0.5 . 80 }\n"
        "add element ip podling-test host_ports { 127.0.0.1 . tcp . 8080 : 10.244.0.5 . 80 }\n"
        "add element ip podling-test host_port_sources"
        " { 10.244.0.5 . 10.244.0.5 : 10.244.0.1, 127.0.0.1 . 10.244.0.5 : 10.244.0.1 }\n"
    )


class Maps:
    """What the two maps hold after transactions, with nft's refusals: no such element, another value for a key."""

    def __init__(self) -> None:
        self.elements: dict[str, dict[str, str]] = {"host_ports": {}, "host_port_sources": {}}

    def apply(self, text: str) -> None:
        for line in text.splitlines():
            found = re.fullmatch(rf"(add|delete) element ip {TABLE} (\w+) {{ (.+) }}", line)
            assert found, line
            elements = self.elements[found[2]]
            for item in found[3].split(", "):
                key, _, value = item.partition(" : ")
                if found[1] == "add":
                    assert elements.setdefault(key, value) == value
                else:
                    del elements[key]

    def bindings(self) -> dict[Place, Target]:
        pairs = [(key.split(" . "), value.split(" . ")) for key, value in self.elements["host_ports"].items()]
        return {
            Place(address=key[0], protocol=key[1], port=int(key[2])): Target(ip=value[0], port=int(value[1]))
            for key, value in pairs
        }


PLACES = st.builds(
    Place,
    address=st.sampled_from(["10.244.0.1", "127.0.0.1"]),
    protocol=st.sampled_from(["tcp", "udp"]),
    port=st.sampled_from([80, 81]),
)
POD_IPS = st.sampled_from(["10.244.0.2", "10.244.0.3", "10.244.0.4"])


@given(st.lists(st.tuples(POD_IPS, st.dictionaries(PLACES, st.integers(1, 2), min_size=1)), max_size=6))
def test_property_last_binding_wins_and_released_pods_leave_nothing(steps: list[tuple[str, dict[Place, int]]]) -> None:
    maps = Maps()
    expected: dict[Place, Target] = {}
    for pod_ip, ports in steps:
        wanted = {item: Target(ip=pod_ip, port=port) for item, port in ports.items()}
        maps.apply(render_binding(TABLE, maps.bindings(), wanted, node_ip=NODE_IP))
        expected |= wanted
        assert maps.bindings() == expected
    for pod_ip in ("10.244.0.2", "10.244.0.3", "10.244.0.4"):
        maps.apply(render_release(TABLE, maps.bindings(), frozenset({pod_ip}), node_ip=NODE_IP))
        assert pod_ip not in str(maps.elements)
    assert maps.elements == {"host_ports": {}, "host_port_sources": {}}


def test_bindings_are_read_back() -> None:
    element = [{"concat": ["10.244.0.1", "udp", 53]}, {"concat": ["10.244.0.9", 5353]}]
    listing = {"nftables": [{"metainfo": {}}, {"map": {"name": "host_ports", "elem": [element]}}]}
    assert parse_bindings(listing) == {place("10.244.0.1:53/udp"): Target(ip="10.244.0.9", port=5353)}
    assert parse_bindings({"nftables": [{"map": {"name": "host_ports"}}]}) == {}
    assert parse_bindings({}) == {}


HEADER = "  sl  local_address rem_address   st tx_queue"


@pytest.mark.parametrize(
    ("table", "line", "wanted", "found"),
    [
        ("tcp", "0: 0100007F:1F90 00000000:0000 0A 0", "127.0.0.1:8080/tcp", True),
        ("tcp", "0: 0100007F:1F90 00000000:0000 0A 0", "10.244.0.1:8080/tcp", False),
        ("tcp", "0: 0100007F:1F90 00000000:0000 0A 0", "0.0.0.0:8080/tcp", True),
        ("tcp", "0: 00000000:1F90 00000000:0000 0A 0", "10.244.0.1:8080/tcp", True),
        ("tcp", "0: 00000000:1F90 00000000:0000 0A 0", "10.244.0.1:8081/tcp", False),
        ("tcp", "0: 00000000:1F90 00000000:0000 0A 0", "10.244.0.1:8080/udp", False),
        ("tcp", "0: 0100007F:1F90 0100007F:0050 01 0", "127.0.0.1:8080/tcp", False),
        ("udp", "0: 0100007F:1F90 00000000:0000 07 0", "127.0.0.1:8080/udp", True),
        ("udp", "0: 0100007F:1F90 0100007F:0050 01 0", "127.0.0.1:8080/udp", False),
        ("tcp6", f"0: {'0' * 32}:1F90 {'0' * 32}:0000 0A 0", "127.0.0.1:8080/tcp", True),
        ("tcp6", f"0: {'0' * 16}FFFF00000100007F:1F90 {'0' * 32}:0000 0A 0", "127.0.0.1:8080/tcp", True),
        ("tcp6", f"0: {'0' * 24}01000000:1F90 {'0' * 32}:0000 0A 0", "127.0.0.1:8080/tcp", False),
    ],
)
def test_a_listener_is_found(table: str, line: str, wanted: str, found: bool) -> None:
    assert find_listener(place(wanted), {table: [HEADER, line]}) is found
