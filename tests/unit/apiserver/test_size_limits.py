"""How large objects may be: what validation allows, and what etcd would take, in the words clients know."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.unit.apiserver.api_calls import ApiCalls, config_map

MIB = 1024 * 1024
MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
CLASSES = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TOO_LARGE = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "etcdserver: request is too large",
    "code": 500,
}


def role(size: int) -> dict[str, Any]:
    """A ClusterRole with about so many bytes, which nothing but the store limits."""
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["x" * size]}
    return {"metadata": {"name": "large"}, "rules": [rule]}


def secret(size: int) -> dict[str, Any]:
    return {"metadata": {"name": "large"}, "data": {"a": base64.b64encode(bytes(size)).decode()}}


async def test_a_config_map_over_a_mebibyte_is_invalid(api: ApiCalls) -> None:
    body = {**config_map("large"), "data": {"a": "x" * MIB}, "binaryData": {"b": "AA=="}}
    status = await api.call("POST", MAPS, body, expect=422)
    assert status["message"] == 'ConfigMap "large" is invalid: []: Too long: may not be more than 1048576 bytes'
    [cause] = status["details"]["causes"]
    assert cause == {"reason": "FieldValueTooLong", "message": cause["message"], "field": "[]"}


async def test_a_secret_over_a_mebibyte_is_invalid(api: ApiCalls) -> None:
    status = await api.call("POST", SECRETS, secret(MIB + 1), expect=422)
    assert status["message"] == 'Secret "large" is invalid: data: Too long: may not be more than 1048576 bytes'
    await api.call("POST", SECRETS, secret(MIB), expect=201)


async def test_annotations_over_256_kib_are_invalid(api: ApiCalls) -> None:
    body = config_map("large", annotations={"a": "x" * 262143})
    await api.call("POST", MAPS, body, expect=201)
    status = await api.patch(f"{MAPS}/large", {"metadata": {"annotations": {"b": "x"}}}, expect=422)
    assert "metadata.annotations: Too long: may not be more than 262144 bytes" in status["message"]


async def test_what_etcd_would_not_take_is_a_bare_500(api: ApiCalls) -> None:
    assert await api.call("POST", ROLES, role(1536 * 1024), expect=500) == TOO_LARGE
    await api.call("GET", f"{ROLES}/large", expect=404)


async def test_what_the_client_of_etcd_would_not_send_is_another(api: ApiCalls) -> None:
    status = await api.call("POST", ROLES, role(2 * MIB), expect=500)
    assert status["message"].startswith(
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2097"
    )
    assert status["message"].endswith(" vs. 2097152)")


@pytest.mark.parametrize("patch_type", ["merge-patch", "apply-patch"])
async def test_an_update_cannot_outgrow_the_store(api: ApiCalls, patch_type: str) -> None:
    before = await api.call("POST", ROLES, role(1000), expect=201)
    body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", **role(1536 * 1024)}
    suffix = "yaml" if patch_type == "apply-patch" else "json"
    headers = {"content-type": f"application/{patch_type}+{suffix}"}
    query = {"fieldManager": "m"} | ({"force": "true"} if patch_type == "apply-patch" else {})
    status = await api.call("PATCH", f"{ROLES}/large", body, expect=500, headers=headers, query=query)
    assert status == TOO_LARGE
    assert await api.call("GET", f"{ROLES}/large") == before


async def test_a_dry_run_does_not_ask_the_store(api: ApiCalls) -> None:
    await api.call("POST", ROLES, role(1536 * 1024), expect=201, query={"dryRun": "All"})


async def test_size_is_counted_as_etcd_would_see_it(api: ApiCalls) -> None:
    """A mebibyte of quotation marks is two in JSON and one in protobuf."""
    await api.call("POST", MAPS, {**config_map("quotes"), "data": {"a": '"' * MIB}}, expect=201)


async def test_a_custom_resource_definition_counts_in_json(api: ApiCalls) -> None:
    properties = {f"p{number}": {"type": "string", "description": '"' * 400} for number in range(1900)}
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "foos", "kind": "Foo"}
    spec = {"group": "x.io", "scope": "Namespaced", "names": names, "versions": [version]}
    body = {"metadata": {"name": "foos.x.io"}, "spec": spec}
    assert await api.call("POST", CLASSES, body, expect=500) == TOO_LARGE
