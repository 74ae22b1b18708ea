"""What is refused of the bodies of bindings, evictions and token requests, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver.api_calls import ApiCalls

NAMESPACE = "/api/v1/namespaces/default"
TOKEN = f"{NAMESPACE}/serviceaccounts/default/token"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "i"}]},
}


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (0, "Invalid value: 0: may not specify a duration less than 10 minutes"),
        (599, "Invalid value: 599: may not specify a duration less than 10 minutes"),
        (2**32 + 1, "Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"),
    ],
)
async def test_tokens_live_neither_short_nor_for_ever(api: ApiCalls, seconds: int, message: str) -> None:
    status = await api.call("POST", TOKEN, {"spec": {"expirationSeconds": seconds}}, expect=422)

    assert status["details"]["causes"] == [
        {"reason": "FieldValueInvalid", "message": message, "field": "spec.expirationSeconds"}
    ]


async def test_tokens_live_an_hour_unless_told(api: ApiCalls) -> None:
    assert (await api.call("POST", TOKEN, {}, expect=201))["spec"]["expirationSeconds"] == 3600


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ({}, "/, Kind="),
        ({"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}, "/v1, Kind=ConfigMap"),
        ({"apiVersion": "apps/v1", "kind": "Pod", "name": "x"}, "apps/v1, Kind=Pod"),
    ],
)
async def test_tokens_are_bound_to_few_kinds(api: ApiCalls, reference: dict[str, str], name: str) -> None:
    status = await api.call("POST", TOKEN, {"spec": {"boundObjectRef": reference}}, expect=400)

    assert status["message"] == f"cannot bind token to object of type {name}"


async def test_tokens_are_bound_to_what_is_meant(api: ApiCalls) -> None:
    await api.call("POST", f"{NAMESPACE}/pods", POD, expect=201)
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    status = await api.call("POST", TOKEN, {"spec": {"boundObjectRef": reference}}, expect=409)

    assert status["message"] == (
        'Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (u) does not match the UID in '
        "record. The object might have been deleted and then recreated"
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, "target.name: Required value"),
        (
            {"kind": "Pod"},
            '[target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>", target.name: Required value]',
        ),
    ],
)
async def test_pods_are_bound_to_nodes(api: ApiCalls, target: dict[str, str], message: str) -> None:
    await api.call("POST", f"{NAMESPACE}/pods", POD, expect=201)
    status = await api.call("POST", f"{NAMESPACE}/pods/p/binding", {"target": target}, expect=500)

    assert status["message"] == message


async def test_evictions_name_their_pod(api: ApiCalls) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "q"}}
    status = await api.call("POST", f"{NAMESPACE}/pods/p/eviction", body, expect=400)

    assert status["message"] == "name in URL does not match name in Eviction object"
