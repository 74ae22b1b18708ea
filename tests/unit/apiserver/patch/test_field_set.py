"""Field sets obey the laws of sets, whatever form their trees have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.apiserver.patch.field_set import (
    LEAF,
    SELF,
    FieldSet,
    difference,
    format_paths,
    from_paths,
    intersection,
    is_field_set,
    recursive_difference,
    sort_steps,
    union,
)

Paths = set[tuple[str, ...]]

steps = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"'])
path_sets = st.sets(st.lists(steps, min_size=1, max_size=3).map(tuple), max_size=6)


def build(paths: Paths) -> FieldSet:
    result: FieldSet = {}
    for path in sorted(paths):
        node: FieldSet = LEAF
        for step in reversed(path):
            node = {step: node}
        result = union(result, node)
    return result


def paths_of(fields: FieldSet, prefix: tuple[str, ...] = ()) -> Paths:
    found: Paths = set()
    for step, node in fields.items():
        if step == SELF:
            continue
        path = (*prefix, step)
        if not node or SELF in node:
            found.add(path)
        found |= paths_of(node, path)
    return found


@given(path_sets, path_sets)
def test_operations_are_those_of_sets(left: Paths, right: Paths) -> None:
    first, second = build(left), build(right)
    assert paths_of(first) == left
    assert paths_of(union(first, second)) == left | right
    assert paths_of(difference(first, second)) == left - right
    assert paths_of(intersection(first, second)) == left & right


@given(path_sets, path_sets)
def test_recursive_difference_takes_what_is_below_too(left: Paths, right: Paths) -> None:
    kept = {path for path in left if not any(path[: len(other)] == other for other in right)}
    assert paths_of(recursive_difference(build(left), build(right))) == kept


@given(path_sets, path_sets)
def test_no_operation_leaves_empty_nodes_or_changes_its_arguments(left: Paths, right: Paths) -> None:
    first, second = build(left), build(right)
    for operation in (union, difference, intersection, recursive_difference):
        result = operation(first, second)
        assert build(paths_of(result)) == result
    assert (first, second) == (build(left), build(right))


@given(path_sets)
def test_sorting_keeps_the_set(paths: Paths) -> None:
    assert sort_steps(build(paths)) == build(paths)


def test_steps_are_written_in_upstreams_order() -> None:
    fields = {"v:1": LEAF, 'k:{"a":1}': {"f:b": LEAF, SELF: LEAF}, "f:z": LEAF, "f:b": LEAF}
    assert list(sort_steps(fields)) == ["f:b", "f:z", 'k:{"a":1}', "v:1"]
    assert list(sort_steps(fields)['k:{"a":1}']) == [SELF, "f:b"]


def test_paths_are_formatted_as_upstream_does() -> None:
    fields = {
        "f:spec": {
            "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {SELF: LEAF, "f:name": LEAF}},
            "f:replicas": LEAF,
        },
        "f:metadata": {"f:finalizers": {'v:"a.com/x"': LEAF}},
    }
    assert format_paths(fields) == [
        '.metadata.finalizers[="a.com/x"]',
        ".spec.replicas",
        '.spec.ports[containerPort=80,protocol="TCP"]',
        '.spec.ports[containerPort=80,protocol="TCP"].name',
    ]


@pytest.mark.parametrize("value", [None, [], "x", {"a": {}}, {"f:a": None}, {"f:a": {"b": {}}}])
def test_what_is_no_field_set_is_recognised(value: object) -> None:
    assert not is_field_set(value)


def test_from_paths_names_fields() -> None:
    assert from_paths(("spec",), ("metadata", "labels")) == {"f:spec": LEAF, "f:metadata": {"f:labels": LEAF}}
