"""Sets of field paths, kept as fieldsV1 writes them (sigs.k8s.io/structured-merge-diff, fieldpath).

A set is a tree: a key is one step of a path, `{}` under it says that the path is in the set, and a node with children
says so by the key `"."`. Steps are `f:<name>` for a field or map entry, `k:<json>` for an item of a list with keys
and `v:<json>` for a value of a set. Sets are never changed in place; they share subtrees and the leaf.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import orjson

FieldSet: TypeAlias = dict[str, Any]

LEAF: FieldSet = {}
SELF = "."

_STEP_KINDS = ("f:", "k:", "v:", "i:")
_STEP_ORDER = {".": 0, "f": 1, "k": 2, "v": 3, "i": 4}


def make_node(children: FieldSet, *, is_member: bool) -> FieldSet | None:
    """Make a node, or None if there is nothing to say."""
    if not children:
        return LEAF if is_member else None
    return {SELF: LEAF, **children} if is_member else children


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in either set."""
    if not left or not right:
        return left or right
    result = dict(left)
    for step, node in right.items():
        result[step] = _union_nodes(result[step], node) if step in result else node
    return result


def _union_nodes(left: FieldSet, right: FieldSet) -> FieldSet:
    if not left:
        return right if not right or SELF in right else {SELF: LEAF, **right}
    if not right:
        return left if SELF in left else {SELF: LEAF, **left}
    return union(left, right)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths of the first set that are not in the second."""
    if left.keys().isdisjoint(right):
        return left
    result = {}
    for step, node in left.items():
        kept = _difference_nodes(node, right[step]) if step in right else node
        if kept is not None:
            result[step] = kept
    return result


def _difference_nodes(left: FieldSet, right: FieldSet) -> FieldSet | None:
    is_member = (not left or SELF in left) and not (not right or SELF in right)
    children = {}
    for step, node in left.items():
        if step == SELF:
            continue
        kept = _difference_nodes(node, right[step]) if step in right else node
        if kept is not None:
            children[step] = kept
    return make_node(children, is_member=is_member)


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths of the first set that are neither in the second nor below one of its paths."""
    if not right:
        return left
    result = {}
    for step, node in left.items():
        if step not in right:
            result[step] = node
            continue
        other = right[step]
        if not other or SELF in other or step == SELF:
            continue
        children = recursive_difference({key: child for key, child in node.items() if key != SELF}, other)
        kept = make_node(children, is_member=not node or SELF in node)
        if kept is not None:
            result[step] = kept
    return result


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in both sets."""
    result = {}
    for step, node in left.items():
        if step in right:
            kept = _intersection_nodes(node, right[step])
            if kept is not None:
                result[step] = kept
    return result


def _intersection_nodes(left: FieldSet, right: FieldSet) -> FieldSet | None:
    is_member = (not left or SELF in left) and (not right or SELF in right)
    children = {}
    for step, node in left.items():
        if step != SELF and step in right:
            kept = _intersection_nodes(node, right[step])
            if kept is not None:
                children[step] = kept
    return make_node(children, is_member=is_member)


def has_member(fields: FieldSet, step: str) -> bool:
    """Whether the path of that one step is in the set."""
    node = fields.get(step)
    return node is not None and (not node or SELF in node)


def below(fields: FieldSet, step: str) -> FieldSet:
    """The set of what follows a step."""
    node: FieldSet = fields.get(step, LEAF)
    return {key: child for key, child in node.items() if key != SELF} if SELF in node else node


def from_paths(*paths: tuple[str, ...]) -> FieldSet:
    """The set of paths of field names."""
    result: FieldSet = {}
    for path in paths:
        node = LEAF
        for name in reversed(path):
            node = {f"f:{name}": node}
        result = union(result, node)
    return result


def sort_steps(fields: FieldSet) -> FieldSet:
    """The same set with its steps in upstream's order."""
    ordered = sorted(fields, key=lambda step: (_STEP_ORDER.get(step[0], 5), step))
    return {step: sort_steps(fields[step]) if fields[step] else LEAF for step in ordered}


def format_paths(fields: FieldSet, prefix: str = "") -> list[str]:
    """The paths as texts, e.g. `.spec.containers[name="a"].image`, in upstream's order: members before what follows."""
    steps = sorted((step for step in fields if step != SELF), key=lambda step: (_STEP_ORDER.get(step[0], 5), step))
    members = [prefix + format_step(step) for step in steps if not fields[step] or SELF in fields[step]]
    for step in steps:
        if fields[step]:
            members += format_paths(fields[step], prefix + format_step(step))
    return members


def format_step(step: str) -> str:
    """One step as text."""
    kind, _, content = step.partition(":")
    if kind == "f":
        return "." + content
    if kind == "v":
        return f"[={content}]"
    if kind == "k":
        fields: dict[str, Any] = orjson.loads(content)
        return "[" + ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in fields.items()) + "]"
    return f"[{content}]"


def is_field_set(value: Any) -> bool:
    """Whether a value from outside has the form of a set."""
    if not isinstance(value, dict):
        return False
    for step, node in value.items():
        if step != SELF and step[:2] not in _STEP_KINDS:
            return False
        if not is_field_set(node):
            return False
    return True
