"""Rules of what Jobs make of the end of their Pods (upstream: validatePodFailurePolicy, validateSuccessPolicy)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from control.api.errors import FieldError, quote, quoted_list
from control.apiserver.registry.strategies.field_rules import Errors, nonnegative, one_of, qualified_name
from control.apiserver.registry.strategies.internal_form import internal_form

Spec = Mapping[str, Any]

NEEDS_INDEXES = "requires indexed completion mode"
_RULES_MAX = 20
_CONDITIONS_MAX = 20
_EXIT_CODES_MAX = 255
_INDEXES_BYTES_MAX = 64 * 1024
_NUMBER = re.compile(r"[-+]?[0-9]+")


def failure_policy(path: str, spec: Spec) -> Errors:
    """podFailurePolicy."""
    rules = spec["podFailurePolicy"].get("rules") or ()
    if len(rules) > _RULES_MAX:
        yield FieldError.too_many(f"{path}.rules", len(rules), _RULES_MAX)
    template = spec["template"]["spec"]
    names = {c.get("name") for field in ("containers", "initContainers") for c in template.get(field) or ()}
    for index, rule in enumerate(rules):
        yield from _failure_rule(f"{path}.rules[{index}]", rule, spec, names)


def _one_of_listed(path: str, value: str, supported: Sequence[str]) -> Errors:
    if not value:
        yield FieldError.required(path, f"valid values: {quoted_list(supported)}")
    else:
        yield from one_of(path, value, supported)


def _failure_rule(path: str, rule: Spec, spec: Spec, names: set[Any]) -> Errors:
    action = rule.get("action") or ""
    yield from _one_of_listed(f"{path}.action", action, ("Count", "FailIndex", "FailJob", "Ignore"))
    if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield FieldError.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if codes is not None:
        yield from _exit_codes(f"{path}.onExitCodes", codes, names)
    if len(conditions) > _CONDITIONS_MAX:
        yield FieldError.too_many(f"{path}.onPodConditions", len(conditions), _CONDITIONS_MAX)
    for index, condition in enumerate(conditions):
        item = f"{path}.onPodConditions[{index}]"
        yield from qualified_name(f"{item}.type", condition.get("type") or "")
        yield from _one_of_listed(f"{item}.status", condition.get("status") or "", ("False", "True", "Unknown"))
    if codes is not None and conditions:
        yield FieldError.invalid_unshown(path, "specifying both OnExitCodes and OnPodConditions is not supported")
    if codes is None and not conditions:
        yield FieldError.invalid_unshown(path, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_codes(path: str, codes: Spec, names: set[Any]) -> Errors:
    yield from _one_of_listed(f"{path}.operator", codes.get("operator") or "", ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in names:
        detail = "must be one of the container or initContainer names in the pod template"
        yield FieldError.invalid(f"{path}.containerName", name, detail)
    values = codes.get("values")
    if not values:
        yield FieldError.invalid(f"{path}.values", values, "at least one value is required")
        return
    if len(values) > _EXIT_CODES_MAX:
        yield FieldError.too_many(f"{path}.values", len(values), _EXIT_CODES_MAX)
    for index, value in enumerate(values):
        if codes.get("operator") == "In" and value == 0:
            yield FieldError.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            yield FieldError.duplicate(f"{path}.values[{index}]", value)
    if any(first > second for first, second in pairwise(values)):
        yield FieldError.invalid(f"{path}.values", values, "must be ordered")


def success_policy(path: str, spec: Spec) -> Errors:
    """successPolicy."""
    policy = spec["successPolicy"]
    if spec.get("completionMode") != "Indexed":
        yield FieldError.invalid(path, internal_form("SuccessPolicy", policy), NEEDS_INDEXES)
        return
    rules = policy.get("rules") or ()
    if not rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        yield FieldError.required(f"{path}.rules", detail)
    if len(rules) > _RULES_MAX:
        yield FieldError.too_many(f"{path}.rules", len(rules), _RULES_MAX)
    for index, rule in enumerate(rules):
        yield from _success_rule(f"{path}.rules[{index}]", rule, spec.get("completions") or 0)


def _success_rule(path: str, rule: Spec, completions: int) -> Errors:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        yield FieldError.required(path, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if indexes is not None:
        where = f"{path}.succeededIndexes"
        if len(indexes) > _INDEXES_BYTES_MAX:
            yield FieldError.too_long(where, _INDEXES_BYTES_MAX)
        try:
            total = sum(last - first + 1 for first, last in index_intervals(indexes, completions))
        except IndexesError as error:
            yield FieldError.invalid(where, indexes, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    where, bound = f"{path}.succeededCount", "must be less than or equal to"
    yield from nonnegative(where, count)
    if count > completions:
        yield FieldError.invalid(where, count, f"{bound} {completions} (the number of specified completions)")
    if indexes is not None and count > total:
        detail = f"{bound} {total} (the number of indexes in the specified succeededIndexes field)"
        yield FieldError.invalid(where, count, detail)


class IndexesError(ValueError):
    """A list of indexes that cannot be read, with the reason in upstream's words."""


def index_intervals(text: str, completions: int) -> list[tuple[int, int]]:
    """Read `0,2-4,7`: increasing indexes below the number of completions."""
    intervals: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        interval = index_interval(part, completions)
        if intervals and intervals[-1][1] >= interval[0]:
            raise IndexesError(f"non-increasing order, previous: {intervals[-1][1]}, current: {interval[0]}")
        intervals.append(interval)
    return intervals


def index_interval(text: str, completions: int) -> tuple[int, int]:
    """Read one index or `first-last`."""
    limits = text.split("-")
    if len(limits) > 2:
        raise IndexesError(
            f"the fragment {quote(text)} violates the requirement that an index interval can have at most two parts "
            "separated by '-'"
        )
    numbers: list[int] = []
    for limit in limits:
        if not _NUMBER.fullmatch(limit):
            raise IndexesError(f"cannot convert string to integer for index: {quote(limit)}")
        if int(limit) >= completions:
            raise IndexesError(f"too large index: {quote(limit)}")
        numbers.append(int(limit))
    if len(numbers) > 1 and numbers[0] >= numbers[1]:
        raise IndexesError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]
