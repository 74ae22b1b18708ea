from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.api.builtin_kinds import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    EVENTS,
    NODES,
    PODS,
    SECRETS,
)
from control.api.kinds import Kind
from control.schema.builtin import schema_of
from control.schema.decode_errors import explain
from control.schema.decoder import Findings, MismatchError, decoder_of, zero_object
from control.schema.structural import Presence, Schema
from control.schema.unstructured import conversion_problem


def decode(kind: Kind, obj: Any) -> Any:
    return decoder_of(schema_of(kind))(obj, Findings())


def spec_of_container(**fields: Any) -> dict[str, Any]:
    decoded = decode(PODS, {"metadata": {}, "spec": {"containers": [{"name": "c", **fields}]}})
    container: dict[str, Any] = decoded["spec"]["containers"][0]
    return container


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"name": "c", "resources": {}}),
        ({"image": "", "args": [], "stdin": False}, {"name": "c", "resources": {}}),
        ({"livenessProbe": {}}, {"name": "c", "resources": {}, "livenessProbe": {}}),
        ({"image": None, "resources": None}, {"name": "c", "resources": {}}),
        ({"resources": {"limits": {"cpu": "1000m"}}}, {"name": "c", "resources": {"limits": {"cpu": "1"}}}),
        ({"resources": {"limits": {"cpu": 2}}}, {"name": "c", "resources": {"limits": {"cpu": "2"}}}),
        ({"securityContext": {"runAsUser": 0}}, {"name": "c", "resources": {}, "securityContext": {"runAsUser": 0}}),
        ({"command": [None, "x"]}, {"name": "c", "resources": {}, "command": ["", "x"]}),
        ({"nme": "x"}, {"name": "c", "resources": {}}),
    ],
    ids=[
        "a record that is always printed appears",
        "empty values are left out",
        "an empty record that was given stays where absence means something else",
        "null is absent",
        "a quantity becomes canonical",
        "a quantity may be a number",
        "zero stays where absence means something else",
        "null in a list of strings is an empty string",
        "an unknown field is dropped",
    ],
)
def test_a_container_is_normalised(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert spec_of_container(**fields) == expected


def test_fields_that_are_always_printed_are_filled_in() -> None:
    assert decode(CLUSTER_ROLES, {"metadata": {"name": "x"}}) == {"metadata": {"name": "x"}, "rules": None}
    node = decode(NODES, {"metadata": {"name": "x"}})
    assert node["spec"] == {}
    assert node["status"]["nodeInfo"]["kubeletVersion"] == ""
    event = decode(EVENTS, {"metadata": {"name": "x"}, "involvedObject": {}})
    assert event["firstTimestamp"] is None


def test_a_selector_that_was_not_given_is_null() -> None:
    assert decode(DEPLOYMENTS, {"spec": {}})["spec"]["selector"] is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T02:00:00.75+02:00", "2026-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", None),
    ],
    ids=["seconds in UTC stay", "fractions and offsets are resolved", "the zero time is absent"],
)
def test_times_become_canonical(given: str, expected: str | None) -> None:
    decoded = decode(CONFIG_MAPS, {"metadata": {"name": "x", "deletionTimestamp": given}})
    assert decoded["metadata"].get("deletionTimestamp") == expected


def test_line_breaks_in_base64_are_removed() -> None:
    assert decode(SECRETS, {"data": {"a": "YWJj\nZGVm"}})["data"] == {"a": "YWJjZGVm"}


def test_schemas_inside_a_definition_are_pruned_without_a_finding() -> None:
    findings = Findings()
    version = {"schema": {"openAPIV3Schema": {"additionalProperties": {"type": "object", "typo": 1}}}}
    decoded = decoder_of(schema_of(CUSTOM_RESOURCE_DEFINITIONS))({"spec": {"versions": [version]}}, findings)
    schema = decoded["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema == {"additionalProperties": {"type": "object"}}
    assert not findings.has_unknown_fields


def test_a_field_of_omit_zero_presence_vanishes_when_all_of_it_is_empty() -> None:
    inner = Schema(type="string", presence=Presence.ALWAYS)
    record = Schema(type="object", presence=Presence.OMIT_ZERO, resolve_properties=lambda: {"a": inner})
    outer = Schema(type="object", resolve_properties=lambda: {"record": record})
    assert zero_object(record) == {"a": ""}
    assert decoder_of(outer)({"record": {}}, Findings()) == {}
    assert decoder_of(outer)({"record": {"a": "x"}}, Findings()) == {"record": {"a": "x"}}


def test_custom_resources_keep_what_was_written() -> None:
    leaf = Schema(type="string")
    custom = Schema(type="object", resolve_properties=lambda: {"a": leaf})
    assert decoder_of(custom)({"a": ""}, Findings()) == {"a": ""}


JSON_SCALARS = st.none() | st.booleans() | st.integers(-3, 2**32) | st.floats(0, 9) | st.sampled_from(["", "1", "x"])
JSON_VALUES = st.recursive(
    JSON_SCALARS,
    lambda children: (
        st.lists(children, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "image", "cpu", "limits", "ports", "nope"]), children, max_size=2)
    ),
    max_leaves=5,
)
POD_PATHS = (
    ("spec",),
    ("spec", "containers"),
    ("spec", "hostNetwork"),
    ("spec", "terminationGracePeriodSeconds"),
    ("metadata", "labels"),
    ("metadata", "creationTimestamp"),
    ("status", "conditions"),
)


def with_value(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    obj: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"containers": []}, "status": {}}
    target = obj
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    return obj


@settings(max_examples=400)
@given(path=st.sampled_from(POD_PATHS), value=JSON_VALUES)
def test_a_value_is_refused_exactly_when_there_are_words_for_it(path: tuple[str, ...], value: Any) -> None:
    obj = with_value(path, value)
    findings = Findings()
    explanation = explain(obj, schema_of(PODS))
    try:
        decoded = decoder_of(schema_of(PODS))(obj, findings)
    except MismatchError:
        assert explanation.error
        return
    assert not explanation.error
    assert not conversion_problem(obj, schema_of(PODS)), "the converter refuses what the decoder takes"
    assert findings.has_unknown_fields == bool(explanation.strict_errors)
    assert decode(PODS, decoded) == decoded, "decoding is not idempotent"
