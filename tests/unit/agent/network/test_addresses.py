"""Choosing addresses, naming links, finding overlaps."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.addresses import (
    LINK_NAME_LENGTH_MAX,
    choose_pod_ip,
    find_overlap,
    node_address,
    node_link_name,
    parse_link_name,
    pod_hardware_address,
    pod_link_name,
    surrounding_range,
)
from agent.network.netlink import Route


@pytest.mark.parametrize(
    ("used", "after", "expected"),
    [
        pytest.param((), "", "10.244.1.2", id="the first is the one after the node's"),
        pytest.param(("10.244.1.2",), "", "10.244.1.3", id="a used one is skipped"),
        pytest.param((), "10.244.1.7", "10.244.1.8", id="the search goes on after the last"),
        pytest.param((), "10.244.1.254", "10.244.1.2", id="and wraps around before the broadcast address"),
        pytest.param((), "10.9.9.9", "10.244.1.2", id="an address of another range means nothing"),
    ],
)
def test_choose_pod_ip(used: tuple[str, ...], after: str, expected: str) -> None:
    assert choose_pod_ip("10.244.1.0/24", frozenset(used), after=after) == expected


@given(st.sets(st.integers(2, 14)), st.integers(0, 15))
def test_never_an_address_in_use_and_none_only_when_full(used: set[int], last: int) -> None:
    addresses = frozenset(f"10.0.0.{number}" for number in used)

    chosen = choose_pod_ip("10.0.0.0/28", addresses, after=f"10.0.0.{last}")

    if len(used) == 13:
        assert chosen is None
    else:
        assert chosen is not None
        assert chosen not in addresses
        assert 2 <= int(chosen.rpartition(".")[2]) <= 14


@given(st.ip_addresses(v=4), st.text(min_size=1, max_size=20))
def test_link_names_fit_the_kernel_and_can_be_read_back(address: object, cluster: str) -> None:
    for kind, make in (("pod", pod_link_name), ("nod", node_link_name)):
        name = make(cluster, str(address))
        assert len(name) == LINK_NAME_LENGTH_MAX
        assert parse_link_name(cluster, name) == (kind, str(address))


@pytest.mark.parametrize("name", ["eth0", "docker0", "podxxxx0af40102", "pod12340af4010", "veth1234567890a"])
def test_other_links_are_not_ours(name: str) -> None:
    assert parse_link_name("c", name) is None


def test_addresses_derived_from_the_pods() -> None:
    assert node_address("10.244.3.0/24") == "10.244.3.1"
    assert pod_hardware_address("10.244.3.9") == "0a:58:0a:f4:03:09"


def test_the_idle_node_of_another_cluster_claims_its_range() -> None:
    names = {1: node_link_name("other", "10.244.1.1"), 2: node_link_name("mine", "10.244.2.1")}

    assert find_overlap("10.244.1.0/24", [], names, cluster="mine") == (IPv4Network("10.244.1.1/32"), names[1])
    assert find_overlap("10.244.2.0/24", [], names, cluster="mine") is None


def _route(destination: str, link_index: int) -> Route:
    return Route(destination=IPv4Network(destination), link_index=link_index)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        pytest.param([_route("0.0.0.0/0", 1)], None, id="the default route claims nothing"),
        pytest.param([_route("192.168.0.0/16", 1)], None, id="another network"),
        pytest.param([_route("10.0.0.0/8", 1)], "10.0.0.0/8", id="a network around it"),
        pytest.param([_route("10.244.1.128/25", 1)], "10.244.1.128/25", id="a network within it"),
        pytest.param([_route("10.244.1.7/32", 2)], None, id="a route of this cluster"),
        pytest.param(
            [_route("10.244.1.7/32", 3)], "10.244.1.7/32", id="a route to one of its addresses over another link"
        ),
    ],
)
def test_find_overlap(routes: list[Route], expected: str | None) -> None:
    names = {1: "eth0", 2: pod_link_name("mine", "10.244.1.7"), 3: "br-1234"}

    found = find_overlap("10.244.1.0/24", routes, names, cluster="mine")

    assert (str(found[0]) if found else None) == expected


@pytest.mark.parametrize(
    ("pod_cidr", "cluster_cidr"),
    [("10.244.7.0/24", "10.244.0.0/16"), ("10.9.8.0/26", "10.9.0.0/16"), ("10.64.0.0/12", "10.64.0.0/12")],
)
def test_the_range_of_all_pods_is_guessed_from_a_nodes(pod_cidr: str, cluster_cidr: str) -> None:
    assert surrounding_range(pod_cidr) == cluster_cidr
