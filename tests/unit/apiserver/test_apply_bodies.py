"""Bodies of server-side applies that are not quite what they should be, and managedFields that clients write."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver.api_calls import ApiCalls, config_map

MAPS = "/api/v1/namespaces/default/configmaps"
APPLY = {"content-type": "application/apply-patch+yaml"}
TWICE = b'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: "1"\n  a: "2"\n'
TWICE_TEXT = 'error converting YAML to JSON: yaml: unmarshal errors:\n  line 6: key "a" already set in map'
NOT_DECODED = "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"


async def apply(api: ApiCalls, body: Any, *, expect: int = 201, **query: str) -> Any:
    return await api.call(
        "PATCH", f"{MAPS}/a", body, query={"fieldManager": "m", **query}, headers=APPLY, expect=expect
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"- a", f"{NOT_DECODED} array into Go value of type map[string]interface {{}}"),
        (b"text", f"{NOT_DECODED} string into Go value of type map[string]interface {{}}"),
        (b"", "invalid object type: /, Kind="),
        (
            b"a: b: c",
            "error decoding YAML: error converting YAML to JSON: yaml: mapping values are not allowed in this context",
        ),
        (b"{}", "invalid object type: /, Kind="),
    ],
)
async def test_what_is_no_configuration_is_refused(api: ApiCalls, body: bytes, message: str) -> None:
    assert (await apply(api, body, expect=400))["message"] == message


async def test_keys_given_twice_are_told_refused_or_ignored(api: ApiCalls) -> None:
    status = await apply(api, TWICE, expect=400, fieldValidation="Strict")
    assert status["message"] == f"error strict decoding YAML: {TWICE_TEXT}"
    response = await api.send("PATCH", f"{MAPS}/a", TWICE, query={"fieldManager": "m"}, headers=APPLY)
    assert response.status == 201
    # A header has no room for line breaks.
    shown = TWICE_TEXT.replace("\n", " ").replace('"', '\\"')
    assert dict(response.headers)["Warning"] == f'299 - "{shown}"'
    response = await api.send(
        "PATCH", f"{MAPS}/a", TWICE, query={"fieldManager": "m", "fieldValidation": "Ignore"}, headers=APPLY
    )
    assert "Warning" not in dict(response.headers)


async def test_keys_given_twice_are_found_in_json_too(api: ApiCalls) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"1","a":"2"}}'
    status = await apply(api, body, expect=400, fieldValidation="Strict")
    assert status["message"].endswith('line 1: key "a" already set in map')


FIELDS = {"fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"manager": "x" * 129}, "manager"),
        ({"manager": "a\nb"}, "manager"),
        ({"manager": "x", "subresource": "y" * 257}, "subresource"),
    ],
)
async def test_names_a_client_writes_into_the_record_are_judged(
    api: ApiCalls, entry: dict[str, str], field: str
) -> None:
    entries = [{"operation": "Update", "apiVersion": "v1", **FIELDS, **entry}]
    await api.call("POST", MAPS, config_map("a"), expect=201)
    status = await api.patch(f"{MAPS}/a", {"metadata": {"managedFields": entries}}, expect=422)
    assert status["details"]["causes"][0]["field"] == f"metadata.managedFields[0].{field}"


@pytest.mark.parametrize(
    "entry",
    [
        {"manager": "x", **FIELDS},
        {"manager": "x", "operation": "Nope", "apiVersion": "v1", **FIELDS},
        {"manager": "x", "operation": "Update", **FIELDS},
        {"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "X"},
    ],
)
async def test_a_record_that_cannot_be_read_leaves_the_old_one(api: ApiCalls, entry: dict[str, Any]) -> None:
    created = await api.call("POST", MAPS, config_map("a"), expect=201)
    patched = await api.patch(f"{MAPS}/a", {"metadata": {"managedFields": [entry]}})
    assert patched["metadata"]["managedFields"] == created["metadata"]["managedFields"]


DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    whole = {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": whole}


def owners_of_replicas(obj: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (entry["manager"], entry["operation"], entry.get("subresource", ""))
        for entry in obj["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    ]


async def test_replicas_are_applied_through_the_scale(api: ApiCalls) -> None:
    async def apply_to(path: str, body: dict[str, Any], manager: str, *, expect: int = 200, **query: str) -> Any:
        query = {"fieldManager": manager, **query}
        return await api.call("PATCH", f"{DEPLOYMENTS}/a{path}", body, query=query, headers=APPLY, expect=expect)

    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 5}}
    assert (await apply_to("/scale", scale, "scaler", expect=404))["reason"] == "NotFound"
    await apply_to("", deployment(replicas=2), "one", expect=201)
    status = await apply_to("/scale", scale, "scaler", expect=409)
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    assert (await apply_to("/scale", scale, "scaler", force="true"))["spec"] == {"replicas": 5}
    live = await api.call("GET", f"{DEPLOYMENTS}/a")
    assert live["spec"]["replicas"] == 5
    assert owners_of_replicas(live) == [("scaler", "Apply", "scale")]
    # Whoever states the same shares the field, and who no longer states it gives it up.
    await apply_to("", deployment(replicas=5), "one")
    assert len(owners_of_replicas(await api.call("GET", f"{DEPLOYMENTS}/a"))) == 2
    await apply_to("", deployment(), "one")
    assert owners_of_replicas(await api.call("GET", f"{DEPLOYMENTS}/a")) == [("scaler", "Apply", "scale")]
    await api.call("PATCH", f"{DEPLOYMENTS}/a/scale", scale, headers=APPLY, expect=422)


async def test_a_scale_has_columns_and_metadata_of_its_own(api: ApiCalls) -> None:
    await api.call("POST", DEPLOYMENTS, deployment(replicas=2), expect=201)
    path = f"{DEPLOYMENTS}/a/scale"
    table = await api.call("GET", path, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"] == ["a", 2, 0, "0s"]
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    partial = await api.call("GET", path, headers={"accept": accept})
    assert (partial["kind"], partial["metadata"]["name"]) == ("PartialObjectMetadata", "a")
