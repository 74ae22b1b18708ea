"""Requirements of sig-network on Services, Endpoints and EndpointSlices as objects, on played nodes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import Batch, Object, make_object
from tests.conformance.control_plane.played_nodes import PlayedNodes
from tests.conformance.http_api import MERGE_PATCH, HttpApi


def make_service(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A Service of port 80."""
    return make_object("Service", name, labels=labels, spec={"ports": [{"port": 80, "protocol": "TCP"}], **spec})


def make_pod(name: str, /, *ports: tuple[str, int], **labels: str) -> Object:
    """A Pod with named ports."""
    listed = [{"name": port, "containerPort": number} for port, number in ports]
    return make_object("Pod", name, labels=labels, spec={"containers": [{"name": "c", "image": "i", "ports": listed}]})


class Network:
    """Services, Endpoints and EndpointSlices of one namespace."""

    def __init__(self, batch: Batch) -> None:
        self.api = batch.api
        self.services, self.endpoints = batch.path("services"), batch.path("endpoints")
        self.slices = f"/apis/discovery.k8s.io/v1/namespaces/{batch.namespace}/endpointslices"

    def slices_of(self, service: str) -> list[Object]:
        """The EndpointSlices of a Service."""
        return self.api.items(self.slices, f"kubernetes.io/service-name={service}")

    def in_slices(self, service: str) -> set[tuple[str, str, int]]:
        """Address, port name and port of all endpoints in a Service's slices."""
        return {
            (address, port.get("name", ""), port["port"])
            for item in self.slices_of(service)
            for endpoint in item["endpoints"] or ()
            for address in endpoint["addresses"]
            for port in item["ports"]
        }

    def in_endpoints(self, service: str) -> set[tuple[str, str, int]]:
        """Address, port name and port of all that a Service's Endpoints name."""
        status, found = self.api.request("GET", f"{self.endpoints}/{service}")
        return {
            (address["ip"], port.get("name", ""), port["port"])
            for subset in (found.get("subsets") or () if status == 200 else ())
            for address in subset.get("addresses", ())
            for port in subset["ports"]
        }

    def wait_both(self, service: str, expected: set[tuple[str, str, int]]) -> None:
        """Wait until Endpoints and slices say the same."""
        for found in (self.in_endpoints, self.in_slices):
            wait_for(lambda found=found: found(service) == expected, f"{service}: {expected} {found(service)}")

    def wait_gone(self, service: str) -> None:
        """Wait until neither Endpoints nor slices are left."""
        wait_for(lambda: self.api.request("GET", f"{self.endpoints}/{service}")[0] == 404, "no Endpoints are left")
        wait_for(lambda: not self.slices_of(service), "no EndpointSlices are left")


@pytest.fixture
def network(batch: Batch) -> Network:
    """The Services of the module's namespace."""
    return Network(batch)


# --- the API server itself --------------------------------------------------------------------------------------------


@pytest.mark.requirement("[sig-network] Services should find a service from listing all namespaces")
def test_the_service_of_the_api_server_is_listed(api: HttpApi) -> None:
    listed = [
        (item["metadata"]["namespace"], item["metadata"]["name"]) for item in api.get("/api/v1/services")["items"]
    ]
    assert ("default", "kubernetes") in listed


# --- Services ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("[sig-network] Services should complete a service status lifecycle")
def test_the_status_of_a_service(network: Network) -> None:
    api, one = network.api, f"{network.services}/life"
    labels = {"test-service-static": "true"}
    with api.watch(network.services, "test-service-static=true") as events:
        service = make_service("life", labels=labels, type="LoadBalancer", loadBalancerClass="example.com/internal-vip")
        api.create(network.services, service)
        assert next(events)[0] == "ADDED"
        assert api.get(f"{one}/status")["status"] == {"loadBalancer": {}}
        ingress = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
        patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": ingress}
        patched = api.patch(f"{one}/status", patch, MERGE_PATCH)
        assert patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
        assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
        assert next(events)[1]["metadata"]["annotations"] == {"patchedstatus": "true"}
        condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
        patched["status"]["conditions"] = [condition | {"lastTransitionTime": "2025-01-01T00:00:00Z"}]
        assert api.update(f"{one}/status", patched)["status"]["conditions"][0]["type"] == "StatusUpdate"
        assert next(events)[1]["status"]["conditions"][0]["reason"] == "E2E"
        patched = api.patch(one, {"metadata": {"labels": {"test-service": "patched"}}})
        assert next(events)[1]["metadata"]["labels"] == labels | {"test-service": "patched"}
        api.delete(one)
        assert next(events)[0] == "DELETED"


@pytest.mark.requirement("[sig-network] Services should delete a collection of services")
def test_a_collection_of_services_is_deleted(network: Network) -> None:
    api, selector = network.api, "e2e-test-service=delete"
    for index in range(3):
        labels = {"e2e-test-service": "delete" if index else "keep"}
        api.create(network.services, make_service(f"collected-{index}", labels=labels))
    assert len(api.items(network.services, "e2e-test-service")) == 3
    api.delete(network.services, labelSelector=selector)
    left = [item["metadata"]["name"] for item in api.items(network.services, "e2e-test-service")]
    assert left == ["collected-0"]


