"""The record of who set what: updates."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from control.api.objects import copy_object
from control.apiserver.patch.compare import compare_objects
from control.apiserver.patch.field_set import FieldSet, difference, intersection, union
from control.apiserver.patch.managed_fields import (
    FieldWriter,
    decode_entries,
    record_scale,
    record_update,
    reset_fields,
    trim_object,
)
from tests.unit.apiserver.patch.schemas import THING


def writer(manager: str, *, time: int = 1, subresource: str = "", api_version: str = "v1") -> FieldWriter:
    stamp = f"2026-01-01T00:00:{time:02}Z"
    return FieldWriter(manager=manager, api_version=api_version, subresource=subresource, time=stamp)


def thing(**content: Any) -> dict[str, Any]:
    metadata = {"name": "x", "uid": "u", **content.pop("metadata", {})}
    return {"kind": "Thing", "apiVersion": "v1", "metadata": metadata, **content}


def created(obj: dict[str, Any], manager: str = "one") -> dict[str, Any]:
    record_update(None, obj, THING, writer(manager), reset=reset_fields(has_status=True))
    return obj


def updated(live: dict[str, Any], obj: dict[str, Any], by: FieldWriter) -> dict[str, Any]:
    before = copy_object(live)
    reset = reset_fields(has_status=True, subresource=by.subresource)
    record_update(live, obj, THING, by, reset=reset)
    assert live == before
    return obj


def entries(obj: dict[str, Any]) -> list[tuple[str, str, str, FieldSet]]:
    return [
        (item["manager"], item["operation"], item.get("subresource", ""), item["fieldsV1"])
        for item in obj["metadata"].get("managedFields", [])
    ]


def fields_of_manager(obj: dict[str, Any], manager: str) -> FieldSet:
    return next((fields for name, _, _, fields in entries(obj) if name == manager), {})


def test_a_create_records_all_it_set_with_lists_by_key() -> None:
    obj = created(
        thing(
            metadata={"labels": {"a": "b"}, "finalizers": ["f/x"]},
            spec={
                "replicas": 1,
                "items": [{"name": "c", "args": ["x"], "ports": [{"port": 80}]}],
                "selector": {"app": "web"},
                "strategy": {"rolling": {}},
            },
            status={"replicas": 3},
        )
    )
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "one",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:01Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {
                    "f:finalizers": {".": {}, 'v:"f/x"': {}},
                    "f:labels": {".": {}, "f:a": {}},
                },
                "f:spec": {
                    "f:items": {
                        ".": {},
                        'k:{"name":"c"}': {
                            ".": {},
                            "f:args": {},
                            "f:name": {},
                            "f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}},
                        },
                    },
                    "f:replicas": {},
                    "f:selector": {},
                    "f:strategy": {".": {}, "f:rolling": {}},
                },
            },
        }
    ]


def test_a_create_that_sets_nothing_has_no_record() -> None:
    assert "managedFields" not in created(thing(spec={}))["metadata"]


def test_an_object_without_record_is_not_tracked_by_updates() -> None:
    live = created(thing())
    assert entries(updated(live, thing(data={"a": "1"}), writer("two"))) == []


def test_a_changed_field_changes_its_owner() -> None:
    live = created(thing(data={"a": "1"}))
    obj = updated(live, thing(data={"a": "1", "b": "2"}), writer("two", time=2))
    assert entries(obj) == [
        ("one", "Update", "", {"f:data": {".": {}, "f:a": {}}}),
        ("two", "Update", "", {"f:data": {"f:b": {}}}),
    ]
    obj = updated(obj, thing(data={"a": "5", "b": "2"}), writer("three", time=3))
    assert entries(obj) == [
        ("one", "Update", "", {"f:data": {}}),
        ("two", "Update", "", {"f:data": {"f:b": {}}}),
        ("three", "Update", "", {"f:data": {"f:a": {}}}),
    ]


def test_a_removed_field_has_no_owner_and_an_empty_entry_vanishes() -> None:
    live = created(thing(data={"a": "1"}, spec={"replicas": 1}))
    obj = updated(live, thing(spec={"replicas": 2}), writer("two", time=2))
    assert entries(obj) == [("two", "Update", "", {"f:spec": {"f:replicas": {}}})]


def test_a_write_that_changes_nothing_keeps_the_record_and_its_times() -> None:
    live = created(thing(data={"a": "1"}))
    obj = updated(live, thing(data={"a": "1"}), writer("two", time=9))
    assert obj["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_the_same_manager_grows_its_entry_and_renews_its_time() -> None:
    live = created(thing(data={"a": "1"}))
    obj = updated(live, thing(data={"a": "2", "b": "1"}), writer("one", time=9))
    assert entries(obj) == [("one", "Update", "", {"f:data": {".": {}, "f:a": {}, "f:b": {}}})]
    assert obj["metadata"]["managedFields"][0]["time"].endswith(":09Z")


def test_subresources_have_entries_of_their_own_and_own_only_what_they_can_set() -> None:
    live = created(thing(spec={"replicas": 1}, status={}))
    status = thing(spec={"replicas": 9}, status={"replicas": 1})
    obj = updated(live, status, writer("one", time=2, subresource="status"))
    assert entries(obj) == [
        ("one", "Update", "", {"f:spec": {"f:replicas": {}}}),
        ("one", "Update", "status", {"f:status": {"f:replicas": {}}}),
    ]


def test_clients_may_rewrite_or_clear_the_record_but_not_through_a_subresource() -> None:
    live = created(thing(data={"a": "1"}))
    cleared = thing(data={"a": "1"}, metadata={"managedFields": [{}]})
    assert entries(updated(live, cleared, writer("two"))) == []
    other = copy_object(live["metadata"]["managedFields"])
    other[0]["manager"] = "renamed"
    renamed = thing(data={"a": "1"}, metadata={"managedFields": other})
    assert [name for name, *_ in entries(updated(live, renamed, writer("two")))] == ["renamed"]
    status = thing(data={"a": "1"}, metadata={"managedFields": other})
    assert [name for name, *_ in entries(updated(live, status, writer("two", subresource="status")))] == ["one"]


@pytest.mark.parametrize(
    "bad",
    [
        [{"manager": "m", "operation": "What", "fieldsType": "FieldsV1", "fieldsV1": {}}],
        [{"manager": "m", "operation": "Update", "fieldsType": "V9", "fieldsV1": {}}],
        [{"manager": "m", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"a": 1}}],
        ["x"],
        [],
    ],
)
def test_a_malformed_or_absent_record_leaves_the_live_one(bad: list[Any]) -> None:
    live = created(thing(data={"a": "1"}))
    obj = updated(live, thing(data={"a": "1"}, metadata={"managedFields": bad}), writer("two"))
    assert obj["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_the_eleventh_updater_makes_the_oldest_two_ancient() -> None:
    obj = created(thing(data={"k00": "v"}), "m00")
    for number in range(1, 12):
        data = {**obj["data"], f"k{number:02}": "v"}
        obj = updated(obj, thing(data=data), writer(f"m{number:02}", time=number + 1))
    recorded = {name: fields for name, _, _, fields in entries(obj)}
    assert len(recorded) == 10
    assert recorded["ancient-changes"] == {"f:data": {".": {}, "f:k00": {}, "f:k01": {}, "f:k02": {}}}
    assert "m03" in recorded


def test_entries_are_sorted_applies_first_then_by_time_and_name() -> None:
    given = [("z", "Update", "1"), ("b", "Update", "2"), ("a", "Update", "2"), ("q", "Apply", "9")]
    raw = [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": "v1",
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {f"f:{manager}": {}}},
        }
        for manager, operation, time in given
    ]
    live = thing(data={"z": "", "a": "", "b": "", "q": ""}, metadata={"managedFields": raw})
    obj = updated(live, thing(data={**live["data"], "new": ""}), writer("n", time=1))
    assert [name for name, *_ in entries(obj)] == ["q", "z", "a", "b", "n"]


def test_scaling_takes_replicas_from_all_others_and_records_no_time() -> None:
    live = created(thing(spec={"replicas": 1, "paused": True}))
    scaled = record_scale(live["metadata"]["managedFields"], manager="scaler", api_version="v1")
    assert scaled == [
        {
            "manager": "scaler",
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
            "subresource": "scale",
        },
        {**live["metadata"]["managedFields"][0], "fieldsV1": {"f:spec": {"f:paused": {}}}},
    ]
    assert record_scale(scaled, manager="scaler", api_version="v1") == scaled


things = st.builds(
    lambda data, labels, finalizers, spec: thing(
        metadata={"labels": labels, "finalizers": finalizers}, data=data, spec=spec
    ),
    data=st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3),
    labels=st.dictionaries(st.sampled_from("lm"), st.sampled_from("12"), max_size=2),
    finalizers=st.lists(st.sampled_from(["f/x", "f/y"]), max_size=2, unique=True),
    spec=st.fixed_dictionaries(
        {},
        optional={
            "replicas": st.integers(0, 2),
            "words": st.lists(st.sampled_from("uv"), max_size=2),
            "selector": st.dictionaries(st.sampled_from("s"), st.sampled_from("12"), max_size=1),
            "items": st.lists(
                st.fixed_dictionaries({"name": st.sampled_from("cde")}, optional={"image": st.sampled_from("12")}),
                max_size=3,
                unique_by=lambda item: str(item["name"]),
            ),
        },
    ),
)


def all_owned(obj: dict[str, Any]) -> FieldSet:
    owned: FieldSet = {}
    for entry in (decode_entries(obj["metadata"].get("managedFields", [])) or {}).values():
        owned = union(owned, entry.fields)
    return owned


@for_all(things, things)
def test_whoever_changes_a_field_owns_it_alone(first: dict[str, Any], second: dict[str, Any]) -> None:
    live = created(first)
    if not entries(live):
        return
    comparison = compare_objects(trim_object(live), trim_object(second), THING)
    obj = updated(live, second, writer("two", time=2))
    assert difference(comparison.changed, fields_of_manager(obj, "two")) == {}
    assert intersection(comparison.changed, fields_of_manager(obj, "one")) == {}
    assert intersection(comparison.removed, all_owned(obj)) == {}


@for_all(things, things)
def test_nobody_loses_what_was_not_touched(first: dict[str, Any], second: dict[str, Any]) -> None:
    live = created(first)
    comparison = compare_objects(trim_object(live), trim_object(second), THING)
    obj = updated(live, second, writer("two", time=2))
    untouched = difference(difference(fields_of_manager(live, "one"), comparison.changed), comparison.removed)
    assert fields_of_manager(obj, "one") == untouched


@for_all(things)
def test_comparing_an_object_with_itself_finds_nothing(obj: dict[str, Any]) -> None:
    assert compare_objects(obj, copy_object(obj), THING).is_same


@for_all(things, things)
def test_a_comparison_backwards_swaps_added_and_removed(first: dict[str, Any], second: dict[str, Any]) -> None:
    there, back = compare_objects(first, second, THING), compare_objects(second, first, THING)
    assert (there.added, there.modified, there.removed) == (back.removed, back.modified, back.added)
