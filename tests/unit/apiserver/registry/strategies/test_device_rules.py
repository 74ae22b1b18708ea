"""Rules of resource.k8s.io beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.kinds import Kind
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.registry.strategies.writes import (
    CONTEXT,
    REMOVED,
    change,
    created,
    served_kind,
    texts,
    updated,
)

CLAIMS, TEMPLATES = (
    served_kind("resource.k8s.io", "resourceclaims"),
    served_kind("resource.k8s.io", "resourceclaimtemplates"),
)
CLASSES, SLICES = served_kind("resource.k8s.io", "deviceclasses"), served_kind("resource.k8s.io", "resourceslices")

CLAIM: Object = {
    "metadata": {"name": "c"},
    "spec": {
        "devices": {
            "requests": [
                {"name": "r", "exactly": {"deviceClassName": "gpu"}},
                {"name": "s", "firstAvailable": [{"name": "a", "deviceClassName": "gpu"}]},
            ],
            "constraints": [{"requests": ["r", "s/a"], "matchAttribute": "a.b/c"}],
            "config": [{"requests": ["s"], "opaque": {"driver": "a.b", "parameters": {"x": 1}}}],
        }
    },
}
TEMPLATE: Object = {"metadata": {"name": "t"}, "spec": {"spec": CLAIM["spec"]}}
CLASS: Object = {"metadata": {"name": "d"}, "spec": {"selectors": [{"cel": {"expression": "true"}}]}}
SLICE: Object = {
    "metadata": {"name": "s"},
    "spec": {
        "driver": "a.b",
        "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
        "nodeName": "n",
        "devices": [{"name": "d", "attributes": {"a.b/c": {"string": "x"}}, "capacity": {"m": {"value": "1Gi"}}}],
    },
}
TAINT: Object = {"key": "k", "effect": "NoSchedule"}
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
IDENTIFIER = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
)
ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
DEVICES, EXACTLY = "spec.devices", "spec.devices.requests[0].exactly"
NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"

CREATES: list[tuple[str, Kind, Object, str, Any, list[str]]] = [
    ("a good claim", CLAIMS, CLAIM, "metadata.name", "c", []),
    ("a good template", TEMPLATES, TEMPLATE, "metadata.name", "t", []),
    ("a good class", CLASSES, CLASS, "spec.extendedResourceName", "a.b/c", []),
    ("a good slice", SLICES, SLICE, "metadata.name", "s", []),
    ("requests are few", CLAIMS, CLAIM, "spec.devices", {"requests": [{"name": "r"}] * 33},
     ["spec.devices.requests: Too many: 33: must have at most 32 items"]),
    ("requests have names of their own", CLAIMS, CLAIM, "spec.devices.requests.1.name", "r",
     ['spec.devices.requests[1]: Duplicate value: "r"',
      f'spec.devices.constraints[0].requests[1]: Invalid value: "s/a": {NO_REQUEST}',
      f'spec.devices.config[0].requests[0]: Invalid value: "s": {NO_REQUEST}']),
    ("requests take one form", CLAIMS, CLAIM, "spec.devices.requests.0.firstAvailable",
     [{"name": "a", "deviceClassName": "gpu"}],
     ["spec.devices.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but "
      "multiple fields are set"]),
    ("a request names a class", CLAIMS, CLAIM, "spec.devices.requests.0.exactly", {},
     [f"{EXACTLY}.deviceClassName: Required value"]),
    ("all devices are not counted", CLAIMS, CLAIM, "spec.devices.requests.0.exactly",
     {"deviceClassName": "gpu", "allocationMode": "All", "count": 2},
     [f"{EXACTLY}.count: Invalid value: 2: must not be specified when allocationMode is 'All'"]),
    ("counts are positive", CLAIMS, CLAIM, "spec.devices.requests.0.exactly.count", -1,
     [f"{EXACTLY}.count: Invalid value: -1: must be greater than zero"]),
    ("there are two modes", CLAIMS, CLAIM, "spec.devices.requests.0.exactly.allocationMode", "Some",
     [f'{EXACTLY}.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"']),
    ("selectors are expressions of some size", CLAIMS, CLAIM, "spec.devices.requests.0.exactly.selectors",
     [{}, {"cel": {"expression": "x" * 10241}}],
     [f"{EXACTLY}.selectors[0].cel: Required value",
      f"{EXACTLY}.selectors[1].cel.expression: Too long: may not be more than 10240 bytes"]),
    ("tolerations match something", CLAIMS, CLAIM, "spec.devices.requests.0.exactly.tolerations",
     [{"operator": "Exists", "value": "v"}, {"operator": "In", "key": "k"}, {"effect": "Odd", "key": "k"}],
     [f'{EXACTLY}.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`',
      f'{EXACTLY}.tolerations[1].operator: Unsupported value: "In": supported values: "Equal", "Exists"',
      f'{EXACTLY}.tolerations[2].effect: Unsupported value: "Odd": supported values: "NoExecute", "NoSchedule", '
      '"None"']),
    ("alternatives are few", CLAIMS, CLAIM, "spec.devices.requests.1.firstAvailable",
     [{"name": f"a{number}", "deviceClassName": "gpu"} for number in range(9)],
     ["spec.devices.requests[1].firstAvailable: Too many: 9: must have at most 8 items",
      f'spec.devices.constraints[0].requests[1]: Invalid value: "s/a": {NO_REQUEST}']),
    ("references are names", CLAIMS, CLAIM, "spec.devices.constraints.0.requests", ["a/b/c", "A", "r", "r"],
     [f'spec.devices.constraints[0].requests[0]: Invalid value: "a/b/c": {NO_REQUEST}',
      f'spec.devices.constraints[0].requests[1]: Invalid value: "A": {LABEL}',
      f'spec.devices.constraints[0].requests[1]: Invalid value: "A": {NO_REQUEST}',
      'spec.devices.constraints[0].requests[3]: Duplicate value: "r"']),
    ("attributes have a domain", CLAIMS, CLAIM, "spec.devices.constraints.0.matchAttribute", "c",
     ['spec.devices.constraints[0].matchAttribute: Invalid value: "c": a fully qualified name must be a domain and a '
      "name separated by a slash"]),
    ("a constraint is about an attribute", CLAIMS, CLAIM, "spec.devices.constraints.0.matchAttribute", REMOVED,
     ['spec.devices.constraints[0]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is '
      "required, but multiple fields are set"]),
    ("configuration is for a driver", CLAIMS, CLAIM, "spec.devices.config.0", {},
     ["spec.devices.config[0].opaque: Required value"]),
    ("parameters are an object", CLAIMS, CLAIM, "spec.devices.config.0.opaque", {"driver": "", "parameters": []},
     ["spec.devices.config[0].opaque.driver: Required value",
      'spec.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object']),
    ("parameters are small", CLAIMS, CLAIM, "spec.devices.config.0.opaque.parameters", {"x": "y" * 10240},
     ["spec.devices.config[0].opaque.parameters: Too long: may not be more than 10240 bytes"]),
    ("templates are claims within", TEMPLATES, TEMPLATE, "spec.spec.devices.requests.0.exactly", {},
     ["spec.spec.devices.requests[0].exactly.deviceClassName: Required value"]),
    ("classes are for extended resources", CLASSES, CLASS, "spec.extendedResourceName", "cpu",
     ['spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name']),
    ("pools are counted", SLICES, SLICE, "spec.pool", {"name": "p//", "generation": -1},
     [*[f'spec.pool.name: Invalid value: "": {text}' for text in ["a lowercase RFC 1123 subdomain must consist of "
        "lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
        "'example.com', regex used for validation is "
        r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"] * 2],
      "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
      "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero"]),
    ("slices are somewhere", SLICES, SLICE, "spec.nodeName", REMOVED, [f"spec: Required value: {ONE_PLACE}"]),
    ("slices are in one place", SLICES, SLICE, "spec.allNodes", True,
     [f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {ONE_PLACE}, but multiple fields are set']),
    ("flags are set or not", SLICES, SLICE, "spec.allNodes", False,
     ["spec.allNodes: Invalid value: false: must be either unset or set to true"]),
    ("one term of nodes", SLICES, change(SLICE, "spec.nodeName", REMOVED), "spec.nodeSelector",
     {"nodeSelectorTerms": []},
     ["spec.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term",
      "spec.nodeSelector.nodeSelectorTerms: Invalid value: null: must have exactly one node selector term"]),
    ("devices have names of their own", SLICES, SLICE, "spec.devices", [{"name": "d"}, {"name": "d"}],
     ['spec.devices[1]: Duplicate value: "d"']),
    ("devices are few", SLICES, SLICE, "spec.devices", [{"name": f"d{number}"} for number in range(129)],
     ["spec.devices: Too many: 129: must have at most 128 items"]),
    ("tainted devices are fewer", SLICES, SLICE, "spec.devices",
     [{"name": f"d{number}", "taints": [TAINT]} for number in range(65)],
     ["spec.devices: Too many: 65: must have at most 64 items"]),
    ("attributes are few", SLICES, SLICE, "spec.devices.0.attributes", {f"a{n}": {"int": n} for n in range(32)},
     ["spec.devices[0]: Invalid value: 33: the total number of attributes and capacities must not exceed 32"]),
    ("attributes have names", SLICES, SLICE, "spec.devices.0.attributes",
     {"/x": {"bool": True}, "1": {"bool": True}, "a.b/": {"bool": True}, "a/b/c": {"bool": True}},
     ['spec.devices[0].attributes: Invalid value: "": the domain must not be empty',
      f'spec.devices[0].attributes: Invalid value: "1": {IDENTIFIER}',
      'spec.devices[0].attributes: Invalid value: "": the name must not be empty',
      'spec.devices[0].attributes: Invalid value: "a/b/c": must not contain more than one slash']),
    ("attributes have one value", SLICES, SLICE, "spec.devices.0.attributes",
     {"a": {}, "b": {"int": 1, "bool": False}, "c": {"version": "1.0"}, "d": {"string": "x" * 65}},
     ['spec.devices[0].attributes[a]: Invalid value: "": exactly one value must be specified',
      'spec.devices[0].attributes[b]: Invalid value: {"IntValue":1,"BoolValue":false,"StringValue":null,'
      '"VersionValue":null,"IntValues":null,"BoolValues":null,"StringValues":null,"VersionValues":null}: exactly one '
      "value must be specified",
      'spec.devices[0].attributes[c].version: Invalid value: "1.0": must be a string compatible with semver.org spec '
      "2.0.0",
      "spec.devices[0].attributes[d].string: Too long: may not be more than 64 bytes"]),
    ("capacity is shared by leave", SLICES, SLICE, "spec.devices.0.capacity",
     {"m": {"value": "1", "requestPolicy": {}}},
     ["spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"]),
    ("taints have an effect", SLICES, SLICE, "spec.devices.0.taints", [{"key": "k"}],
     ["spec.devices[0].taints[0].effect: Required value"]),
    ("devices are placed by leave", SLICES, SLICE, "spec.devices.0.allNodes", True,
     ["spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if "
      "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"]),
    ("conditions of success and failure go together", SLICES, SLICE, "spec.devices.0.bindingConditions", ["a", "a"],
     ['spec.devices[0].bindingConditions[1]: Duplicate value: "a"',
      "spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use "
      "bindingConditions"]),
    ("counters or devices", SLICES, SLICE, "spec.sharedCounters", [{"name": "c"}],
     ['spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed',
      "spec.sharedCounters[0].counters: Required value"]),
    ("counters are named", SLICES, SLICE, "spec.devices.0.consumesCounters", [{"counters": {"A": {"value": "1"}}}],
     ["spec.devices[0].consumesCounters[0].counterSet: Required value",
      f'spec.devices[0].consumesCounters[0].counters: Invalid value: "A": {LABEL}']),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "path", "value", "expected"), [pytest.param(*row[1:], id=row[0]) for row in CREATES]
)
def test_odd_objects_have_upstream_causes(kind: Kind, body: Object, path: str, value: Any, expected: list[str]) -> None:
    assert texts(created(kind, change(body, path, value))[1]) == expected


ASCENDING = "values must be sorted in ascending order"
POLICY = f"{DEVICES}[0].capacity[m].requestPolicy"

POLICIES: list[tuple[str, Object, list[str]]] = [
    ("nothing", {}, []),
    ("some amounts", {"default": "1", "validValues": ["1", "2"]}, []),
    ("a range", {"default": "2", "validRange": {"min": "1", "max": "7", "step": "1"}}, []),
    ("both", {"validValues": ["1"], "validRange": {"min": "1"}},
     [f'{POLICY}: Forbidden: exactly one policy can be specified, cannot specify "validValues" and "validRange" at the '
      "same time"]),
    ("no default", {"validValues": ["1"]}, [f"{POLICY}.default: Required value: required when validValues is defined"]),
    ("amounts", {"default": "3", "validValues": ["9", "1", "1"]},
     [f'{POLICY}.validValues[1]: Invalid value: "1": {ASCENDING}',
      f'{POLICY}.validValues[0]: Invalid value: "9": option is larger than capacity value: 8',
      f'{POLICY}.validValues[2]: Duplicate value: "1"',
      f'{POLICY}.validValues: Invalid value: "3": default value is not valid according to the requestPolicy']),
    ("no least", {"default": "1", "validRange": {}},
     [f"{POLICY}.validRange.min: Required value: required when validRange is defined"]),
    ("bounds", {"default": "1", "validRange": {"min": "9", "max": "2"}},
     [f'{POLICY}.validRange.min: Invalid value: "9": min is larger than capacity value: 8',
      f'{POLICY}.validRange.default: Invalid value: "1": default is less than min: 9',
      f'{POLICY}.validRange.max: Invalid value: "9": min is larger than max: 2']),
    ("steps", {"default": "2", "validRange": {"min": "1", "max": "7", "step": "4"}},
     [f'{POLICY}.validRange.step: Invalid value: "2": value is not a multiple of a given step (4) from (1)',
      f'{POLICY}.validRange.step: Invalid value: "7": value is not a multiple of a given step (4) from (1)']),
    ("no step", {"default": "1", "validRange": {"min": "1", "step": "0"}},
     [f'{POLICY}.validRange.step: Invalid value: "0": must be greater than zero']),
    ("a step too far", {"default": "1", "validRange": {"min": "1", "step": "8"}},
     [f'{POLICY}.validRange.step: Invalid value: "8": one step 9 is larger than capacity value: 8']),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "expected"), [pytest.param(*row[1:], id=row[0]) for row in POLICIES])
def test_odd_policies_of_shared_capacity_have_upstream_causes(policy: Object, expected: list[str]) -> None:
    shared = change(SLICE, "spec.devices.0.allowMultipleAllocations", True)
    capacity = {"m": {"value": "8", "requestPolicy": policy}}

    assert texts(created(SLICES, change(shared, "spec.devices.0.capacity", capacity))[1]) == expected


def test_devices_of_a_slice_without_a_place_have_places_of_their_own() -> None:
    placed = change(change(SLICE, "spec.nodeName", REMOVED), "spec.perDeviceNodeSelection", True)

    assert texts(created(SLICES, placed)[1]) == [
        "spec.devices[0]: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
        "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
    ]
    assert created(SLICES, change(placed, "spec.devices.0.nodeName", "n"))[1] == []


def test_tolerations_are_equal_unless_told() -> None:
    path = "spec.devices.requests.0.exactly.tolerations"
    obj, broken = created(CLAIMS, change(CLAIM, path, [{"key": "k", "value": "v"}]))

    toleration = obj["spec"]["devices"]["requests"][0]["exactly"]["tolerations"][0]
    assert (toleration, broken) == ({"key": "k", "value": "v", "operator": "Equal"}, [])


@pytest.mark.parametrize(("kind", "body", "within"), [(CLAIMS, CLAIM, "spec"), (TEMPLATES, TEMPLATE, "spec.spec")])
def test_what_was_claimed_is_fixed(kind: Kind, body: Object, within: str) -> None:
    old = created(kind, body)[0]
    devices = {"requests": [{"name": "z", "exactly": {"deviceClassName": "gpu"}}]}
    shown = (
        '{"Devices":{"Requests":[{"Name":"z","Exactly":{"DeviceClassName":"gpu","Selectors":null,"AllocationMode":'
        '"ExactCount","Count":1,"AdminAccess":null,"Tolerations":null,"Capacity":null},"FirstAvailable":null}],'
        '"Constraints":null,"Config":null}}'
    )
    value = shown if within == "spec" else f'{{"Spec":{shown}}}'

    assert updated(kind, old, body) == []
    assert texts(updated(kind, old, change(body, within, {"devices": devices}))) == [
        f"spec: Invalid value: {value}: field is immutable"
    ]


def test_a_slice_stays_in_its_pool_and_on_its_node() -> None:
    old = created(SLICES, SLICE)[0]
    moved = change(change(change(SLICE, "spec.nodeName", "m"), "spec.driver", "c.d"), "spec.pool.name", "q")

    assert texts(updated(SLICES, old, moved)) == [
        'spec.pool.name: Invalid value: "q": field is immutable',
        'spec.driver: Invalid value: "c.d": field is immutable',
        'spec.nodeName: Invalid value: "m": field is immutable',
    ]


def test_classes_may_keep_expressions_that_are_too_long_by_now() -> None:
    odd = change(CLASS, "spec.selectors", [{"cel": {"expression": "x" * 10241}}])
    old, broken = created(CLASSES, odd)

    assert len(broken) == 1
    assert updated(CLASSES, old, odd) == []


RESULT: Object = {"request": "r", "driver": "a.b", "pool": "p", "device": "d"}
CONSUMER: Object = {"resource": "pods", "name": "p", "uid": "u"}
ALLOCATED: Object = {"allocation": {"devices": {"results": [RESULT]}}}
DEVICE: Object = {"driver": "a.b", "pool": "p", "device": "d"}

STATUSES: list[tuple[str, Object, Object, list[str]]] = [
    ("an allocation", {}, ALLOCATED, []),
    ("a reservation", ALLOCATED, {**ALLOCATED, "reservedFor": [CONSUMER]}, []),
    ("reserved without devices", {}, {"reservedFor": [CONSUMER]},
     ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"]),
    ("consumers are known", ALLOCATED, {**ALLOCATED, "reservedFor": [{}, CONSUMER, CONSUMER]},
     ["status.reservedFor[0].resource: Required value", "status.reservedFor[0].name: Required value",
      "status.reservedFor[0].uid: Required value", 'status.reservedFor[2]: Duplicate value: "u"']),
    ("results answer requests", {}, {"allocation": {"devices": {"results": [{**RESULT, "request": "z"}]}}},
     [f'status.allocation.devices.results[0].request: Invalid value: "z": {NO_REQUEST}']),
    ("allocated configuration has a source", {},
     {"allocation": {"devices": {"results": [RESULT], "config": [{"source": "Odd"}]}}},
     ['status.allocation.devices.config[0].source: Unsupported value: "Odd": supported values: "FromClaim", '
      '"FromClass"', "status.allocation.devices.config[0].opaque: Required value"]),
    ("only allocated devices have a status", ALLOCATED, {**ALLOCATED, "devices": [{**DEVICE, "device": "e"}]},
     ["status.devices[0]: Invalid value: a.b/p/e: must be an allocated device in the claim"]),
    ("devices are reported once", ALLOCATED, {**ALLOCATED, "devices": [DEVICE, DEVICE]},
     ["status.devices[1]: Duplicate value: a.b/p/d"]),
    ("device data are an object", ALLOCATED, {**ALLOCATED, "devices": [{**DEVICE, "data": []}]},
     ['status.devices[0].data: Invalid value: "<value omitted>": must be a valid JSON object']),
    ("addresses have a prefix", ALLOCATED,
     {**ALLOCATED, "devices": [{**DEVICE, "networkData": {
         "interfaceName": "e" * 257, "ips": ["10.0.0.1", "10.0.0.1/24", "2001:DB8::1/64"]}}]},
     ["status.devices[0].networkData.interfaceName: Too long: may not be more than 256 bytes",
      'status.devices[0].networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid address in CIDR form, (e.g. '
      "10.9.8.7/24 or 2001:db8::1/64)",
      'status.devices[0].networkData.ips[2]: Invalid value: "2001:DB8::1/64": must be in canonical form '
      '("2001:db8::1/64")']),
]  # fmt: skip


@pytest.mark.parametrize(("before", "status", "expected"), [pytest.param(*row[1:], id=row[0]) for row in STATUSES])
def test_odd_statuses_have_upstream_causes(before: Object, status: Object, expected: list[str]) -> None:
    assert _status_errors(before, status) == expected


def test_an_allocation_is_fixed() -> None:
    other: Object = {"allocation": {"devices": {"results": [{**RESULT, "device": "e"}]}}}

    assert _status_errors(ALLOCATED, ALLOCATED) == []
    assert _status_errors(ALLOCATED, other) == [
        'status.allocation: Invalid value: {"Devices":{"Results":[{"Request":"r","Driver":"a.b","Pool":"p",'
        '"Device":"e","AdminAccess":null,"Tolerations":null,"BindingConditions":null,"BindingFailureConditions":null,'
        '"ShareID":null,"ConsumedCapacity":null}],"Config":null},"NodeSelector":null,'
        '"AllocationTimestamp":null}: field is immutable'
    ]


def test_a_claim_that_goes_takes_no_more_consumers() -> None:
    reserved = {**ALLOCATED, "reservedFor": [CONSUMER]}

    assert _status_errors(reserved, reserved, is_going=True) == []
    assert _status_errors(ALLOCATED, reserved, is_going=True) == [
        "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or "
        "`deletionTimestamp` are set"
    ]


def _status_errors(before: Object, status: Object, *, is_going: bool = False) -> list[str]:
    old = {**created(CLAIMS, CLAIM)[0], "status": before}
    if is_going:
        old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    obj = {**copy_object(old), "status": status}
    return texts(strategy_for(CLAIMS).validate_status_update(CONTEXT, obj, old))
