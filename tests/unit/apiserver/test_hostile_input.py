"""Whatever a client sends, the answer is a Status that blames it, and the server goes on."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.apiserver.api_calls import ApiCalls, config_map, pod

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML = "application/yaml"
MIB = 1024 * 1024


def nested(levels: int) -> bytes:
    """A ConfigMap with an unknown field of so many objects in each other."""
    inner = b'{"a":' * levels + b"1" + b"}" * levels
    return b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"unknown":' + inner + b"}"


def with_data(text: bytes) -> bytes:
    """A ConfigMap with this text between the quotes of a value."""
    return b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"' + text + b'"}}'


BODIES: dict[str, tuple[bytes, str, int]] = {
    "nothing": (b"", "application/json", 400),
    "no JSON": (b"\x00\x01", "application/json", 400),
    "a list": (b"[]", "application/json", 400),
    "a number as kind": (b'{"kind":5}', "application/json", 400),
    "a list as apiVersion": (b'{"kind":"ConfigMap","apiVersion":["v1"]}', "application/json", 400),
    "a text as metadata": (b'{"metadata":"x"}', "application/json", 400),
    "a list as metadata": (b'{"metadata":[]}', "application/json", 400),
    "a number that is none": (b'{"metadata":{"name":"x"},"data":{"a":NaN}}', "application/json", 400),
    "unknown fields in 900 levels": (nested(900), "application/json", 400),
    "unknown fields in 5000 levels": (nested(5000), "application/json", 400),
    "lists in 100000 levels": (b"[" * 100_000, "application/json", 400),
    "YAML lists in 3000 levels": (b"[" * 3000, YAML, 400),
    "YAML with a tab": (b"a:\n\t- b", YAML, 400),
    "broken protobuf": (b"k8s\x00\xff\xff\xff\xff\xff", PROTOBUF, 400),
    "protobuf without its prefix": (b"", PROTOBUF, 400),
    "an unknown type": (b"{}", "text/plain", 415),
    "3 MiB and a byte": (b"x" * (3 * MIB + 1), "application/json", 413),
    "3 MiB of an unfinished text": (b'{"a":"' + b"x" * (3 * MIB - 7), "application/json", 400),
    "3 MiB of numbers without an end": (b"[" + b"1," * (3 * MIB // 2 - 1), "application/json", 400),
    "a value over 1 MiB": (with_data(b"x" * (MIB + 1)), "application/json", 422),
}


@pytest.mark.parametrize("title", BODIES)
async def test_bad_body_is_refused_with_a_reason(api: ApiCalls, title: str) -> None:
    body, media_type, expected = BODIES[title]
    status = await api.call("POST", MAPS, body, expect=expected, headers={"content-type": media_type})
    assert (status["kind"], status["code"]) == ("Status", expected)
    assert await api.call("GET", MAPS)  # the server goes on


async def test_yaml_aliases_do_not_multiply(api: ApiCalls) -> None:
    names = "abcdefghi"
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{name}: &{name} [{','.join(['*' + before] * 9)}]" for before, name in pairwise(names)]
    status = await api.call("POST", MAPS, "\n".join(lines).encode(), expect=400, headers={"content-type": YAML})
    assert "yaml: document contains excessive aliasing" in status["message"]


REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("&a {b: *a}", "an anchor's value contains itself"),
        ("{a: &a [x,x,x,x,x,x,x,x,x,x,x,x,x,x,x], b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a],"
         " c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b], d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c],"
         " e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]}", "document contains excessive aliasing"),
    ],
)  # fmt: skip
async def test_aliases_in_a_field_of_any_content_are_bounded(api: ApiCalls, data: str, expected: str) -> None:
    body = f"{{apiVersion: apps/v1, kind: ControllerRevision, metadata: {{name: x}}, revision: 1, data: {data}}}"
    status = await api.call("POST", REVISIONS, body.encode(), expect=400, headers={"content-type": YAML})
    assert expected in status["message"]


async def test_yaml_is_read_as_json_could_be_written(api: ApiCalls) -> None:
    text = "{a: !!binary aGk=, b: !!set {x, y}, c: !!omap [x: y], d: 12:30, e: 1e3, f: 2020-01-01, g: !!timestamp 2020}"
    body = f"{{apiVersion: apps/v1, kind: ControllerRevision, metadata: {{name: x}}, revision: 1, data: {text}}}"
    made = await api.call("POST", REVISIONS, body.encode(), expect=201, headers={"content-type": YAML})
    assert made["data"] == {
        "a": "hi",
        "b": {"x": None, "y": None},
        "c": [{"x": "y"}],
        "d": "12:30",
        "e": 1000.0,
        "f": "2020-01-01",
        "g": "2020",
    }


async def test_a_number_that_json_has_not_is_refused(api: ApiCalls) -> None:
    status = await api.call(
        "POST", MAPS, b"metadata: {name: x}\nunknown: .nan", expect=400, headers={"content-type": YAML}
    )
    assert "json: unsupported value: .nan" in status["message"]


async def test_a_number_of_many_digits_in_yaml_takes_no_time(api: ApiCalls) -> None:
    body = b"metadata: {name: x}\nimmutable: " + b"1:" * (3 * MIB // 2 - 100) + b"1"
    status = await api.call("POST", MAPS, body, expect=400, headers={"content-type": YAML})
    assert "cannot unmarshal string into Go struct field ConfigMap.immutable of type bool" in status["message"]


@pytest.mark.parametrize("number", ["9" * 30, "9" * 5000, "1e400", "-9223372036854775809", "1.5"])
async def test_number_too_large_for_its_field_is_named(api: ApiCalls, number: str) -> None:
    body = json.dumps(pod("p", activeDeadlineSeconds=12345)).replace("12345", number).encode()
    status = await api.call("POST", PODS, body, expect=400)
    assert "json: cannot unmarshal number " in status["message"]
    assert "of type int64" in status["message"]


@pytest.mark.parametrize("text", [b"\xff\xfe", rb"\ud800", rb"\udc00\ud800"])
async def test_what_is_no_character_becomes_a_replacement_character(api: ApiCalls, text: bytes) -> None:
    made = await api.call("POST", MAPS, with_data(text), expect=201)
    assert set(made["data"]["a"]) == {"\ufffd"}


async def test_escaped_pairs_and_backslashes_stay_beside_broken_text(api: ApiCalls) -> None:
    made = await api.call("POST", MAPS, with_data(rb"\ud83d\ude00 \\ud800 " + b"\xff"), expect=201)
    assert made["data"]["a"] == "\U0001f600 \\ud800 \ufffd"


async def test_a_value_of_1_mib_is_kept(api: ApiCalls) -> None:
    await api.call("POST", MAPS, with_data(b"x" * MIB), expect=201)
    assert len((await api.call("GET", f"{MAPS}/x"))["data"]["a"]) == MIB


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a%b", "a\x00b", "A", "-", "x" * 254, "\ufffd"])
async def test_names_that_would_leave_their_place_are_refused(api: ApiCalls, name: str) -> None:
    status = await api.call("POST", MAPS, config_map(name), expect=422)
    assert status["details"]["causes"][0]["field"] == "metadata.name"


@pytest.mark.parametrize("path", [f"{MAPS}/../../secrets", f"{MAPS}/\x00", "//api//v1", "/api/v1/../../x"])
async def test_paths_do_not_climb(api: ApiCalls, path: str) -> None:
    assert (await api.call("GET", path, expect=404))["reason"] == "NotFound"


PATCHES: list[tuple[str, Any, int]] = [
    ("json-patch", "x", 400),
    ("json-patch", [1, None], 400),
    ("json-patch", [{"op": "add"}], 422),
    ("json-patch", [{"op": "add", "path": "/data/x", "value": "y"}] * 10_001, 413),
    ("merge-patch", [], 400),
    ("merge-patch", {"metadata": None}, 400),
    ("merge-patch", {"data": {"a": 5}}, 422),
    ("strategic-merge-patch", [], 400),
    ("strategic-merge-patch", {"metadata": "x"}, 422),
]


@pytest.mark.parametrize(("kind", "patch", "expected"), PATCHES)
async def test_bad_patch_is_refused(api: ApiCalls, kind: str, patch: Any, expected: int) -> None:
    before = await api.call("POST", MAPS, config_map("x"), expect=201)
    assert (await api.patch(f"{MAPS}/x", patch, type=kind, expect=expected))["kind"] == "Status"
    assert await api.call("GET", f"{MAPS}/x") == before


@pytest.mark.parametrize(
    ("name", "value"), [("apiVersion", 5), ("kind", [None]), ("metadata", "x"), ("data", 5), ("immutable", [])]
)
@pytest.mark.parametrize("kind", ["merge-patch", "apply-patch"])
async def test_patched_fields_of_a_wrong_type_are_named(api: ApiCalls, name: str, value: Any, kind: str) -> None:
    await api.call("POST", MAPS, config_map("x"), expect=201)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, name: value}
    types = {"merge-patch": "application/merge-patch+json", "apply-patch": "application/apply-patch+yaml"}
    query = {"fieldManager": "m"}
    response = await api.send(
        "PATCH", f"{MAPS}/x", orjson.dumps(body), query=query, headers={"content-type": types[kind]}
    )
    assert response.body is not None
    assert response.status >= 400
    assert "Internal error occurred" not in orjson.loads(response.body)["message"]


async def test_an_applied_number_too_large_for_its_field_is_refused(api: ApiCalls) -> None:
    ports = [{"name": "a", "port": 2**31}]
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": ports}}
    headers = {"content-type": "application/apply-patch+yaml"}
    path = "/api/v1/namespaces/default/services/x"
    status = await api.call("PATCH", path, body, expect=400, query={"fieldManager": "m"}, headers=headers)
    assert "cannot unmarshal number 2147483648" in status["message"]


@pytest.mark.parametrize(("subresource", "kind"), [("eviction", "Eviction"), ("binding", "Binding")])
async def test_bodies_of_subresources_are_decoded(api: ApiCalls, subresource: str, kind: str) -> None:
    await api.call("POST", PODS, pod("p"), expect=201)
    version = "policy/v1" if kind == "Eviction" else "v1"
    body = {"apiVersion": version, "kind": kind, "metadata": "x", "target": -1}
    status = await api.call("POST", f"{PODS}/p/{subresource}", body, expect=400)
    assert "cannot unmarshal string into Go struct field" in status["message"]


async def test_a_negative_replica_count_in_a_status_is_refused(api: ApiCalls) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    await api.call("POST", deployments, deployment, expect=201)
    status = await api.patch(f"{deployments}/d/status", {"status": {"replicas": -1}}, expect=422)
    assert status["details"]["causes"][0]["field"] == "status.replicas"


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "x"},
        {"resourceVersion": "-1"},
        {"resourceVersion": "x"},
        {"watch": "1", "timeoutSeconds": "x"},
        {"continue": "A" * 100},
        {"continue": "\ufffd"},
        {"labelSelector": "(" * 5000},
        {"fieldSelector": "\ufffd"},
    ],
)
async def test_bad_parameter_is_refused(api: ApiCalls, query: dict[str, str]) -> None:
    assert (await api.call("GET", MAPS, expect=400, query=query))["reason"] == "BadRequest"


async def test_delete_options_of_a_wrong_type_are_refused(api: ApiCalls) -> None:
    await api.call("POST", MAPS, config_map("x"), expect=201)
    status = await api.call("DELETE", f"{MAPS}/x", {"gracePeriodSeconds": "soon"}, expect=400)
    assert "cannot unmarshal string" in status["message"]
    await api.call("GET", f"{MAPS}/x")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
FIELDS = ("apiVersion", "kind", "metadata", "spec", "status", "data", "name", "containers", "labels", "finalizers")
SHAPED = st.recursive(
    JSON_VALUES,
    lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=12,
)
COLLECTIONS = (MAPS, PODS, "/api/v1/namespaces", "/api/v1/nodes", "/apis/apps/v1/namespaces/default/deployments")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(COLLECTIONS), value=SHAPED, metadata=SHAPED, spec=SHAPED)
async def test_no_body_makes_the_server_fail(api: ApiCalls, path: str, value: Any, metadata: Any, spec: Any) -> None:
    bodies = [value, {"metadata": metadata, "spec": spec}, {"metadata": {"name": "x"}, "spec": {"template": spec}}]
    for body in bodies:
        response = await api.send("POST", path, json.dumps(body).encode())
        assert response.status < 500, (body, response.body)
        assert response.body is not None
        orjson.loads(response.body)
