"""Rules of autoscalers, budgets, slices, Leases and RuntimeClasses beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import ENDPOINT_SLICES, ENDPOINTS, LEASES
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, change, created, kind_named, texts, updated

_AUTOSCALERS = kind_named("autoscaling", "v2", "horizontalpodautoscalers")
_BUDGETS = kind_named("policy", "v1", "poddisruptionbudgets")
_RUNTIME_CLASSES = kind_named("node.k8s.io", "v1", "runtimeclasses")
assert _AUTOSCALERS is not None
assert _BUDGETS is not None
assert _RUNTIME_CLASSES is not None
AUTOSCALERS, BUDGETS, RUNTIME_CLASSES = _AUTOSCALERS, _BUDGETS, _RUNTIME_CLASSES

AUTOSCALER: Object = {
    "metadata": {"name": "web"},
    "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}},
}
SLICE: Object = {
    "metadata": {"name": "web-1"},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.0.0.1"]}],
    "ports": [{"name": "http", "port": 80}],
}
M = "spec.metrics[0]"


def case(sentence: str, *rows: Any) -> Any:
    return pytest.param(*rows, id=sentence)


METRICS = [
    case("a metric has a known type", {"type": "Odd"},
         [f'{M}.type: Unsupported value: "Odd": supported values: "ContainerResource", "External", "Object", "Pods", '
          '"Resource"'] * 2),
    case("a metric has its own source", {"type": "Pods", "external": {
        "metric": {"name": "q"}, "target": {"type": "Odd", "value": "1", "averageValue": "1"}}},
         [f'{M}.external.target.type: Invalid value: "Odd": must be either Utilization, Value, or AverageValue',
          f"{M}.external.target.value: Forbidden: may not set both a target value for metric and a per-pod target",
          f"{M}.pods: Required value: must populate information for the given metric source"]),
    case("a resource of a container is one of containers", {"type": "ContainerResource", "containerResource": {
        "name": "bananas", "container": "A", "target": {"type": "Utilization", "averageUtilization": 0}}},
         [f'{M}.containerResource.name: Invalid value: "bananas": must be a standard resource type or fully qualified',
          f'{M}.containerResource.name: Invalid value: "bananas": must be a standard resource for containers',
          f"{M}.containerResource.container: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower "
          "case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. "
          "'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
          f"{M}.containerResource.target.averageUtilization: Invalid value: 0: must be greater than 0"]),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "expected"), METRICS)
def test_odd_metrics_have_upstream_causes(metric: Object, expected: list[str]) -> None:
    assert texts(created(AUTOSCALERS, change(AUTOSCALER, "spec.metrics", [metric]))[1]) == expected


def test_only_autoscalers_that_could_before_scale_to_nothing() -> None:
    asleep = change(AUTOSCALER, "spec.minReplicas", 0)
    old, broken = created(AUTOSCALERS, asleep)
    detail = "must specify at least one Object or External metric to support scaling to zero replicas"

    assert texts(broken) == [
        "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        f"spec.metrics: Forbidden: {detail}",
    ]
    assert texts(updated(AUTOSCALERS, old, asleep)) == [f"spec.metrics: Forbidden: {detail}"]


def test_counters_of_autoscalers_are_not_negative() -> None:
    old, _ = created(AUTOSCALERS, AUTOSCALER)
    obj = {**copy_object(old), "status": {"currentReplicas": -1, "desiredReplicas": -2}}

    assert [e.field for e in strategy_for(AUTOSCALERS).validate_status_update(CONTEXT, obj, old)] == [
        "status.currentReplicas",
        "status.desiredReplicas",
    ]


def test_conditions_of_budgets_are_judged() -> None:
    old, _ = created(BUDGETS, {"metadata": {"name": "web"}, "spec": {"selector": {}, "minAvailable": 1}})
    time = "2026-01-01T00:00:00Z"
    odd = {"type": "A", "status": "Maybe", "reason": "1", "observedGeneration": -1}
    good = {"type": "A", "status": "True", "reason": "Fine", "lastTransitionTime": time}
    obj = copy_object(old)
    obj["status"]["conditions"] = [odd, good]

    assert texts(strategy_for(BUDGETS).validate_status_update(CONTEXT, obj, old)) == [
        'status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
        "status.conditions[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero",
        "status.conditions[0].lastTransitionTime: Required value: must be set",
        'status.conditions[0].reason: Invalid value: "1": a condition reason must start with alphabetic character, '
        "optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric "
        "character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', "
        "regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
        'status.conditions[1].type: Duplicate value: "A"',
    ]


SLICES = [
    case("addresses are of the slice's family", "endpoints.0.addresses", ["fd00::1"],
         ['endpoints[0].addresses[0]: Invalid value: "fd00::1": must be an IPv4 address']),
    case("zones are hinted at once", "endpoints.0.hints", {"forZones": [{"name": "a"}, {"name": "a"}]},
         ['endpoints[0].hints.forZones[1].name: Duplicate value: "a"']),
    case("nodes that are hinted at are few", "endpoints.0.hints",
         {"forNodes": [{"name": f"n{index}"} for index in range(9)]},
         ["endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), SLICES)
def test_odd_slices_have_upstream_causes(path: str, value: Any, expected: list[str]) -> None:
    assert texts(created(ENDPOINT_SLICES, change(SLICE, path, value))[1]) == expected


def test_names_as_addresses_are_domains_and_deprecated() -> None:
    named = change(SLICE, "addressType", "FQDN")
    obj, broken = created(ENDPOINT_SLICES, change(named, "endpoints.0.addresses", ["web"]))

    assert texts(broken) == [
        'endpoints[0].addresses[0]: Invalid value: "web": should be a domain with at least two segments separated by '
        "dots"
    ]
    assert strategy_for(ENDPOINT_SLICES).warnings_on_create(CONTEXT, obj) == [
        "spec.addressType: FQDN endpoints are deprecated"
    ]


def test_free_topology_is_dropped() -> None:
    obj, _ = created(ENDPOINT_SLICES, change(SLICE, "endpoints.0.deprecatedTopology", {"a": "b"}))

    assert "deprecatedTopology" not in obj["endpoints"][0]


def test_endpoints_that_stay_are_not_judged_again() -> None:
    odd: Object = {"metadata": {"name": "web"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}]}]}
    old, broken = created(ENDPOINTS, odd)

    assert [error.field for error in broken] == ["subsets[0].addresses[0].ip"]
    assert updated(ENDPOINTS, old, change(odd, "metadata.labels", {"a": "b"})) == []


def test_the_server_holds_no_elections() -> None:
    obj, broken = created(LEASES, {"metadata": {"name": "l"}, "spec": {"preferredHolder": "me", "strategy": "Odd"}})

    assert (obj["spec"], broken) == ({}, [])


def test_overheads_are_limits_and_tolerations_are_unique() -> None:
    toleration = {"key": "a", "operator": "Exists"}
    body: Object = {
        "metadata": {"name": "kata"},
        "handler": "kata",
        "overhead": {"podFixed": {"cpu": "-1"}},
        "scheduling": {"tolerations": [toleration, toleration]},
    }

    assert texts(created(RUNTIME_CLASSES, body)[1]) == [
        'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        'scheduling.tolerations[1]: Duplicate value: {"Key":"a","Operator":"Exists","Value":"","Effect":"",'
        '"TolerationSeconds":null}',
    ]
