"""Strategic merge patch: keyed lists, directives, orders, errors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.errors import ApiError
from control.api.objects import copy_object
from control.apiserver.patch.strategic_merge import apply_strategic_merge_patch
from tests.unit.apiserver.patch.schemas import THING

LIVE: dict[str, Any] = {
    "metadata": {"name": "x", "labels": {"a": "1"}, "finalizers": ["f1", "f2"]},
    "spec": {
        "replicas": 1,
        "items": [
            {"name": "c", "image": "i:1", "args": ["x"], "env": [{"name": "A", "value": "1"}]},
            {"name": "d", "image": "j:1"},
        ],
        "strategy": {"type": "Rolling", "rolling": {"surge": 1}},
        "words": ["one"],
    },
}


def patched(patch: dict[str, Any], live: dict[str, Any] = LIVE) -> dict[str, Any]:
    return apply_strategic_merge_patch(copy_object(live), copy_object(patch), THING)


def items(*given: Any) -> list[Any]:
    result: list[Any] = patched({"spec": {"items": list(given)}})["spec"]["items"]
    return result


def names(result: list[Any]) -> list[str]:
    return [item["name"] for item in result]


def test_items_of_a_keyed_list_merge_by_key() -> None:
    result = items({"name": "d", "image": "j:2"}, {"name": "e", "image": "k:1"})
    assert result == [LIVE["spec"]["items"][0], {"name": "d", "image": "j:2"}, {"name": "e", "image": "k:1"}]


def test_nested_keyed_lists_merge_too() -> None:
    result = items({"name": "c", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}]})
    assert result[0]["env"] == [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}]
    assert result[0]["image"] == "i:1"


def test_a_new_item_comes_before_what_has_no_order_with_it() -> None:
    assert names(items({"name": "e"})) == ["e", "c", "d"]


def test_delete_directive_removes_an_item() -> None:
    assert names(items({"$patch": "delete", "name": "c"})) == ["d"]


def test_replace_directive_in_a_list_replaces_it() -> None:
    assert items({"$patch": "replace"}, {"name": "r"}) == [{"name": "r"}]


def test_replace_directive_in_an_object_replaces_it() -> None:
    assert patched({"metadata": {"$patch": "replace", "name": "y"}})["metadata"] == {"name": "y"}


def test_delete_directive_in_an_object_empties_it() -> None:
    assert patched({"spec": {"strategy": {"$patch": "delete"}}})["spec"]["strategy"] == {}


def test_a_directive_for_what_is_not_there_does_nothing() -> None:
    result = patched({"spec": {"selector": {"$patch": "delete"}, "items": [{"name": "z", "$patch": "delete"}]}})
    assert result == LIVE


def test_retain_keys_clears_the_others() -> None:
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert patched(patch)["spec"]["strategy"] == {"type": "Recreate"}


def test_retain_keys_of_a_new_item_is_not_kept() -> None:
    assert items({"$retainKeys": ["name"], "name": "z"})[0] == {"name": "z"}


def test_an_atomic_list_is_replaced() -> None:
    assert patched({"spec": {"words": ["two"]}})["spec"]["words"] == ["two"]


def test_a_set_is_merged_and_values_can_be_taken_out() -> None:
    assert patched({"metadata": {"finalizers": ["f3", "f1"]}})["metadata"]["finalizers"] == ["f3", "f1", "f2"]
    result = patched({"metadata": {"$deleteFromPrimitiveList/finalizers": ["f1"]}})
    assert result["metadata"]["finalizers"] == ["f2"]


def test_null_removes_and_is_dropped_from_what_is_new() -> None:
    result = patched({"metadata": {"labels": None}, "data": {"a": None, "b": "1"}})
    assert "labels" not in result["metadata"]
    assert result["data"] == {"b": "1"}


def test_set_element_order_orders_the_list() -> None:
    order = [{"name": "d"}, {"name": "n"}, {"name": "c"}]
    patch = {"spec": {"$setElementOrder/items": order, "items": [{"name": "n", "image": "n:1"}]}}
    assert names(patched(patch)["spec"]["items"]) == ["d", "n", "c"]


def test_set_element_order_alone_reorders() -> None:
    patch = {"spec": {"$setElementOrder/items": [{"name": "d"}, {"name": "c"}]}}
    assert names(patched(patch)["spec"]["items"]) == ["d", "c"]


def test_set_element_order_keeps_server_only_items_among_the_others() -> None:
    live = {"spec": {"items": [{"name": name} for name in "abc"]}}
    patch = {"spec": {"$setElementOrder/items": [{"name": "c"}, {"name": "a"}]}}
    assert names(patched(patch, live)["spec"]["items"]) == ["b", "c", "a"]


def test_set_element_order_of_a_set() -> None:
    patch = {"metadata": {"$setElementOrder/finalizers": ["f2", "f3", "f1"], "finalizers": ["f3"]}}
    assert patched(patch)["metadata"]["finalizers"] == ["f2", "f3", "f1"]


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ({"spec": {"items": [{"image": "x"}]}}, 500, "map: map[image:x] does not contain declared merge key: name"),
        (
            {"spec": {"$setElementOrder/items": [{"name": "c"}], "items": [{"name": "zz", "image": "n:1"}]}},
            500,
            "The order in patch list:\n[map[image:n:1 name:zz]]\n doesn't match $setElementOrder list:\n"
            "[map[name:c]]\n",
        ),
        ({"spec": {"$setElementOrder": []}}, 400, "invalid patch format of setElementOrder list"),
        ({"metadata": {"$deleteFromPrimitiveList": []}}, 400, "invalid patch format of primitive list"),
        (
            {"spec": {"strategy": {"$retainKeys": ["type"], "rolling": {}}}},
            400,
            "invalid patch format of retainKeys",
        ),
        ({"spec": {"strategy": {"$patch": "what"}}}, 500, "unknown patch type: what in map: map[$patch:what]"),
        (
            {"spec": {"items": [{"name": "c", "$patch": "merge"}]}},
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (
            {"spec": {"$setElementOrder/none": [], "none": []}},
            500,
            'unable to find api field in struct Thing for the json field "none"',
        ),
        (
            {"spec": {"$setElementOrder/items": {}}},
            500,
            "expected a []interface {}, but received a map[string]interface {}",
        ),
    ],
)
def test_errors_are_upstreams(patch: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(ApiError) as error:
        patched(patch)
    assert (error.value.code, error.value.message) == (code, message)


list_items = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcde")}, optional={"image": st.text(max_size=2)}),
    max_size=4,
    unique_by=lambda item: str(item["name"]),
)
things = st.fixed_dictionaries(
    {},
    optional={
        "spec": st.fixed_dictionaries({}, optional={"items": list_items, "replicas": st.integers(0, 3)}),
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "finalizers": st.lists(st.sampled_from("xyz"), max_size=3, unique=True),
                "labels": st.dictionaries(st.sampled_from("lm"), st.text(max_size=1), max_size=2),
            },
        ),
    },
)


@given(things, things)
def test_applying_a_patch_twice_is_applying_it_once(live: dict[str, Any], patch: dict[str, Any]) -> None:
    once = patched(patch, live)
    twice = patched(patch, once)
    assert twice == once


@given(things)
def test_an_object_as_patch_of_itself_or_of_nothing_gives_itself(live: dict[str, Any]) -> None:
    assert patched(live, live) == live
    assert patched({}, live) == live
    assert patched(live, {}) == live


@given(things, things)
def test_no_item_is_lost_or_doubled(live: dict[str, Any], patch: dict[str, Any]) -> None:
    result = patched(patch, live).get("spec", {}).get("items", [])
    wanted = {item["name"] for source in (live, patch) for item in source.get("spec", {}).get("items", [])}
    assert sorted(names(result)) == sorted(wanted)


@given(list_items, st.permutations("abcde"))
def test_set_element_order_is_obeyed(live_items: list[Any], order: list[str]) -> None:
    patch = {"spec": {"$setElementOrder/items": [{"name": name} for name in order]}}
    result = patched(patch, {"spec": {"items": live_items}})["spec"]["items"]
    assert names(result) == [name for name in order if name in names(live_items)]
