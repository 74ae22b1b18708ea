"""The default ServiceCIDR, and IPAddresses that show what Services hold."""

from __future__ import annotations

import asyncio
from typing import Any

from control.apiserver.service_addresses import stale_addresses, wanted_addresses
from tests.unit.apiserver.api_calls import ApiCalls

ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
SERVICES = "/api/v1/namespaces/default/services"


def service(name: str, *addresses: str, namespace: str = "default") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIPs": list(addresses)}}


def new_service(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], **spec},
    }


def test_every_cluster_ip_has_an_address_and_headless_services_have_none() -> None:
    wanted = wanted_addresses([service("a", "10.96.0.5", "fd00::5"), service("b", "None"), service("c")])
    assert list(wanted) == ["10.96.0.5", "fd00::5"]
    assert wanted["fd00::5"]["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv6",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    assert wanted["10.96.0.5"]["spec"]["parentRef"] == {
        "group": "",
        "resource": "services",
        "namespace": "default",
        "name": "a",
    }


def test_what_nobody_or_somebody_else_holds_is_stale_but_not_what_others_made() -> None:
    shown = list(wanted_addresses([service("a", "10.96.0.5"), service("b", "10.96.0.6")]).values())
    foreign = {"metadata": {"name": "10.96.0.9"}, "spec": {"parentRef": {"resource": "services", "name": "z"}}}
    wanted = wanted_addresses([service("a", "10.96.0.5"), service("other", "10.96.0.6")])
    assert stale_addresses(wanted, [*shown, foreign]) == ["10.96.0.6"]
    assert stale_addresses({}, shown) == ["10.96.0.5", "10.96.0.6"]


async def until_addresses_are(api: ApiCalls, names: set[str]) -> None:
    """Wait, by turns of the loop, for what follows a write."""
    for _ in range(1000):
        found = await api.call("GET", ADDRESSES)
        if {item["metadata"]["name"] for item in found["items"]} == names:
            return
        await asyncio.sleep(0)
    raise AssertionError(found)


async def test_addresses_follow_services_and_come_back_when_deleted(api: ApiCalls) -> None:
    await until_addresses_are(api, {"10.96.0.1"})
    await api.call("POST", SERVICES, new_service("a", clusterIP="10.96.0.50"), expect=201)
    await until_addresses_are(api, {"10.96.0.1", "10.96.0.50"})
    await api.call("DELETE", f"{ADDRESSES}/10.96.0.50")
    await until_addresses_are(api, {"10.96.0.1", "10.96.0.50"})
    await api.call("DELETE", f"{SERVICES}/a")
    # The address is free at once, whether its object is gone already or not.
    await api.call("POST", SERVICES, new_service("b", clusterIP="10.96.0.50"), expect=201)
    await until_addresses_are(api, {"10.96.0.1", "10.96.0.50"})
    shown = await api.call("GET", f"{ADDRESSES}/10.96.0.50")
    for _ in range(1000):
        if shown["spec"]["parentRef"]["name"] == "b":
            break
        await asyncio.sleep(0)
        shown = await api.call("GET", f"{ADDRESSES}/10.96.0.50")
    assert shown["spec"]["parentRef"]["name"] == "b"


async def test_an_address_somebody_made_is_not_given_away(api: ApiCalls) -> None:
    parent = {"resource": "services", "namespace": "default", "name": "mine"}
    address = {"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "spec": {"parentRef": parent}}
    await api.call("POST", ADDRESSES, {**address, "metadata": {"name": "10.96.0.77"}}, expect=201)
    status = await api.call("POST", SERVICES, new_service("a", clusterIP="10.96.0.77"), expect=422)
    assert "failed to allocate IP 10.96.0.77: provided IP is already allocated" in status["message"]
    await api.call("DELETE", f"{ADDRESSES}/10.96.0.77")
    await api.call("POST", SERVICES, new_service("a", clusterIP="10.96.0.77"), expect=201)


async def test_the_range_of_the_cluster_is_shown_and_ready(api: ApiCalls) -> None:
    path = "/apis/networking.k8s.io/v1/servicecidrs/kubernetes"
    for _ in range(1000):
        shown = await api.call("GET", path)
        if shown.get("status"):
            break
        await asyncio.sleep(0)
    assert shown["spec"] == {"cidrs": ["10.96.0.0/16"]}
    (condition,) = shown["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Ready", "True")
    assert condition["message"] == "Kubernetes default Service CIDR is ready"
