"""Ports and ranges of a new cluster."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.cli.failure import CommandError
from control.cli.ranges import (
    POD_RANGES,
    SERVICE_RANGES,
    choose_port,
    choose_range,
    find_overlap,
    parse_local_addresses,
    parse_routes,
)

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_the_first_free_port_is_chosen() -> None:
    assert choose_port(6443, taken=[6443], is_free=lambda port: port != 6444) == 6445


def test_no_free_port_is_told() -> None:
    with pytest.raises(CommandError, match="no free port from 6443"):
        choose_port(6443, taken=[], is_free=lambda port: False)


def test_routes_are_read_without_the_default_route() -> None:
    assert parse_routes(ROUTES) == ["172.17.0.0/16", "192.0.2.0/24"]


TREE = """Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 10.244.0.0/16 2 0 2
        |-- 10.244.0.1
           /32 host LOCAL
        |-- 10.244.0.2
           /32 link UNICAST
     |-- 127.0.0.1
        /32 host LOCAL
Main:
        |-- 10.244.0.1
           /32 host LOCAL
"""


def test_the_hosts_own_addresses_are_read_once_each() -> None:
    assert parse_local_addresses(TREE) == ["10.244.0.1/32", "127.0.0.1/32"]


networks = st.builds(
    lambda address, prefix: str(ipaddress.IPv4Network((address, prefix), strict=False)),
    st.integers(
        min_value=int(ipaddress.IPv4Address("10.0.0.0")), max_value=int(ipaddress.IPv4Address("10.255.255.255"))
    ),
    st.integers(min_value=14, max_value=30),
)


@given(st.lists(networks, max_size=6))
def test_a_chosen_range_overlaps_nothing(taken: list[str]) -> None:
    try:
        chosen = choose_range(POD_RANGES, taken)
    except CommandError:
        return
    assert find_overlap(chosen, taken) is None


@pytest.mark.parametrize(
    ("candidates", "taken", "expected"),
    [
        pytest.param(POD_RANGES, [], "10.244.0.0/16", id="what is customary for Pods"),
        pytest.param(SERVICE_RANGES, [], "10.96.0.0/16", id="and for Services"),
        pytest.param(POD_RANGES, ["10.244.3.0/24", "10.245.0.0/16"], "10.246.0.0/16", id="the next that nobody uses"),
        pytest.param(POD_RANGES, ["10.240.0.0/12"], "10.239.0.0/16", id="counting down from where 10 ends"),
        pytest.param(POD_RANGES, ["10.0.0.0/8"], "172.16.0.0/16", id="beside Docker's pools where a VPN has all of 10"),
        pytest.param(POD_RANGES, ["10.0.0.0/8", "172.16.0.0/12"], "198.18.0.0/16", id="where it has 172.16 as well"),
        pytest.param(SERVICE_RANGES, ["10.0.0.0/8"], "198.19.0.0/16", id="for Services where a VPN has all of 10"),
    ],
)
def test_which_range_is_taken(candidates: tuple[str, ...], taken: list[str], expected: str) -> None:
    assert choose_range(candidates, taken) == expected


def test_no_free_range_is_told() -> None:
    with pytest.raises(CommandError, match=r"all of 66 ranges from 10\.244\.0\.0/16 to 198\.18\.0\.0/16 overlap"):
        choose_range(POD_RANGES, ["0.0.0.0/0"])


def test_sixty_clusters_of_one_host_get_along() -> None:
    taken: list[str] = []
    for _ in range(60):
        for candidates in (POD_RANGES, SERVICE_RANGES):
            chosen = choose_range(candidates, taken)
            assert find_overlap(chosen, taken) is None
            taken.append(chosen)


@pytest.mark.parametrize(
    "others",
    [
        *("172.17.0.0/16", "172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/13", "192.168.0.0/16"),
        *("10.0.0.0/11", "10.42.0.0/15", "10.88.0.0/15", "100.64.0.0/10"),
    ],
)
def test_what_docker_and_others_take_later_is_left_to_them(others: str) -> None:
    assert find_overlap(others, [*POD_RANGES, *SERVICE_RANGES]) is None
