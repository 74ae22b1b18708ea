"""Where a request that is proxied to a Service goes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from control.apiserver.registry.subresources.service_endpoint import choose_endpoint

PODS = {
    "a": {"status": {"podIPs": [{"ip": "10.0.0.1"}]}},
    "b": {"status": {"podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]}},
    "new": {},
}
HTTP = {"name": "http", "port": 80}


def address(ip: str, pod: str, namespace: str = "ns") -> dict[str, Any]:
    return {"ip": ip, "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace}}


A, B = address("10.0.0.1", "a"), address("10.0.0.2", "b")


def choices(*subsets: dict[str, Any], port: str = "http") -> set[tuple[str, int] | None]:
    """Every choice of many throws of the dice."""
    endpoints = {"metadata": {"namespace": "ns", "name": "web"}, "subsets": list(subsets)}
    return {choose_endpoint(endpoints, port, find_pod=PODS.get, random=Random(seed)) for seed in range(50)}


def test_every_ready_address_of_every_subset_takes_its_turn() -> None:
    chosen = choices({"addresses": [A, B], "ports": [HTTP]}, {"addresses": [A], "ports": [{**HTTP, "port": 8080}]})
    assert chosen == {("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.1", 8080)}


def test_a_port_is_found_by_its_name_and_one_without_by_none() -> None:
    ports = [HTTP, {"port": 443}]
    assert choices({"addresses": [A], "ports": ports}, port="") == {("10.0.0.1", 443)}
    assert choices({"addresses": [A], "ports": ports}, port="other") == {None}


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"ip": "10.0.0.1"}, id="of nobody"),
        pytest.param(address("10.0.0.1", "a", namespace="other"), id="of another namespace"),
        pytest.param(address("10.0.0.1", "gone"), id="of a Pod that is gone"),
        pytest.param(address("10.0.0.1", "new"), id="of a Pod without an address"),
        pytest.param(address("169.254.169.254", "a"), id="that its Pod does not have"),
    ],
)
def test_an_address_that_is_no_pods_is_passed_over(odd: dict[str, Any]) -> None:
    assert choices({"addresses": [odd, B], "ports": [HTTP]}) == {("10.0.0.2", 80)}
    assert choices({"addresses": [odd], "ports": [HTTP]}) == {None}


def test_addresses_that_are_not_ready_are_no_choice() -> None:
    assert choices({"notReadyAddresses": [A], "ports": [HTTP]}) == {None}
    assert choices() == {None}
