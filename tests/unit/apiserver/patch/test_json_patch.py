"""JSON Patch: RFC 6902 and upstream's deviations from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.errors import ApiError
from control.api.objects import copy_object
from control.apiserver.patch.json_patch import apply_json_patch

DOCUMENT: dict[str, Any] = {"a": {"b": [1, 2, 3], "c/d": "x", "e~f": "y", "n": None}, "s": "text"}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        pytest.param({"op": "add", "path": "/t", "value": 1}, {**DOCUMENT, "t": 1}, id="add a member"),
        pytest.param({"op": "add", "path": "/s", "value": 1}, {**DOCUMENT, "s": 1}, id="add replaces a member"),
        pytest.param({"op": "add", "path": "/t"}, {**DOCUMENT, "t": None}, id="add without value is null"),
        pytest.param({"op": "remove", "path": "/s"}, {"a": DOCUMENT["a"]}, id="remove a member"),
        pytest.param({"op": "replace", "path": "/new", "value": 1}, {**DOCUMENT, "new": 1}, id="replace may add"),
        pytest.param(
            {"op": "copy", "from": "/a/b", "path": "/t"}, {**DOCUMENT, "t": [1, 2, 3]}, id="copy takes a value along"
        ),
        pytest.param({"op": "move", "from": "/s", "path": "/t"}, {"a": DOCUMENT["a"], "t": "text"}, id="move"),
        pytest.param({"op": "test", "path": "/a/c~1d", "value": "x"}, DOCUMENT, id="slash is escaped"),
        pytest.param({"op": "test", "path": "/a/e~0f", "value": "y"}, DOCUMENT, id="tilde is escaped"),
        pytest.param({"op": "test", "path": "/a/none"}, DOCUMENT, id="an absent member equals no value"),
    ],
)
def test_operation_on_members(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    assert apply_json_patch(DOCUMENT, [operation]) == expected


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/a/b/-", "value": 9}, [1, 2, 3, 9]),
        ({"op": "add", "path": "/a/b/0", "value": 9}, [9, 1, 2, 3]),
        ({"op": "add", "path": "/a/b/3", "value": 9}, [1, 2, 3, 9]),
        ({"op": "add", "path": "/a/b/-1", "value": 9}, [1, 2, 3, 9]),
        ({"op": "remove", "path": "/a/b/1"}, [1, 3]),
        ({"op": "remove", "path": "/a/b/-1"}, [1, 2]),
        ({"op": "replace", "path": "/a/b/2", "value": 9}, [1, 2, 9]),
        ({"op": "move", "from": "/a/b/0", "path": "/a/b/-"}, [2, 3, 1]),
    ],
)
def test_operation_on_lists(operation: dict[str, Any], expected: list[int]) -> None:
    assert apply_json_patch(DOCUMENT, [operation])["a"]["b"] == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/a/b/7", "value": 1},
        {"op": "add", "path": "/a/b/5", "value": 1},
        {"op": "add", "path": "/a/b/x", "value": 1},
        {"op": "remove", "path": "/a/e~1f"},
        {"op": "remove", "path": "/a/b/-"},
        {"op": "add", "path": "/none/deep", "value": 1},
        {"op": "add", "path": "/s/deep", "value": 1},
        {"op": "add", "path": "/a/n/deep", "value": 1},
        {"op": "add", "path": "", "value": {}},
        {"op": "replace", "path": "", "value": {}},
        {"op": "test", "path": "/s", "value": "other"},
        {"op": "test", "path": "/a/b", "value": [1, 2, True]},
        {"op": "test", "path": "/a/b/0", "value": True},
        {"op": "move", "path": "/t"},
        {"op": "copy", "from": "/none/x", "path": "/t"},
        {"op": "add", "path": 5, "value": 1},
        {"op": "unknown", "path": "/s"},
        {"path": "/s"},
    ],
)
def test_what_does_not_apply_is_422_without_a_reason(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as error:
        apply_json_patch(DOCUMENT, [operation])
    assert error.value.to_status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    }


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ({"op": "add"}, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        ("x", "json: cannot unmarshal string into Go value of type jsonpatch.Patch"),
        (["x"], "json: cannot unmarshal string into Go value of type jsonpatch.Operation"),
        ([1], "json: cannot unmarshal number into Go value of type jsonpatch.Operation"),
    ],
)
def test_what_is_no_patch_is_400(operations: Any, message: str) -> None:
    with pytest.raises(ApiError) as error:
        apply_json_patch(DOCUMENT, operations)
    assert (error.value.code, error.value.message) == (400, message)


def test_too_many_operations_are_413() -> None:
    with pytest.raises(ApiError) as error:
        apply_json_patch(DOCUMENT, [{"op": "test", "path": "/s", "value": "text"}] * 10_001)
    assert error.value.code == 413
    assert error.value.message == (
        "Request entity is too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    )


def test_copies_may_not_blow_the_document_up() -> None:
    document: dict[str, Any] = {"x": ["y" * 1000]}
    copies = [{"op": "copy", "from": "/x", "path": "/x/-"}] * 40
    with pytest.raises(ApiError, match="rejected our request"):
        apply_json_patch(document, copies)


def test_a_patch_applies_whole_or_not_at_all() -> None:
    document = copy_object(DOCUMENT)
    with pytest.raises(ApiError):
        apply_json_patch(document, [{"op": "remove", "path": "/s"}, {"op": "remove", "path": "/s"}])
    assert document == DOCUMENT


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=6,
)
documents = st.dictionaries(st.text(max_size=2), json_values, max_size=4)


def pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


@given(documents, st.text(max_size=2), json_values)
def test_what_was_added_can_be_tested_and_removed(document: dict[str, Any], key: str, value: Any) -> None:
    before = copy_object(document)
    path = pointer(key)
    added = apply_json_patch(
        document, [{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value}]
    )
    assert added == {**document, key: value}
    assert document == before
    rest = {name: item for name, item in document.items() if name != key}
    assert apply_json_patch(added, [{"op": "remove", "path": path}]) == rest


@given(documents, st.text(max_size=2))
def test_moving_there_and_back_changes_nothing(document: dict[str, Any], key: str) -> None:
    for source in document:
        if key not in document:
            there = {"op": "move", "from": pointer(source), "path": pointer(key)}
            back = {"op": "move", "from": pointer(key), "path": pointer(source)}
            assert apply_json_patch(document, [there, back]) == document
