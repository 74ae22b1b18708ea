from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from control.api.builtin_kinds import BUILTIN_KINDS, CONFIG_MAPS, PODS
from control.api.kinds import Kind
from control.schema.openapi import (
    openapi_v2_document,
    openapi_v3_document,
    openapi_v3_document_at,
    openapi_v3_hash,
    openapi_v3_index,
)
from tests.recordings import needs_recordings, recorded_steps

APPS: dict[str, Any] = json.loads(openapi_v3_document("apps", "v1", BUILTIN_KINDS) or b"{}")


def shape_of(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "keys": sorted(document),
        "openapi": document["openapi"],
        "title": document["info"]["title"],
        "paths": sorted(document["paths"]),
        "schemaNames": sorted(document["components"]["schemas"]),
    }


@needs_recordings
def test_v3_documents_have_the_recorded_paths_and_schemas() -> None:
    for step in recorded_steps("discovery/openapi-v3*"):
        key = step.request["path"].removeprefix("/openapi/v3").strip("/")
        document = openapi_v3_document_at(key, BUILTIN_KINDS)
        if step.response["status"] == 404:
            assert document is None
        elif key:
            assert document is not None
            assert shape_of(json.loads(document)) == step.response["shape"], key
        else:
            index = json.loads(openapi_v3_index(BUILTIN_KINDS))
            assert index["paths"].keys() == step.response["shape"]["paths"].keys()


@needs_recordings
def test_v2_has_the_recorded_paths_and_definitions() -> None:
    document = json.loads(openapi_v2_document(BUILTIN_KINDS))
    shape = next(step.response["shape"] for step in recorded_steps("discovery/openapi-v2"))
    assert sorted(document) == shape["keys"]
    assert hashlib.sha256("\n".join(sorted(document["paths"])).encode()).hexdigest() == shape["pathsSha256"]
    names = "\n".join(sorted(document["definitions"]))
    assert hashlib.sha256(names.encode()).hexdigest() == shape["definitionNamesSha256"]


def test_operations_name_their_kind_for_explain() -> None:
    operation = APPS["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["get"]
    expected = {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert operation["x-kubernetes-group-version-kind"] == expected
    assert operation["x-kubernetes-action"] == "get"


def test_patch_says_that_it_takes_field_validation_and_dry_run() -> None:
    operation = APPS["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert {"fieldValidation", "dryRun", "fieldManager", "force"} <= names


def test_no_reference_leads_nowhere() -> None:
    text = json.dumps(APPS)
    names = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
    assert names <= APPS["components"]["schemas"].keys()


def test_schemas_are_upstreams_again_and_not_the_validators() -> None:
    schemas = APPS["components"]["schemas"]
    deployment = schemas["io.k8s.api.apps.v1.Deployment"]
    assert deployment["type"] == "object"
    assert "enum" not in deployment["properties"]["kind"]
    assert deployment["x-kubernetes-group-version-kind"] == [{"group": "apps", "kind": "Deployment", "version": "v1"}]
    pod_spec = schemas["io.k8s.api.core.v1.PodSpec"]
    assert pod_spec["properties"]["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert pod_spec["properties"]["affinity"]["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Affinity"}]
    assert "default" not in pod_spec["properties"]["affinity"]
    assert deployment["properties"]["spec"]["default"] == {}
    quantity = schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert quantity["oneOf"] == [{"type": "string"}, {"type": "number"}]


def test_operation_ids_are_unique() -> None:
    document = json.loads(openapi_v2_document(BUILTIN_KINDS))
    ids = [
        operation["operationId"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("kinds", "changes"),
    [((CONFIG_MAPS, PODS), False), ((CONFIG_MAPS,), True)],
    ids=["the same kinds", "a kind less"],
)
def test_the_hash_changes_exactly_with_the_kinds_of_the_document(kinds: tuple[Kind, ...], changes: bool) -> None:
    before = openapi_v3_hash("api/v1", (CONFIG_MAPS, PODS))
    assert (openapi_v3_hash("api/v1", kinds) != before) is changes


def test_a_group_version_that_is_not_served_has_no_document() -> None:
    assert openapi_v3_document("nope", "v1", BUILTIN_KINDS) is None
