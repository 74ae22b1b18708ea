"""The stored form: where the resourceVersion goes, whatever the object says elsewhere."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from control.apiserver.cache.encoding import CachedObject, SelectedObjects, encode_for_storage, join_list

texts = st.one_of(st.text(max_size=8), st.sampled_from(['"resourceVersion":""', "resourceVersion", '"metadata":', '"']))
values = st.recursive(
    st.one_of(texts, st.integers(-(2**63), 2**63), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
metadata = st.fixed_dictionaries(
    {"name": texts},
    optional={
        "resourceVersion": texts,
        "labels": st.dictionaries(texts, texts, max_size=3),
        "uid": texts,
        "namespace": texts,
        "annotations": values,
        "generation": st.integers(0, 9),
    },
)
objects = st.fixed_dictionaries(
    {"data": values, "metadata": metadata, "kind": texts, "apiVersion": texts}, optional={"resourceVersion": texts}
)


@given(objects, st.integers(1, 2**62), st.integers(1, 2**62))
def test_published_object_differs_from_the_given_one_in_its_resource_version_alone(
    obj: dict[str, Any], revision: int, later: int
) -> None:
    before = orjson.dumps(obj)
    stored = encode_for_storage(obj)
    assert orjson.dumps(obj) == before
    cached = CachedObject("/k", stored, revision)
    expected = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}
    assert cached.object == expected
    untyped = {key: value for key, value in expected.items() if key not in ("kind", "apiVersion")}
    assert orjson.loads(join_list(b"[", [cached, cached], b"]", with_type=False)) == [untyped, untyped]
    assert orjson.loads(join_list(b"[", [cached, cached], b"]", with_type=True)) == [expected, expected]
    shared = SelectedObjects([cached, cached])
    for _ in range(2):
        assert orjson.loads(join_list(b"[", shared, b"]", with_type=False)) == [untyped, untyped]
        assert orjson.loads(join_list(b"[", shared, b"]", with_type=True)) == [expected, expected]
    moved = cached.at_revision(later)
    assert moved.object["metadata"]["resourceVersion"] == str(later)
    assert moved.encoded == CachedObject("/k", stored, later).encoded


def test_stored_text_begins_with_type_and_identity_in_upstreams_order() -> None:
    stored = encode_for_storage(
        {
            "spec": {},
            "metadata": {"labels": {}, "uid": "u", "resourceVersion": "9", "namespace": "n", "name": "x"},
            "apiVersion": "v1",
            "kind": "Pod",
        }
    )
    assert stored == (
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","namespace":"n","uid":"u","resourceVersion":"",'
        b'"labels":{}},"spec":{}}'
    )


def test_decode_copy_is_private() -> None:
    cached = CachedObject("/k", encode_for_storage({"kind": "A", "apiVersion": "v1", "metadata": {"name": "x"}}), 3)
    cached.decode_copy()["metadata"]["name"] = "changed"
    assert cached.object["metadata"]["name"] == "x"


def test_an_empty_list_is_head_and_tail() -> None:
    assert join_list(b'{"items":[', [], b"]}", with_type=False) == b'{"items":[]}'
    assert join_list(b'{"items":[', SelectedObjects(), b"]}", with_type=True) == b'{"items":[]}'
