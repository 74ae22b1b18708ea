"""Server-side apply: ownership, conflicts, removal, kubectl."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.errors import ApiError
from control.api.objects import copy_object
from control.apiserver.patch.managed_fields import FieldWriter, record_update, reset_fields
from control.apiserver.patch.server_side_apply import LAST_APPLIED_ANNOTATION, apply_configuration
from tests.unit.apiserver.patch.schemas import THING


def config(**content: Any) -> dict[str, Any]:
    metadata = {"name": "x", **content.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Thing", "metadata": metadata, **content}


def apply(
    live: dict[str, Any] | None,
    configuration: dict[str, Any],
    manager: str = "one",
    *,
    force: bool = False,
    time: int = 1,
    subresource: str = "",
) -> dict[str, Any]:
    before = copy_object(live), copy_object(configuration)
    writer = FieldWriter(
        manager=manager, api_version="v1", subresource=subresource, time=f"2026-01-01T00:00:{time:02}Z"
    )
    reset = reset_fields(has_status=True, subresource=subresource)
    result = apply_configuration(live, configuration, THING, writer, kind="Thing", force=force, reset=reset)
    assert (live, configuration) == before
    result["metadata"].setdefault("uid", "u")
    return result


def update(live: dict[str, Any] | None, obj: dict[str, Any], manager: str) -> dict[str, Any]:
    obj = copy_object(obj)
    obj["metadata"]["uid"] = "u"
    writer = FieldWriter(manager=manager, api_version="v1", time="2026-01-01T00:00:00Z")
    record_update(live, obj, THING, writer, reset=reset_fields(has_status=True))
    return obj


def entries(obj: dict[str, Any]) -> dict[tuple[str, str], Any]:
    recorded = obj["metadata"].get("managedFields", [])
    return {(item["manager"], item["operation"]): item["fieldsV1"] for item in recorded}


def conflict(live: dict[str, Any], configuration: dict[str, Any], manager: str = "two") -> dict[str, Any]:
    with pytest.raises(ApiError) as error:
        apply(live, configuration, manager)
    return error.value.to_status()


def test_an_apply_owns_what_it_states_and_not_the_structs_around() -> None:
    obj = apply(None, config(spec={"items": [{"name": "c", "ports": [{"port": 80}]}], "strategy": {"type": "R"}}))
    assert entries(obj) == {
        ("one", "Apply"): {
            "f:spec": {
                "f:items": {
                    'k:{"name":"c"}': {
                        ".": {},
                        "f:name": {},
                        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}},
                    }
                },
                "f:strategy": {"f:type": {}},
            }
        }
    }


def test_what_is_no_longer_stated_is_removed() -> None:
    live = apply(None, config(data={"a": "1", "b": "2"}, spec={"items": [{"name": "c"}, {"name": "d"}]}))
    obj = apply(live, config(data={"a": "1"}, spec={"items": [{"name": "d"}]}), time=2)
    assert obj["data"] == {"a": "1"}
    assert obj["spec"]["items"] == [{"name": "d"}]
    assert entries(obj)["one", "Apply"]["f:data"] == {"f:a": {}}


def test_what_somebody_else_owns_stays() -> None:
    live = apply(None, config(data={"a": "1", "b": "2"}))
    shared = apply(live, config(data={"b": "2", "c": "3"}), "two")
    obj = apply(shared, config(data={"a": "1"}))
    assert obj["data"] == {"a": "1", "b": "2", "c": "3"}
    assert entries(obj) == {
        ("one", "Apply"): {"f:data": {"f:a": {}}},
        ("two", "Apply"): {"f:data": {"f:b": {}, "f:c": {}}},
    }


def test_an_item_with_fields_of_others_stays_until_they_let_go() -> None:
    live = apply(None, config(spec={"items": [{"name": "c", "image": "1"}]}))
    live = apply(live, config(spec={"items": [{"name": "c", "args": ["x"]}]}), "two")
    obj = apply(live, config(spec={}))
    assert obj["spec"]["items"] == [{"name": "c", "args": ["x"]}]
    gone = apply(obj, config(spec={}), "two")
    assert "items" not in gone.get("spec", {})


def test_stating_the_same_value_shares_the_field() -> None:
    live = apply(None, config(data={"a": "1"}))
    obj = apply(live, config(data={"a": "1"}), "two")
    assert entries(obj) == {("one", "Apply"): {"f:data": {"f:a": {}}}, ("two", "Apply"): {"f:data": {"f:a": {}}}}


def test_another_value_is_a_conflict_that_names_the_owner() -> None:
    live = apply(None, config(spec={"selector": {"app": "web"}}))
    status = conflict(live, config(spec={"selector": {"app": "other"}}))
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.selector'
    assert status["details"] == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.selector"}]
    }


def test_several_conflicts_are_listed_by_owner() -> None:
    live = update(None, config(data={"a": "1", "b": "2"}), "golden")
    live = apply(live, config(data={"c": "3"}), "one")
    status = conflict(live, config(data={"a": "9", "b": "9", "c": "9"}))
    assert status["message"] == (
        "Apply failed with 3 conflicts: "
        'conflicts with "golden" using v1:\n- .data.a\n- .data.b\n'
        'conflicts with "one":\n- .data.c'
    )
    assert [cause["field"] for cause in status["details"]["causes"]] == [".data.a", ".data.b", ".data.c"]


def test_force_takes_the_field_over() -> None:
    live = update(None, config(data={"a": "1"}), "golden")
    obj = apply(live, config(data={"a": "2"}), force=True)
    assert obj["data"] == {"a": "2"}
    assert entries(obj) == {("one", "Apply"): {"f:data": {"f:a": {}}}, ("golden", "Update"): {"f:data": {}}}


def test_an_object_without_record_is_recorded_as_before_first_apply() -> None:
    live = config(data={"a": "1"}, metadata={"uid": "u"})
    obj = apply(live, config(data={"b": "2"}))
    assert entries(obj) == {
        ("one", "Apply"): {"f:data": {"f:b": {}}},
        ("before-first-apply", "Update"): {"f:data": {".": {}, "f:a": {}}},
    }
    assert 'conflict with "before-first-apply" using v1: .data.a' in conflict(live, config(data={"a": "2"}))["message"]


def test_status_applies_have_an_entry_of_their_own_and_cannot_own_spec() -> None:
    live = apply(None, config(spec={"replicas": 1}))
    obj = apply(live, config(spec={"replicas": 9}, status={"replicas": 3}), "st", subresource="status")
    recorded = obj["metadata"]["managedFields"]
    assert [(item["manager"], item.get("subresource"), item["fieldsV1"]) for item in recorded] == [
        ("one", None, {"f:spec": {"f:replicas": {}}}),
        ("st", "status", {"f:status": {"f:replicas": {}}}),
    ]


def test_merging_keeps_the_live_order_and_the_stated_order() -> None:
    live = update(None, config(spec={"items": [{"name": name} for name in "abcd"]}), "golden")
    obj = apply(live, config(spec={"items": [{"name": name} for name in "dxb"]}))
    assert [item["name"] for item in obj["spec"]["items"]] == ["a", "c", "d", "x", "b"]


def test_applying_the_same_again_keeps_the_time() -> None:
    live = apply(None, config(data={"a": "1"}), time=1)
    again = apply(live, config(data={"a": "1"}), time=9)
    assert again == live


@pytest.mark.parametrize(
    ("configuration", "code", "message"),
    [
        ({"metadata": {"name": "x"}}, 400, "invalid object type: /, Kind="),
        ({"apiVersion": "v1", "kind": "Other"}, 400, "invalid object type: /v1, Kind=Other"),
        ({"apiVersion": "g/v1", "kind": "Thing"}, 400, "invalid object type: g/v1, Kind=Thing"),
        (config(metadata={"managedFields": []}), 400, "metadata.managedFields must be nil"),
        (config(dta={}), 500, ".dta: field not declared in schema"),
        (config(spec={"nope": 1}), 500, ".spec.nope: field not declared in schema"),
        (config(spec={"replicas": "x"}), 500, ".spec.replicas: expected numeric (int or float), got string"),
        (
            config(spec={"items": [{"name": "c"}, {"name": "c"}]}),
            500,
            '.spec.items: duplicate entries for key [name="c"]',
        ),
        (
            config(spec={"items": [{"name": "c", "ports": [{"port": 80}, {"port": 80, "protocol": "TCP"}]}]}),
            500,
            '.spec.items[name="c"].ports: duplicate entries for key [port=80,protocol="TCP"]',
        ),
        (
            config(spec={"items": ["x"]}),
            500,
            ".spec.items: element 0: associative list with keys may not have non-map elements",
        ),
        (config(spec={"items": {}}), 500, ".spec.items: expected list, got &{map[]}"),
        (config(spec=[]), 500, ".spec: expected map, got &{[]}"),
        (config(spec={"paused": "x"}), 500, ".spec.paused: expected boolean, got &{x}"),
        (
            config(data={"a": 1, "b": True}),
            500,
            "errors:\n  .data.a: expected string, got &value.valueUnstructured{Value:1}\n"
            "  .data.b: expected string, got &value.valueUnstructured{Value:true}",
        ),
    ],
)
def test_bad_configurations_are_refused_in_upstreams_words(
    configuration: dict[str, Any], code: int, message: str
) -> None:
    with pytest.raises(ApiError) as error:
        apply(None, configuration)
    prefix = "failed to create typed patch object (/x; /v1, Kind=Thing): " if code == 500 else ""
    assert (error.value.code, error.value.message) == (code, prefix + message)
    assert error.value.reason == ("BadRequest" if code == 400 else "")


def client_side_applied(data: dict[str, str], applied: dict[str, str]) -> dict[str, Any]:
    text = orjson.dumps(config(data=applied)).decode() + "\n"
    obj = config(data=data, metadata={"annotations": {LAST_APPLIED_ANNOTATION: text}})
    return update(None, obj, "kubectl-client-side-apply")


def test_kubectl_takes_over_what_its_client_side_apply_set() -> None:
    live = client_side_applied({"a": "1"}, {"a": "1"})
    obj = apply(live, config(data={"a": "2"}), "kubectl")
    assert obj["data"] == {"a": "2"}
    assert entries(obj)["kubectl", "Apply"] == {"f:data": {"f:a": {}}}
    assert obj["metadata"]["annotations"][LAST_APPLIED_ANNOTATION] == (
        '{"apiVersion":"v1","data":{"a":"2"},"kind":"Thing","metadata":{"name":"x"}}\n'
    )
    assert conflict(live, config(data={"a": "2"}), "other")["code"] == 409


def test_kubectl_does_not_take_over_what_was_changed_since() -> None:
    live = client_side_applied({"a": "changed", "b": "1"}, {"a": "1", "b": "1"})
    status = conflict(live, config(data={"a": "2", "b": "2"}), "kubectl")
    assert [cause["field"] for cause in status["details"]["causes"]] == [".data.a"]


@pytest.mark.parametrize("text", ["", "not json", '{"a":1}\n', '{"kind":"Thing","apiVersion":"v2"}'])
def test_kubectl_conflicts_without_a_usable_annotation(text: str) -> None:
    obj = config(data={"a": "1"}, metadata={"annotations": {LAST_APPLIED_ANNOTATION: text}})
    live = update(None, obj, "kubectl-client-side-apply")
    assert conflict(live, config(data={"a": "2"}), "kubectl")["code"] == 409


def test_the_annotation_is_dropped_when_it_would_be_too_large() -> None:
    live = client_side_applied({}, {})
    obj = apply(live, config(data={"a": "x" * 300_000}), "kubectl")
    assert LAST_APPLIED_ANNOTATION not in obj["metadata"]["annotations"]


configurations = st.builds(
    lambda data, labels, spec: config(metadata={"labels": labels}, data=data, spec=spec),
    data=st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3),
    labels=st.dictionaries(st.sampled_from("lm"), st.sampled_from("12"), max_size=2),
    spec=st.fixed_dictionaries(
        {},
        optional={
            "replicas": st.integers(0, 2),
            "words": st.lists(st.sampled_from("uv"), max_size=2),
            "items": st.lists(
                st.fixed_dictionaries({"name": st.sampled_from("cde")}, optional={"image": st.sampled_from("12")}),
                max_size=3,
                unique_by=lambda item: str(item["name"]),
            ),
        },
    ),
)


def content(obj: dict[str, Any]) -> Any:
    return {
        "labels": obj["metadata"].get("labels") or {},
        "data": obj.get("data") or {},
        "replicas": obj.get("spec", {}).get("replicas"),
        "words": obj.get("spec", {}).get("words"),
        "items": {item["name"]: item for item in obj.get("spec", {}).get("items") or []},
    }


@given(configurations, configurations)
def test_a_sole_manager_always_gets_exactly_what_it_states(first: dict[str, Any], second: dict[str, Any]) -> None:
    obj = apply(apply(None, first), second)
    assert content(obj) == content(second)


@given(configurations, configurations)
def test_applying_twice_is_applying_once(first: dict[str, Any], second: dict[str, Any]) -> None:
    live = apply(apply(None, first), second, "two", force=True, time=2)
    assert apply(live, second, "two", time=3) == live


@given(configurations, configurations)
def test_a_forced_apply_gives_what_it_states_and_an_empty_one_gives_it_up(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    live = apply(None, first)
    forced = apply(live, second, "two", force=True)
    for key, value in content(second)["data"].items():
        assert forced["data"][key] == value
    released = apply(forced, config(), "two")
    assert ("two", "Apply") not in entries(released)
    kept = {key for key, value in content(first)["data"].items() if content(second)["data"].get(key, value) == value}
    assert set(content(released)["data"]) == kept


@given(configurations, configurations)
def test_an_apply_without_conflict_changes_nothing_of_others(first: dict[str, Any], second: dict[str, Any]) -> None:
    live = apply(None, first)
    try:
        obj = apply(live, second, "two")
    except ApiError:
        return  # a conflict: nothing was applied
    assert entries(obj).get(("one", "Apply")) == entries(live).get(("one", "Apply"))
    for key, value in content(first)["data"].items():
        assert obj["data"][key] == value
