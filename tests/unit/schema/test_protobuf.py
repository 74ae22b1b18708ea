from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.schema.builtin import definition_schema
from control.schema.protobuf import MAGIC, ProtobufError, decode_protobuf
from control.schema.validate import decode_value

#: Bodies that kubectl 1.33 sent, in hexadecimal, by the last element of the URL path.
KUBECTL_BODIES: dict[str, str] = json.loads(Path(__file__).with_name("kubectl_bodies.json").read_text())
CORE, META = "io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    return bytes([*result, number])


def field(number: int, value: int | str | bytes | float) -> bytes:
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    encoded = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(encoded)) + encoded


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    return MAGIC + field(1, field(1, api_version) + field(2, kind)) + field(2, message)


def from_kubectl(name: str, definition: str) -> dict[str, Any]:
    decoded = decode_protobuf(bytes.fromhex(KUBECTL_BODIES[name]))
    return decode_value(decoded, definition_schema(definition)).object


def test_create_deployment_becomes_the_object_kubectl_meant() -> None:
    container = {
        "name": "nginx",
        "image": "nginx:1.27",
        "ports": [{"containerPort": 80}],
        "resources": {},
    }
    assert from_kubectl("deployments", "io.k8s.api.apps.v1.Deployment") == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        },
        "status": {},
    }


@pytest.mark.parametrize(
    ("name", "definition", "path", "expected"),
    [
        ("namespaces", CORE + "Namespace", "metadata", {"name": "foo"}),
        ("configmaps", CORE + "ConfigMap", "data", {"a": "b", "c": ""}),
        ("secrets", CORE + "Secret", "data", {"pw": "eA=="}),
        ("resourcequotas", CORE + "ResourceQuota", "spec", {"hard": {"cpu": "1", "pods": "2"}}),
        (
            "services",
            CORE + "Service",
            "spec",
            {
                "ports": [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                "selector": {"app": "web"},
                "type": "ClusterIP",
            },
        ),
        (
            "poddisruptionbudgets",
            "io.k8s.api.policy.v1.PodDisruptionBudget",
            "spec",
            {"minAvailable": "50%", "selector": {"matchLabels": {"app": "web"}}},
        ),
        (
            "roles",
            "io.k8s.api.rbac.v1.Role",
            "rules",
            [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}],
        ),
        (
            "token",
            "io.k8s.api.authentication.v1.TokenRequest",
            "spec",
            {"audiences": None, "boundObjectRef": None, "expirationSeconds": 3600},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." not in value else "",
)
def test_bodies_of_kubectl_decode(name: str, definition: str, path: str, expected: Any) -> None:
    assert from_kubectl(name, definition)[path] == expected


@pytest.mark.parametrize("name", sorted(KUBECTL_BODIES))
def test_no_body_of_kubectl_is_refused_however_it_is_cut(name: str) -> None:
    body = bytes.fromhex(KUBECTL_BODIES[name])
    assert decode_protobuf(body)["kind"]
    for length in range(len(body)):
        try:
            decode_protobuf(body[:length])
        except ProtobufError:
            continue


def test_records_that_json_flattens_are_messages_of_their_own() -> None:
    volume = field(1, "v") + field(2, field(2, b""))
    body = envelope("v1", "Pod", field(2, field(1, volume)))
    assert decode_protobuf(body)["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_lists_inside_maps_are_unwrapped() -> None:
    extra = field(1, "scopes") + field(2, field(1, "a") + field(1, "b"))
    body = envelope("authorization.k8s.io/v1", "SubjectAccessReview", field(2, field(5, extra)))
    assert decode_protobuf(body)["spec"]["extra"] == {"scopes": ["a", "b"]}


def test_numbers_may_be_packed_and_negative() -> None:
    security = field(4, varint(1) + varint(2))
    body = envelope("v1", "Pod", field(2, field(14, security) + field(25, -5)))
    spec = decode_protobuf(body)["spec"]
    assert spec["securityContext"]["supplementalGroups"] == [1, 2]
    assert spec["priority"] == -5


def test_times_have_the_precision_of_their_field() -> None:
    moment = field(1, 1_767_225_600) + field(2, 123_456_789)
    lease = field(1, field(8, moment)) + field(2, field(3, moment))
    decoded = decode_protobuf(envelope("coordination.k8s.io/v1", "Lease", lease))
    assert decoded["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert decoded["spec"]["acquireTime"] == "2026-01-01T00:00:00.123456Z"


def test_a_schema_of_a_custom_resource_decodes() -> None:
    schema = field(5, "object") + field(9, 1.5) + field(30, field(1, 1)) + field(8, field(1, b'{"a":1}'))
    definition = field(2, field(7, field(1, "v1") + field(4, field(1, schema))))
    decoded = decode_protobuf(envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", definition))
    version = decoded["spec"]["versions"][0]
    assert version["schema"]["openAPIV3Schema"] == {
        "type": "object",
        "maximum": 1.5,
        "additionalProperties": True,
        "default": {"a": 1},
    }


def test_delete_options_of_any_group_decode() -> None:
    body = envelope("policy/v1", "DeleteOptions", field(1, 0) + field(4, "Background"))
    assert decode_protobuf(body) == {
        "kind": "DeleteOptions",
        "apiVersion": "policy/v1",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
    }


def test_unknown_fields_are_skipped() -> None:
    message = field(1, field(1, "x")) + field(900, "?") + field(901, 7) + field(902, 1.0)
    assert decode_protobuf(envelope("v1", "ConfigMap", message))["metadata"] == {"name": "x"}


def test_json_inside_the_envelope_is_read_as_json() -> None:
    body = envelope("v1", "ConfigMap", b'{"data":{"a":"b"}}') + field(4, "application/json")
    assert decode_protobuf(body) == {"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "b"}}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{}", "does not appear to be a protobuf message"),
        (envelope("v1", "Banana", b""), 'no kind "Banana"'),
        (envelope("v1", "ConfigMap", b"\x0a\xff"), "cannot decode protobuf"),
        (envelope("v1", "ConfigMap", field(2, field(1, b"\xff"))), "cannot decode protobuf"),
    ],
    ids=["no magic number", "an unknown kind", "a length beyond the end", "a text that is no UTF-8"],
)
def test_malformed_bodies_are_refused(body: bytes, problem: str) -> None:
    with pytest.raises(ProtobufError, match=problem):
        decode_protobuf(body)


@given(data=st.binary(max_size=60))
def test_random_bytes_never_fail_in_another_way(data: bytes) -> None:
    try:
        decode_protobuf(envelope("v1", "Pod", data))
    except ProtobufError:
        pass
