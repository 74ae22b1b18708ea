"""Which addresses a Service shows, in slices and in Endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from control.api.builtin_kinds import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from control.api.objects import Object
from control.client.view import View
from control.client.writes import Create, Delete, Result, Update
from control.controllers.service_endpoints import endpoint_slice, endpoints
from tests.unit.controllers.builders import NOW, make_object, make_pod


def make_service(**spec: Any) -> Object:
    ports = [{"name": "web", "protocol": "TCP", "port": 80, "targetPort": "http"}]
    return make_object("v1", "Service", "s", spec={"selector": {"app": "web"}, "ports": ports, **spec})


def make_backend(number: int, *, ready: bool = True, port: int = 8080, **fields: Any) -> Object:
    pod = make_pod(f"p{number:03d}", ready=ready, node="n1", **fields)
    pod["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": port}]
    pod["status"]["podIPs"] = [{"ip": f"10.0.{number // 250}.{number % 250 + 1}"}]
    return pod


def plan(service: Object | None, pods: Sequence[Object] = (), slices: Sequence[Object] = ()) -> Result:
    node = make_object("v1", "Node", "n1", None, metadata={"labels": {"topology.kubernetes.io/zone": "z"}})
    services = [service] if service is not None else []
    view = View.of({SERVICES: services, PODS: pods, ENDPOINT_SLICES: slices, NODES: [node]})
    return endpoint_slice.reconcile("default/s", view, NOW)


def stored(result: Result) -> list[Object]:
    """The slices of a result as the server would keep them."""
    slices = []
    for number, step in enumerate(result.steps):
        assert isinstance(step, Create)
        metadata = {"name": f"s-{number}", **step.obj["metadata"]}
        slices.append({**step.obj, "metadata": {**metadata, "uid": f"slice-{number}", "resourceVersion": "1"}})
    return slices


def test_slice_shows_state_and_place_of_each_pod() -> None:
    going = make_backend(2, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    (item,) = stored(plan(make_service(), [make_backend(0), make_backend(1, ready=False), going]))
    states = [tuple(endpoint["conditions"].values()) for endpoint in item["endpoints"]]
    assert states == [(True, True, False), (False, False, False), (False, True, True)]
    assert item["endpoints"][0]["nodeName"] == "n1"
    assert item["endpoints"][0]["zone"] == "z"
    assert item["ports"] == [{"name": "web", "protocol": "TCP", "port": 8080}]
    assert item["metadata"]["labels"] == {
        "kubernetes.io/service-name": "s",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }


def test_slices_at_rest_need_nothing_and_a_change_rewrites_one() -> None:
    pods = [make_backend(number) for number in range(230)]
    slices = stored(plan(make_service(), pods))
    assert [len(item["endpoints"]) for item in slices] == [100, 100, 30]
    assert not plan(make_service(), pods, slices).steps
    (update,) = plan(make_service(), pods[1:], slices).steps
    assert isinstance(update, Update)
    assert len(update.obj["endpoints"]) == 99


def test_pods_with_other_port_numbers_have_a_slice_of_their_own() -> None:
    slices = stored(plan(make_service(), [make_backend(0), make_backend(1, port=9090)]))
    assert [item["ports"][0]["port"] for item in slices] == [8080, 9090]


def test_service_without_pods_keeps_one_empty_slice() -> None:
    (item,) = stored(plan(make_service()))
    assert item["endpoints"] == []
    assert not plan(make_service(), [], [item]).steps


def test_a_slice_that_would_go_serves_before_a_new_one_is_made() -> None:
    (empty,) = stored(plan(make_service()))
    (update,) = plan(make_service(), [make_backend(0)], [empty]).steps
    assert isinstance(update, Update)
    assert update.obj["metadata"]["name"] == empty["metadata"]["name"]
    assert [port["port"] for port in update.obj["ports"]] == [8080]
    (emptied,) = plan(make_service(), [], [update.obj]).steps
    assert isinstance(emptied, Update)
    assert emptied.obj["endpoints"] == []


@pytest.mark.parametrize(
    "service",
    [None, make_service(selector=None), make_service(type="ExternalName")],
    ids=["the Service is gone", "no selector", "ExternalName"],
)
def test_slices_nobody_selects_for_are_deleted(service: Object | None) -> None:
    slices = stored(plan(make_service(), [make_backend(0)]))
    (delete,) = plan(service, [make_backend(0)], slices).steps
    assert isinstance(delete, Delete)


@pytest.mark.parametrize(
    "pod",
    [
        make_backend(0, status={"phase": "Succeeded"}),
        make_backend(0, metadata={"labels": {"app": "other"}}),
        {**make_backend(0), "status": {"phase": "Pending"}},
    ],
    ids=["finished", "not selected", "without address"],
)
def test_pod_that_does_not_count(pod: Object) -> None:
    (item,) = stored(plan(make_service(), [pod]))
    assert item["endpoints"] == []


def plan_endpoints(service: Object | None, pods: Sequence[Object] = (), present: Object | None = None) -> Result:
    services = [service] if service is not None else []
    view = View.of({SERVICES: services, PODS: pods, ENDPOINTS: [present] if present is not None else []})
    return endpoints.reconcile("default/s", view, NOW)


def test_endpoints_split_ready_and_unready_addresses() -> None:
    (create,) = plan_endpoints(make_service(), [make_backend(1, ready=False), make_backend(0)]).steps
    assert isinstance(create, Create)
    (subset,) = create.obj["subsets"]
    assert [item["ip"] for item in subset["addresses"]] == ["10.0.0.1"]
    assert [item["ip"] for item in subset["notReadyAddresses"]] == ["10.0.0.2"]
    assert subset["ports"] == [{"name": "web", "port": 8080, "protocol": "TCP"}]
    assert create.obj["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}


def test_endpoints_of_a_vanished_service_go_if_they_are_ours() -> None:
    labels = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    ours = make_object("v1", "Endpoints", "s", metadata={"labels": labels})
    (delete,) = plan_endpoints(None, [], ours).steps
    assert isinstance(delete, Delete)
    assert not plan_endpoints(None, [], make_object("v1", "Endpoints", "s")).steps
