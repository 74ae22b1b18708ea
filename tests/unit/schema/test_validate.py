from __future__ import annotations

from typing import Any

import orjson
import pytest

from control.api.builtin_kinds import (
    BUILTIN_KINDS,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    PODS,
    SECRETS,
    SERVICES,
)
from control.api.errors import ApiError
from control.api.kinds import Kind
from control.schema.builtin import schema_of
from control.schema.validate import decode_object, enforce_field_validation
from tests.recordings import Step, filled, needs_recordings, recorded_steps


def decode(kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
    return decode_object(obj, schema_of(kind), kind=kind).object


def decode_as(body: bytes, kind: Kind, mode: str) -> None:
    decoded = decode_object(orjson.loads(body), schema_of(kind), kind=kind, body=body)
    enforce_field_validation(decoded, mode, kind=kind)


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "spec": spec}


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", **fields}])


NOT_HANDLED = 'in version "v1" cannot be handled as a'


def mismatch(found: str, field: str, type: str) -> str:
    return f"json: cannot unmarshal {found} into Go struct field {field} of type {type}"


@pytest.mark.parametrize(
    ("kind", "obj", "problem"),
    [
        (
            CONFIG_MAPS,
            {"data": {"a": 1}},
            mismatch("number", "ConfigMap.data", "string"),
        ),
        (
            CONFIG_MAPS,
            {"data": []},
            mismatch("array", "ConfigMap.data", "map[string]string"),
        ),
        (
            CONFIG_MAPS,
            {"metadata": "x"},
            mismatch("string", "ConfigMap.metadata", "v1.ObjectMeta"),
        ),
        (
            PODS,
            pod(hostNetwork="yes"),
            mismatch("string", "PodSpec.spec.hostNetwork", "bool"),
        ),
        (
            PODS,
            pod(containers="x"),
            mismatch("string", "PodSpec.spec.containers", "[]v1.Container"),
        ),
        (
            PODS,
            pod(restartPolicy=1),
            mismatch("number", "PodSpec.spec.restartPolicy", "v1.RestartPolicy"),
        ),
        (
            PODS,
            container(image=True),
            mismatch("bool", "Container.spec.containers.image", "string"),
        ),
        (
            PODS,
            container(args=[{}]),
            mismatch("object", "Container.spec.containers.args", "string"),
        ),
        (
            PODS,
            pod(terminationGracePeriodSeconds=1.5),
            mismatch("number 1.5", "PodSpec.spec.terminationGracePeriodSeconds", "int64"),
        ),
        (
            DEPLOYMENTS,
            {"spec": {"replicas": 2**31}},
            mismatch("number 2147483648", "DeploymentSpec.spec.replicas", "int32"),
        ),
        (
            SERVICES,
            {"spec": {"ports": [{"targetPort": True}]}},
            mismatch("bool", "ServicePort.spec.ports.targetPort", "int32"),
        ),
        (
            PODS,
            container(resources={"requests": {"cpu": "two"}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            PODS,
            {"metadata": {"creationTimestamp": "yesterday"}},
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
        ),
        (
            PODS,
            {"metadata": {"creationTimestamp": "2026-13-01T00:00:00Z"}},
            'parsing time "2026-13-01T00:00:00Z": month out of range',
        ),
        (SECRETS, {"data": {"a": "%%"}}, "illegal base64 data at input byte 0"),
        (SECRETS, {"data": {"a": "YWI"}}, "illegal base64 data at input byte 0"),
        (
            CUSTOM_RESOURCE_DEFINITIONS,
            {"spec": {"versions": [{"schema": {"openAPIV3Schema": {"additionalProperties": 1}}}]}},
            "boolean or JSON schema expected",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_value_is_refused_in_upstreams_words(kind: Kind, obj: dict[str, Any], problem: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode(kind, obj)
    assert caught.value.code == 400
    assert caught.value.message == f"{kind.kind} {NOT_HANDLED} {kind.kind}: {problem}"


def test_the_first_wrong_type_is_told_but_a_malformed_quantity_stops_reading() -> None:
    two_types = pod(hostNetwork="yes", hostPID="yes")
    with pytest.raises(ApiError, match=r"PodSpec\.spec\.hostNetwork"):
        decode(PODS, two_types)
    malformed_later = pod(hostNetwork="yes", containers=[{"resources": {"limits": {"cpu": "x"}}}])
    with pytest.raises(ApiError, match="quantities must match"):
        decode(PODS, malformed_later)


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (b'{"dta":{"a":"b"},"metadata":{"name":"x"}}', ['unknown field "dta"']),
        (b'{"data":{"a":"b"},"Data":{}}', ['unknown field "Data"']),
        (b'{"data":{"a":"b"},"data":{"c":"d"}}', ['duplicate field "data"']),
        (b'{ "data" : {"a":"b", "a" :"c"} }', ['duplicate field "data.a"']),
        (b'{"x":null}', ['unknown field "x"']),
        (b'{"metadata":{"annotations":{"a":"\\"b\\": 1, \\"b\\": 2"}}}', []),
        (b'{"data":{"a":"b"}, "metadata": {"name": "x"}}', []),
    ],
    ids=[
        "an unknown field",
        "a known field in other case",
        "a field given twice",
        "a key given twice",
        "an unknown field that is null",
        "a text that looks like members",
        "spaces",
    ],
)
def test_unknown_and_duplicate_fields_are_found(body: bytes, texts: list[str]) -> None:
    decoded = decode_object(orjson.loads(body), schema_of(CONFIG_MAPS), kind=CONFIG_MAPS, body=body)
    assert list(decoded.strict_errors) == texts
    assert enforce_field_validation(decoded, "", kind=CONFIG_MAPS) == texts
    assert enforce_field_validation(decoded, "Ignore", kind=CONFIG_MAPS) == []
    if texts:
        with pytest.raises(ApiError) as caught:
            enforce_field_validation(decoded, "Strict", kind=CONFIG_MAPS)
        assert caught.value.message == f"ConfigMap {NOT_HANDLED} ConfigMap: strict decoding error: {', '.join(texts)}"


def test_objects_given_twice_are_merged_and_unknown_fields_dropped() -> None:
    body = b'{"data":{"a":"b"},"data":{"c":"d"},"metadata":{"name":"x","nme":"y"}}'
    decoded = decode_object(orjson.loads(body), schema_of(CONFIG_MAPS), kind=CONFIG_MAPS, body=body)
    assert decoded.object == {"data": {"a": "b", "c": "d"}, "metadata": {"name": "x"}}


@pytest.mark.parametrize("number", ["1.50", "3e0", "99999999999999999999"])
def test_a_number_that_does_not_fit_is_shown_as_it_was_written(number: str) -> None:
    body = b'{"spec":{"terminationGracePeriodSeconds":' + number.encode() + b"}}"
    with pytest.raises(ApiError, match=f"cannot unmarshal number {number} into"):
        decode_object(orjson.loads(body), schema_of(PODS), kind=PODS, body=body)


def test_merged_objects_hold_plain_numbers() -> None:
    text = b'{"spec":{},"spec":{"versions":[{"schema":{"openAPIV3Schema":{"maximum":1.50}}}]}}'
    kind = CUSTOM_RESOURCE_DEFINITIONS
    decoded = decode_object(orjson.loads(text), schema_of(kind), kind=kind, body=text)
    maximum = decoded.object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["maximum"]
    assert type(maximum) is float


def test_paths_of_strict_errors_count_list_items() -> None:
    obj = pod(containers=[{"name": "a"}, {"name": "b", "ports": [{"containerport": 80}]}])
    decoded = decode_object(obj, schema_of(PODS), kind=PODS)
    assert decoded.strict_errors == ('unknown field "spec.containers[1].ports[0].containerport"',)


def kind_of(step: Step) -> Kind | None:
    base, _, plural = step.request["path"].replace("/namespaces/${NS}", "").rpartition("/")
    return next((kind for kind in BUILTIN_KINDS if (kind.base_path, kind.plural) == (base, plural)), None)


def is_decoding_failure(step: Step) -> bool:
    message = step.body.get("message", "") if isinstance(step.body, dict) else ""
    is_json = "yaml" not in str(step.request.get("headers"))
    return is_json and "cannot be handled as" in message and "is registered" not in message


@needs_recordings
def test_decoding_failures_equal_the_recorded_ones() -> None:
    compared = 0
    for step in filter(is_decoding_failure, recorded_steps("validation/*")):
        kind = kind_of(step)
        assert kind is not None, step.scenario
        mode = (step.request.get("query") or {}).get("fieldValidation", "")
        with pytest.raises(ApiError) as caught:
            decode_as(step.sent, kind, mode)
        assert caught.value.to_status() == step.body, step.scenario
        compared += 1
    assert compared >= 5


@needs_recordings
def test_every_recorded_object_survives_decoding_unchanged() -> None:
    kinds = {(kind.api_version, kind.kind): kind for kind in BUILTIN_KINDS}
    compared = 0
    for step in recorded_steps("*/*"):
        if not isinstance(step.body, dict):
            continue
        objects = [step.body]
        if str(step.body.get("kind", "")).endswith("List") and isinstance(step.body.get("items"), list):
            names = {"apiVersion": step.body["apiVersion"], "kind": step.body["kind"].removesuffix("List")}
            objects = [{**names, **item} for item in step.body["items"] if isinstance(item, dict)]
        for obj in filled(objects):
            kind = kinds.get((obj.get("apiVersion"), obj.get("kind")))
            if kind is not None:
                decoded = decode_object(obj, schema_of(kind), kind=kind)
                assert decoded.object == obj, step.scenario
                assert decoded.strict_errors == (), step.scenario
                compared += 1
    assert compared > 1000