@pytest.mark.requirement("[sig-network] Services should be able to change the type from NodePort to ExternalName")
def test_a_node_port_becomes_a_name(network: Network) -> None:
    """As far as the object goes: what it allocated is given back."""
    created = network.api.create(network.services, make_service("renamed", type="NodePort", selector={"a": "b"}))
    assert created["spec"]["ports"][0]["nodePort"]
    created["spec"] |= {"type": "ExternalName", "externalName": "other.default.svc.cluster.local", "clusterIP": ""}
    created["spec"]["ports"][0].pop("nodePort")
    changed = network.api.update(f"{network.services}/renamed", created)
    assert "clusterIP" not in changed["spec"]
    assert "nodePort" not in changed["spec"]["ports"][0]


# --- Endpoints and EndpointSlices -------------------------------------------------------------------------------------


@pytest.mark.requirement("[sig-network] Endpoints should test the lifecycle of an Endpoint")
def test_the_lifecycle_of_endpoints(network: Network) -> None:
    api, one, selector = network.api, f"{network.endpoints}/life", "test-endpoint-static=true"
    labels = {"test-endpoint-static": "true"}
    subset = {"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    with api.watch(network.endpoints, selector) as events:
        api.create(network.endpoints, make_object("Endpoints", "life", labels=labels, subsets=[subset]))
        assert next(events)[0] == "ADDED"
        assert [item["metadata"]["name"] for item in api.items("/api/v1/endpoints", selector)] == ["life"]
        found = api.get(one)
        found["metadata"]["labels"]["test-service"] = "updated"
        api.update(one, found)
        assert next(events)[1]["metadata"]["labels"]["test-service"] == "updated"
        other = {"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}]}
        api.patch(one, {"metadata": {"labels": {"test-service": "patched"}}, "subsets": [other]})
        kind, seen = next(events)
        assert (kind, seen["subsets"]) == ("MODIFIED", [other])
        assert seen["metadata"]["labels"]["test-service"] == "patched"
        api.delete(network.endpoints, labelSelector=selector)
        assert next(events)[0] == "DELETED"
    api.expect(404, "GET", one)


@pytest.mark.parametrize(
    "requirement",
    [
        "[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that "
        "matches no pods",
        "[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that "
        "matches no pods",
    ],
)
def test_a_service_without_pods_has_empty_endpoints(requirement: str, network: Network) -> None:
    name = f"empty-{len(requirement)}"
    network.api.create(network.services, make_service(name, selector={"does-not-match": "anything"}))
    wait_for(lambda: network.api.request("GET", f"{network.endpoints}/{name}")[0] == 200, "there are Endpoints")
    (item,) = wait_for(lambda: network.slices_of(name), "there is an EndpointSlice")
    assert item["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert not item["endpoints"]
    network.api.delete(f"{network.services}/{name}")
    network.wait_gone(name)


@pytest.mark.requirement(
    "[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service"
)
@pytest.mark.requirement("[sig-network] EndpointsController should create Endpoints for Pods matching a Service")
def test_pods_of_a_service_are_its_endpoints(network: Network, batch: Batch, nodes: PlayedNodes) -> None:
    api = network.api
    api.create(batch.path("pods"), make_pod("pod1", ("example-name", 3000), pod1="on", shared12="on"))
    ports = (("example-name", 3001), ("other-port", 3002))
    api.create(batch.path("pods"), make_pod("pod2", *ports, pod2="on", shared12="on"))
    for name, selector, port in (
        ("example-int-port", "pod1", {"name": "example", "port": 80, "targetPort": 3000}),
        ("example-named-port", "shared12", {"name": "http", "port": 80, "targetPort": "example-name"}),
        ("example-no-match", "pod3", {"name": "example-no-match", "port": 80, "targetPort": 8080}),
    ):
        service = make_service(name, selector={selector: "on"}, publishNotReadyAddresses=True, ports=[port])
        api.create(network.services, service)
    batch.wait(lambda pod: pod["status"].get("podIP"), "pod1", "pod2", what="have addresses")
    first, second = (batch.pod(name)["status"]["podIP"] for name in ("pod1", "pod2"))
    network.wait_both("example-int-port", {(first, "example", 3000)})
    both = {(first, "http", 3000), (second, "http", 3001)}
    network.wait_both("example-named-port", both)
    assert len(network.slices_of("example-named-port")) == 2
    wait_for(lambda: len(network.slices_of("example-no-match")) == 1, "an empty slice")
    assert network.in_slices("example-no-match") == set()
    api.delete(network.slices, labelSelector="kubernetes.io/service-name=example-named-port")
    network.wait_both("example-named-port", both)
    for name in ("pod1", "pod2"):
        api.expect(200, "DELETE", batch.path(f"pods/{name}"), {"gracePeriodSeconds": 0})


@pytest.mark.requirement("[sig-network] Service endpoints latency should not be very high")
def test_endpoints_come_quickly(network: Network, batch: Batch, nodes: PlayedNodes) -> None:
    """From the Service that is made to Endpoints with an address: at most 20 s for half, 50 s for 99 in 100."""
    api = network.api
    api.create(batch.path("pods"), make_pod("svc-latency", ("web", 9376), name="svc-latency"))
    batch.wait(lambda pod: pod["status"]["phase"] == "Running", "svc-latency", what="runs")
    seconds = []
    for index in range(30):
        started = time.monotonic()
        api.create(network.services, make_service(f"latency-{index}", selector={"name": "svc-latency"}))
        wait_for(lambda index=index: network.in_endpoints(f"latency-{index}"), "its Endpoints")
        seconds.append(time.monotonic() - started)
    ordered = sorted(seconds)
    assert ordered[len(ordered) // 2] < 20
    assert ordered[-1] < 50
    api.expect(200, "DELETE", batch.path("pods/svc-latency"), {"gracePeriodSeconds": 0})
