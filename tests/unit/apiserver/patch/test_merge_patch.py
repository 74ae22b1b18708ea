"""JSON Merge Patch: the laws of RFC 7386."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.errors import ApiError
from control.api.objects import copy_object
from control.apiserver.patch.merge_patch import apply_merge_patch

scalars = st.one_of(st.booleans(), st.integers(-5, 5), st.text(max_size=3))
keys = st.sampled_from("abc")


def json_values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(keys, inner, max_size=3)),
        max_leaves=8,
    )


documents = st.dictionaries(keys, json_values(scalars), max_size=3)
patches = st.dictionaries(keys, json_values(st.one_of(st.none(), scalars)), max_size=3)


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "b"}, {"a": {"x": {"y": None}}}, {"a": {"x": {}}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_examples_of_the_rfc(document: Any, patch: Any, expected: Any) -> None:
    assert apply_merge_patch(document, patch) == expected


@pytest.mark.parametrize("patch", [None, "x", 1])
def test_a_patch_must_be_an_object(patch: Any) -> None:
    with pytest.raises(ApiError) as error:
        apply_merge_patch({}, patch)
    assert (error.value.code, error.value.message) == (400, "Invalid JSON Patch")


@given(documents, patches)
def test_applying_twice_is_applying_once(document: Any, patch: Any) -> None:
    before = copy_object(document), copy_object(patch)
    once = apply_merge_patch(document, patch)
    assert apply_merge_patch(once, patch) == once
    assert (document, patch) == before


@given(documents)
def test_the_empty_patch_changes_nothing(document: Any) -> None:
    assert apply_merge_patch(document, {}) == document


@given(documents, documents)
def test_a_difference_leads_from_one_document_to_the_other(source: Any, target: Any) -> None:
    assert apply_merge_patch(source, difference(source, target)) == target


def difference(source: Any, target: Any) -> Any:
    patch: dict[str, Any] = {key: None for key in source if key not in target}
    for key, value in target.items():
        if isinstance(value, dict):
            old = source.get(key)
            patch[key] = difference(old if isinstance(old, dict) else {}, value)
        else:
            patch[key] = value
    return patch
