"""Parameters of lists, watches and deletes: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from control.api.builtin_kinds import BUILTIN_KINDS
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.api_calls import ApiCalls, config_map, pod

MAPS = "/api/v1/namespaces/default/configmaps"
MATCH = "resourceVersionMatch"
NEEDS_VERSION = f"{MATCH}: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
WITH_CONTINUE = f"{MATCH}: Forbidden: resourceVersionMatch is forbidden when continue is provided"
UNKNOWN_MATCH = f'{MATCH}: Unsupported value: "Nope": supported values: "Exact", "NotOlderThan", ""'
EXACT_ZERO = f'{MATCH}: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
NOT_FOR_LISTS = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
NEEDS_INITIAL = f"{MATCH}: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
NEEDS_MATCH = f"{MATCH}: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
ONE_MATCH = f'{MATCH}: Unsupported value: "Exact": supported values: "NotOlderThan"'


@pytest.mark.parametrize(
    ("query", "causes"),
    [
        ({MATCH: "Exact"}, [NEEDS_VERSION]),
        ({MATCH: "Nope"}, [NEEDS_VERSION, UNKNOWN_MATCH]),
        ({MATCH: "Exact", "continue": "x"}, [NEEDS_VERSION, WITH_CONTINUE]),
        ({MATCH: "Exact", "resourceVersion": "0"}, [EXACT_ZERO]),
        ({MATCH: "NotOlderThan", "resourceVersion": "1", "continue": "x"}, [WITH_CONTINUE]),
        ({"sendInitialEvents": "false"}, [NOT_FOR_LISTS]),
        ({"sendInitialEvents": "", MATCH: "NotOlderThan"}, [NEEDS_VERSION, NOT_FOR_LISTS]),
        ({"watch": "1", MATCH: "NotOlderThan"}, [NEEDS_INITIAL]),
        ({"watch": "1", MATCH: "Exact"}, [NEEDS_INITIAL, ONE_MATCH]),
        ({"watch": "1", "sendInitialEvents": "true"}, [NEEDS_MATCH]),
        ({"watch": "1", "sendInitialEvents": "true", MATCH: "Exact"}, [NEEDS_MATCH, ONE_MATCH]),
        ({"watch": "1", "sendInitialEvents": "true", MATCH: "NotOlderThan", "continue": "x"}, [WITH_CONTINUE]),
    ],
)
async def test_combinations_that_mean_nothing_are_refused(
    api: ApiCalls, query: dict[str, str], causes: list[str]
) -> None:
    status = await api.call("GET", MAPS, query=query, expect=422)
    found = [f"{cause['field']}: {cause['message']}" for cause in status["details"]["causes"]]
    assert found == causes


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": "abc"}, 'strconv.ParseInt: parsing "abc": invalid syntax'),
        ({"limit": ""}, 'strconv.ParseInt: parsing "": invalid syntax'),
        ({"limit": "1_0"}, 'strconv.ParseInt: parsing "1_0": invalid syntax'),
        ({"timeoutSeconds": "9" * 19}, f'strconv.ParseInt: parsing "{"9" * 19}": value out of range'),
        # What cannot be read is refused before what means nothing, and the store reads the version last.
        ({"limit": "x", MATCH: "Exact"}, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"resourceVersion": "x", "fieldSelector": "a"}, "invalid selector: 'a'; can't understand 'a'"),
        (
            {"resourceVersion": "x"},
            'invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x":'
            " invalid syntax",
        ),
    ],
)
async def test_what_cannot_be_read_is_a_bad_request(api: ApiCalls, query: dict[str, str], message: str) -> None:
    assert (await api.call("GET", MAPS, query=query, expect=400))["message"] == message


UNKNOWN_FIELD = '"{}" is not a known field selector: only "metadata.name", "metadata.namespace"'


@pytest.mark.parametrize(
    ("path", "label", "message"),
    [
        ("/api/v1/pods", "spec.priority", "field label not supported: spec.priority"),
        ("/api/v1/nodes", "metadata.namespace", "field label not supported: metadata.namespace"),
        ("/api/v1/namespaces", "name", "field label not supported: name"),
        ("/api/v1/events", "regarding.name", "field label not supported: regarding.name"),
        ("/apis/events.k8s.io/v1/events", "involvedObject.name", "field label not supported: involvedObject.name"),
        ("/api/v1/persistentvolumes", "name", UNKNOWN_FIELD.format("name")),
        ("/apis/apps/v1/replicasets", "status.replicas", UNKNOWN_FIELD.format("status.replicas")),
        ("/apis/networking.k8s.io/v1/ipaddresses", "spec.parentRef.name", UNKNOWN_FIELD.format("spec.parentRef.name")),
        ("/apis/batch/v1/jobs", "x", 'field label "x" not supported for batchv1.Job'),
        (
            "/apis/resource.k8s.io/v1/resourceslices",
            "x",
            "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: x",
        ),
    ],
)
async def test_fields_a_kind_does_not_select_by_are_refused_in_its_words(
    api: ApiCalls, path: str, label: str, message: str
) -> None:
    for query in ({"fieldSelector": f"{label}=a"}, {"fieldSelector": f"{label}!=a", "watch": "1"}):
        assert (await api.call("GET", path, query=query, expect=400))["message"] == message


def test_every_field_label_has_a_value_or_selects_nothing() -> None:
    for kind in BUILTIN_KINDS:
        strategy = strategy_for(kind)
        values = strategy.selectable_fields({"metadata": {}})
        assert set(strategy.field_labels.own.values()) - set(values) <= {"status.podIPs"}, kind
        assert set(strategy.field_labels.own.values()) or not values, kind


async def test_an_event_is_selected_by_the_names_of_either_group(api: ApiCalls) -> None:
    event: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "source": {"component": "c"},
        "reportingComponent": "r",
    }
    await api.call("POST", "/api/v1/namespaces/default/events", event, expect=201)
    core, new = "/api/v1/events", "/apis/events.k8s.io/v1/events"
    for path, selector, count in (
        (core, "involvedObject.name=p,source=c,reportingComponent=r", 1),
        (core, "involvedObject.name!=p", 0),
        (new, "regarding.name=p,reportingController=r", 1),
        (new, "regarding.kind=Node", 0),
    ):
        found = await api.call("GET", path, query={"fieldSelector": selector})
        assert len(found["items"]) == count, selector


async def test_old_clients_select_pods_by_host(api: ApiCalls) -> None:
    await api.call("POST", "/api/v1/namespaces/default/pods", pod("a", nodeName="n1"), expect=201)
    await api.call("POST", "/api/v1/namespaces/default/pods", pod("b"), expect=201)
    found = await api.call("GET", "/api/v1/pods", query={"fieldSelector": "spec.host=n1"})
    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]


@pytest.mark.parametrize(
    ("options", "causes"),
    [
        (
            {"propagationPolicy": "Nope"},
            ['Unsupported value: "Nope": supported values: "Foreground", "Background", "Orphan", "nil"'],
        ),
        (
            {"propagationPolicy": "Orphan", "orphanDependents": True},
            ['Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set'],
        ),
        (
            {"propagationPolicy": "", "orphanDependents": False, "dryRun": ["Some"]},
            [
                'Invalid value: "": orphanDependents and deletionPropagation cannot be both set',
                'Unsupported value: "": supported values: "Foreground", "Background", "Orphan", "nil"',
                'Unsupported value: ["Some"]: supported values: "All"',
            ],
        ),
    ],
)
async def test_delete_options_that_contradict_themselves_are_refused(
    api: ApiCalls, options: dict[str, Any], causes: list[str]
) -> None:
    await api.call("POST", MAPS, config_map("a"), expect=201)
    status = await api.call("DELETE", f"{MAPS}/a", {"kind": "DeleteOptions", "apiVersion": "v1", **options}, expect=422)
    assert [cause["message"] for cause in status["details"]["causes"]] == causes


async def test_delete_of_a_collection_keeps_to_limit_and_selectors(api: ApiCalls) -> None:
    for name in ("a", "b", "c", "d"):
        await api.call("POST", MAPS, config_map(name, labels={"x": name}), expect=201)
    deleted = await api.call("DELETE", MAPS, query={"limit": "2", "labelSelector": "x!=a"})
    assert [item["metadata"]["name"] for item in deleted["items"]] == ["b", "c"]
    assert deleted["metadata"]["continue"]
    left = await api.call("GET", MAPS)
    assert [item["metadata"]["name"] for item in left["items"]] == ["a", "d"]
    response = await api.send("DELETE", MAPS, query={"resourceVersionMatch": "Exact"})
    assert response.status == 422
    assert response.body
    assert orjson.loads(response.body)["details"]["kind"] == "ListOptions"


async def test_a_pending_deletion_asked_for_in_the_old_way_is_accepted(api: ApiCalls) -> None:
    await api.call("POST", MAPS, config_map("a", finalizers=["example.com/x"]), expect=201)
    await api.call("DELETE", f"{MAPS}/a", {"orphanDependents": False}, expect=202)
    await api.call("DELETE", f"{MAPS}/a", expect=200)


async def test_a_watch_is_told_how_far_it_has_come_before_it_ends(
    api: ApiCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last bookmark is due 2 seconds before the end; here at once.
    monkeypatch.setattr("control.apiserver.handlers.watch.LAST_BOOKMARK_SECONDS_BEFORE", 600.99)
    created = await api.call("POST", MAPS, config_map("a"), expect=201)
    query = {"watch": "1", "resourceVersion": created["metadata"]["resourceVersion"], "timeoutSeconds": "601"}
    response = await api.send("GET", MAPS, query={**query, "allowWatchBookmarks": "true"})
    assert response.stream is not None
    event = orjson.loads(await anext(aiter(response.stream)))
    assert event["type"] == "BOOKMARK"
    assert int(event["object"]["metadata"]["resourceVersion"]) >= int(created["metadata"]["resourceVersion"])


async def test_a_watch_from_what_is_no_version_is_an_error_of_the_store(api: ApiCalls) -> None:
    status = await api.call("GET", MAPS, query={"watch": "1", "resourceVersion": "x"}, expect=500)
    problem = 'strconv.ParseUint: parsing "x": invalid syntax'
    assert status["message"] == f'resourceVersion: Invalid value: "x": {problem}'
