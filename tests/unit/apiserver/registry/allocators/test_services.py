"""What Services are given: addresses, families and ports; and what a failed write gives back."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.builtin_kinds import SERVICES
from control.api.errors import ApiError
from control.api.objects import Object, copy_object
from control.apiserver.registry.allocators import ServiceAllocator
from control.apiserver.registry.strategies import strategy_for


def make_service(**spec: Any) -> Object:
    service: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    service["spec"].setdefault("ports", [{"port": 80}])
    strategy_for(SERVICES).default(service)
    return service


def make_allocator(cidr: str = "10.96.0.0/16") -> ServiceAllocator:
    return ServiceAllocator(cidr, random.Random(1))


def test_an_address_comes_from_the_upper_part_of_the_range() -> None:
    service = make_service()
    make_allocator().allocate(service, None)
    spec = service["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["clusterIP"].startswith("10.96.")
    assert not spec["clusterIP"].startswith("10.96.0.")
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"clusterIP": "10.96.0.10"},
            'spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: '
            "provided IP is already allocated",
            id="an address is given once",
        ),
        pytest.param(
            {"clusterIP": "192.0.2.1"},
            'spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: '
            "the provided network does not match the current range",
            id="an address is of the range",
        ),
        pytest.param(
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. "
            "The range of valid ports is 30000-32767",
            id="a node port is of the range",
        ),
        pytest.param(
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]},
            "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated",
            id="a node port is given once",
        ),
        pytest.param(
            {"ipFamilies": ["IPv6"]},
            'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
            id="the cluster has one family",
        ),
    ],
)
def test_what_cannot_be_given_is_refused(spec: dict[str, Any], message: str) -> None:
    allocator = make_allocator()
    held = make_service(type="NodePort", clusterIP="10.96.0.10", ports=[{"port": 80, "nodePort": 30080}])
    allocator.allocate(held, None)
    with pytest.raises(ApiError) as refused:
        allocator.allocate(make_service(**spec), None)
    assert refused.value.message == f'Service "web" is invalid: {message}'


def test_a_failed_write_gives_everything_back() -> None:
    allocator = make_allocator()
    service = make_service(type="LoadBalancer", externalTrafficPolicy="Local", clusterIP="10.96.0.10")
    undo = allocator.allocate(copy_object(service), None)
    undo()
    allocator.allocate(service, None)
    assert service["spec"]["healthCheckNodePort"] >= 30000


def test_a_headless_service_gets_no_address() -> None:
    service = make_service(clusterIP="None", selector={"app": "web"})
    make_allocator().allocate(service, None)
    assert service["spec"]["clusterIPs"] == ["None"]


def test_an_update_that_leaves_allocated_values_out_keeps_them() -> None:
    allocator = make_allocator()
    old = make_service(type="NodePort")
    allocator.allocate(old, None)
    new = make_service(type="NodePort")
    allocator.allocate(new, old)
    assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
    assert new["spec"]["ports"][0]["nodePort"] == old["spec"]["ports"][0]["nodePort"]


def test_a_changed_type_releases_its_node_ports() -> None:
    allocator = make_allocator()
    old = make_service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    allocator.allocate(old, None)
    new = make_service(clusterIP=old["spec"]["clusterIP"])
    allocator.allocate(new, old)
    allocator.allocate(make_service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]), None)


def test_the_stored_services_are_taken_over() -> None:
    allocator = make_allocator()
    held = make_service(clusterIP="10.96.0.10", clusterIPs=["10.96.0.10"])
    allocator.rebuild([held])
    with pytest.raises(ApiError):
        allocator.allocate(make_service(clusterIP="10.96.0.10"), None)
    allocator.release(held)
    allocator.allocate(make_service(clusterIP="10.96.0.10"), None)


def test_two_protocols_of_a_port_share_their_node_port() -> None:
    service = make_service(
        type="NodePort",
        ports=[{"name": "a", "port": 53, "protocol": "UDP"}, {"name": "b", "port": 53, "protocol": "TCP"}],
    )
    make_allocator().allocate(service, None)
    first, second = (port["nodePort"] for port in service["spec"]["ports"])
    assert first == second


@given(st.lists(st.sampled_from(["create", "fail", "delete"]), max_size=40), st.integers(0, 2**16))
def test_no_two_services_hold_the_same_address(steps: list[str], seed: int) -> None:
    allocator = ServiceAllocator("10.96.0.0/27", random.Random(seed))
    held: list[Object] = []
    for step in steps:
        if step == "delete" and held:
            allocator.release(held.pop())
            continue
        service = make_service()
        try:
            undo = allocator.allocate(service, None)
        except ApiError:
            assert len(held) >= 30
            continue
        if step == "fail":
            undo()
        else:
            held.append(service)
    addresses = [service["spec"]["clusterIP"] for service in held]
    assert len(set(addresses)) == len(addresses)
