from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import BUILTIN_KINDS, DEPLOYMENTS, EVENTS, EVENTS_V1, TOKEN_REVIEWS
from control.api.kinds import Kind
from control.apiserver.discovery import (
    aggregated_discovery,
    api_group,
    api_group_list,
    api_resource_list,
    api_versions,
    entity_tag,
    storage_version_hash,
)
from tests.recordings import FOLDER, Step, needs_recordings, recorded_steps
from tests.unit.apiserver.api_calls import ApiCalls

WIDGETS = Kind(group="example.com", version="v1", kind="Widget", plural="widgets", singular="widget", namespaced=True)


def build(step: Step) -> Any:
    parts = step.request["path"].strip("/").split("/")
    match parts:
        case ["apis"] if step.body["kind"] == "APIGroupDiscoveryList":
            return aggregated_discovery(BUILTIN_KINDS, legacy=False)
        case ["apis"]:
            return api_group_list(BUILTIN_KINDS)
        case ["apis", group]:
            return api_group(BUILTIN_KINDS, group)
        case ["apis", group, version]:
            return api_resource_list(BUILTIN_KINDS, group, version)
        case ["api", version]:
            return api_resource_list(BUILTIN_KINDS, "", version)
    return None


@needs_recordings
def test_documents_equal_the_recorded_ones() -> None:
    compared = 0
    for step in recorded_steps("discovery/*"):
        if isinstance(step.body, dict) and step.body.get("kind") != "Status" and build(step) is not None:
            assert build(step) == step.body, step.scenario
            compared += 1
    assert compared >= 10, f"too few discovery documents in {FOLDER}"


def test_unknown_groups_and_versions_have_no_document() -> None:
    assert api_group(BUILTIN_KINDS, "nope") is None
    assert api_group(BUILTIN_KINDS, "") is None
    assert api_resource_list(BUILTIN_KINDS, "apps", "v2") is None


def test_the_core_group_is_told_by_its_versions_alone() -> None:
    assert api_versions("10.0.0.1:6443")["versions"] == ["v1"]
    assert "" not in [group["name"] for group in api_group_list(BUILTIN_KINDS)["groups"]]
    legacy = aggregated_discovery(BUILTIN_KINDS, legacy=True)
    assert [item["metadata"] for item in legacy["items"]] == [{}]


def test_a_kind_made_at_run_time_is_listed_after_the_built_in_ones() -> None:
    groups = [group["name"] for group in api_group_list((*BUILTIN_KINDS, WIDGETS))["groups"]]
    assert groups[-1] == "example.com"
    resources = api_resource_list((*BUILTIN_KINDS, WIDGETS), "example.com", "v1")
    assert resources is not None
    assert [resource["name"] for resource in resources["resources"]] == ["widgets"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(DEPLOYMENTS, "8aSe+NMegvE="), (EVENTS, "r2yiGXH7wu8="), (EVENTS_V1, "r2yiGXH7wu8="), (TOKEN_REVIEWS, "")],
    ids=["a kind of a group", "a core kind", "a kind stored in another group", "a kind that is never stored"],
)
def test_storage_version_hash_names_the_stored_form(kind: Kind, expected: str) -> None:
    assert storage_version_hash(kind) == expected


def test_entity_tag_changes_with_the_document() -> None:
    assert entity_tag(b"a") != entity_tag(b"b")
    assert entity_tag(b"a").startswith('"')


async def test_an_openapi_document_is_found_and_kept_by_its_hash(api: ApiCalls) -> None:
    path = "/openapi/v3/apis/batch/v1"
    index = await api.call("GET", "/openapi/v3")
    url = index["paths"]["apis/batch/v1"]["serverRelativeURL"]
    document_hash = url.partition("?hash=")[2]
    plain = dict((await api.send("GET", path)).headers)
    assert plain["ETag"] == f'"{document_hash}"'
    assert "Cache-Control" not in plain
    asked = await api.send("GET", path, query={"hash": document_hash})
    assert (asked.status, dict(asked.headers)["Cache-Control"]) == (200, "public, immutable")
    assert dict(asked.headers)["Expires"].endswith(" GMT")
    moved = await api.send("GET", path, query={"hash": "OLD"})
    assert (moved.status, dict(moved.headers)["Location"]) == (301, url)
