"""The laws of patches, on random objects of every built-in kind with its real schema."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from control.api.errors import ApiError
from control.api.kinds import Kind
from control.api.objects import copy_object
from control.apiserver.patch.compare import fields_of, members_of
from control.apiserver.patch.field_set import FieldSet, difference
from control.apiserver.patch.json_patch import apply_json_patch
from control.apiserver.patch.managed_fields import METADATA_ITSELF, FieldWriter, record_update, trim_object
from control.apiserver.patch.merge_patch import apply_merge_patch
from control.apiserver.patch.server_side_apply import apply_configuration
from control.apiserver.patch.strategic_merge import apply_strategic_merge_patch
from tests.unit.apiserver.patch.objects import (
    json_patch_difference,
    kinds_with_objects,
    merge_difference,
    schema_of,
    strategic_difference,
)

Object = dict[str, Any]
Drawn = tuple[Kind, list[Object]]


def writer(kind: Kind, manager: str, second: int = 0) -> FieldWriter:
    return FieldWriter(manager=manager, api_version=kind.api_version, time=f"2026-01-01T00:00:{second:02}Z")


def apply(
    kind: Kind,
    live: Object | None,
    configuration: Object,
    manager: str = "one",
    *,
    force: bool = False,
    second: int = 0,
) -> Object:
    obj = apply_configuration(
        live, configuration, schema_of(kind), writer(kind, manager, second), kind=kind.kind, force=force
    )
    obj["metadata"].setdefault("uid", "u")
    return obj


def content(obj: Object) -> Object:
    """What an object says, without what the server keeps and without empty records, which mean nothing."""
    return dict(_without_empty(trim_object(obj)) or {})


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _without_empty(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in (None, {}, [])}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def owned(obj: Object, manager: str) -> FieldSet:
    for entry in obj["metadata"].get("managedFields", []):
        if entry["manager"] == manager:
            return dict(entry["fieldsV1"])
    return {}


def stated(kind: Kind, configuration: Object) -> FieldSet:
    return difference(fields_of(trim_object(configuration), schema_of(kind)), METADATA_ITSELF)


@given(kinds_with_objects(2))
def test_a_merge_patch_of_the_difference_gives_the_other_object(drawn: Drawn) -> None:
    _, (old, new) = drawn
    assert apply_merge_patch(old, merge_difference(old, new)) == new


@given(kinds_with_objects(2))
def test_a_json_patch_of_the_difference_gives_the_other_object(drawn: Drawn) -> None:
    _, (old, new) = drawn
    assert apply_json_patch(old, json_patch_difference(old, new)) == new


@given(kinds_with_objects(2))
def test_a_strategic_merge_patch_of_the_difference_gives_the_other_object(drawn: Drawn) -> None:
    kind, (old, new) = drawn
    patch = strategic_difference(old, new, schema_of(kind))
    patched = apply_strategic_merge_patch(copy_object(old), patch, schema_of(kind))
    assert patched == new
    again = apply_strategic_merge_patch(patched, strategic_difference(patched, new, schema_of(kind)), schema_of(kind))
    assert again == new


@given(kinds_with_objects(2))
def test_a_sole_manager_gets_exactly_what_it_states(drawn: Drawn) -> None:
    kind, (first, second) = drawn
    assert content(apply(kind, apply(kind, None, first), second)) == content(second)


@given(kinds_with_objects(2))
def test_applying_again_changes_nothing(drawn: Drawn) -> None:
    kind, (first, second) = drawn
    live = apply(kind, apply(kind, None, first), second, "two", force=True, second=1)
    assert apply(kind, live, second, "two", second=2) == live
    assert apply(kind, live, second, "two", force=True, second=2) == live


@given(kinds_with_objects(2))
def test_whoever_forces_owns_what_it_states_and_reads_it_back(drawn: Drawn) -> None:
    kind, (first, second) = drawn
    live = apply(kind, apply(kind, None, first), second, "two", force=True)
    assert not difference(stated(kind, second), owned(live, "two"))
    # Stating it once more, as somebody else, meets no conflict: the values are there.
    apply(kind, live, second, "three")


@given(kinds_with_objects(2))
def test_without_force_others_keep_what_they_own(drawn: Drawn) -> None:
    kind, (first, second) = drawn
    live = apply(kind, None, first)
    try:
        merged = apply(kind, live, second, "two")
    except ApiError:
        return  # a conflict: nothing was applied
    assert owned(merged, "one") == owned(live, "one")
    assert _unordered(content(apply(kind, merged, first))) == _unordered(content(merged))


def _unordered(value: Any) -> Any:
    """A value in which lists are compared whatever their order: each manager has its own."""
    if isinstance(value, dict):
        return {name: _unordered(item) for name, item in value.items()}
    return sorted((_unordered(item) for item in value), key=repr) if isinstance(value, list) else value


@given(kinds_with_objects(2))
def test_giving_all_up_leaves_what_others_own(drawn: Drawn) -> None:
    kind, (first, second) = drawn
    nothing = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}}
    forced = apply(kind, apply(kind, None, first), second, "two", force=True)
    left = apply(kind, forced, nothing, "two")
    assert not owned(left, "two")
    assert owned(left, "one") == owned(forced, "one")
    assert content(apply(kind, left, nothing)) == {}


@given(kinds_with_objects(3), st.booleans())
def test_every_recorded_field_exists(drawn: Drawn, updates: bool) -> None:
    kind, (first, second, third) = drawn
    live = apply(kind, apply(kind, None, first), second, "two", force=True)
    if updates:
        updated = copy_object(third)
        updated["metadata"]["uid"] = "u"
        record_update(live, updated, schema_of(kind), writer(kind, "updater"))
        live = updated
    else:
        live = apply(kind, live, third, "three", force=True)
    present = _all_paths(kind, live)
    for entry in live["metadata"].get("managedFields", []):
        assert not difference(entry["fieldsV1"], present), entry


def _all_paths(kind: Kind, obj: Object) -> FieldSet:
    return members_of(trim_object(obj), schema_of(kind))
