"""Rules of Job specs, in Jobs and in the templates of CronJobs (upstream: validateJobSpec)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    dns_subdomain,
    nonnegative,
    one_of,
    qualified_name,
    required_one_of,
)
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.pod_spec_validation import pod_template

Spec = Mapping[str, Any]

_INDEXED_PARALLELISM_MAX = 100_000
_RULES_MAX = 20
_EXIT_CODES_MAX = 255
_NEEDS_INDEXES = "requires indexed completion mode"
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
)


def job_spec(path: str, spec: Spec) -> Errors:
    """A Job spec, but for its selector."""
    for name in _COUNTS:
        yield from nonnegative(f"{path}.{name}", spec.get(name))
    if spec.get("maxFailedIndexes") is not None:
        yield from nonnegative(f"{path}.maxFailedIndexes", spec["maxFailedIndexes"])
        if spec.get("backoffLimitPerIndex") is None:
            yield FieldError.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec.get("managedBy") is not None:
        yield from _manager(f"{path}.managedBy", spec["managedBy"])
    yield from _completion_mode(path, spec)
    if spec.get("podFailurePolicy") is not None:
        yield from _failure_policy(f"{path}.podFailurePolicy", spec)
    if spec.get("successPolicy") is not None:
        yield from _success_policy(f"{path}.successPolicy", spec)
    yield from _replacement_policy(f"{path}.podReplacementPolicy", spec)
    yield from pod_template(f"{path}.template", spec["template"])
    yield from _restart_policy(f"{path}.template.spec.restartPolicy", spec)


def _manager(path: str, name: str) -> Errors:
    domain, slash, rest = name.partition("/")
    if not slash or not domain or not rest:
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        yield FieldError.invalid(path, name, detail)
    else:
        yield from dns_subdomain(path, domain)
    if len(name) > 63:
        yield FieldError.too_long(path, 63)


def _completion_mode(path: str, spec: Spec) -> Errors:
    mode = spec.get("completionMode")
    if mode is not None:
        yield from one_of(f"{path}.completionMode", mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed":
        yield from _indexed(path, spec)
    elif mode == "NonIndexed":
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(name) is not None:
                yield FieldError.invalid(f"{path}.{name}", spec[name], _NEEDS_INDEXES)


def _indexed(path: str, spec: Spec) -> Errors:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    if completions is None:
        yield FieldError.required(f"{path}.completions", "when completion mode is Indexed")
    if (spec.get("parallelism") or 0) > _INDEXED_PARALLELISM_MAX:
        detail = f"must be less than or equal to {_INDEXED_PARALLELISM_MAX} when completion mode is Indexed"
        yield FieldError.invalid(f"{path}.parallelism", spec["parallelism"], detail)
    if completions is not None and failed is not None and failed > completions:
        yield FieldError.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")


def _restart_policy(path: str, spec: Spec) -> Errors:
    policy = spec["template"]["spec"].get("restartPolicy")
    if policy in (None, "", "Always"):
        yield FieldError.required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield FieldError.not_supported(path, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        yield FieldError.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _replacement_policy(path: str, spec: Spec) -> Errors:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return
    supported = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    yield from one_of(path, policy, supported)


def _failure_policy(path: str, spec: Spec) -> Errors:
    rules = spec["podFailurePolicy"].get("rules") or ()
    if len(rules) > _RULES_MAX:
        yield FieldError.too_many(f"{path}.rules", len(rules), _RULES_MAX)
    template = spec["template"]["spec"]
    names = {c.get("name") for field in ("containers", "initContainers") for c in template.get(field) or ()}
    for index, rule in enumerate(rules):
        yield from _failure_rule(f"{path}.rules[{index}]", rule, spec, names)


def _failure_rule(path: str, rule: Spec, spec: Spec, names: set[Any]) -> Errors:
    action = rule.get("action") or ""
    supported = ("Count", "FailIndex", "FailJob", "Ignore")
    yield from required_one_of(f"{path}.action", action, supported)
    if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        detail = "requires the backoffLimitPerIndex to be set"
        yield FieldError.invalid(f"{path}.action", action, detail)
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if codes is not None and conditions:
        detail = "specifying both OnExitCodes and OnPodConditions is not supported"
        yield FieldError.invalid(path, "", detail)
    elif codes is None and not conditions:
        yield FieldError.invalid(path, "", "specifying one of OnExitCodes and OnPodConditions is required")
    if codes is not None:
        yield from _exit_codes(f"{path}.onExitCodes", codes, names)
    for index, condition in enumerate(conditions):
        item = f"{path}.onPodConditions[{index}]"
        yield from qualified_name(f"{item}.type", condition.get("type") or "")
        yield from required_one_of(f"{item}.status", condition.get("status"), ("False", "True", "Unknown"))


def _exit_codes(path: str, codes: Spec, names: set[Any]) -> Errors:
    yield from required_one_of(f"{path}.operator", codes.get("operator"), ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in names:
        detail = "must be one of the container or initContainer names in the pod template"
        yield FieldError.invalid(f"{path}.containerName", name, detail)
    values = codes.get("values") or []
    if not values:
        yield FieldError.invalid(f"{path}.values", values, "at least one value is required")
    elif len(values) > _EXIT_CODES_MAX:
        yield FieldError.too_many(f"{path}.values", len(values), _EXIT_CODES_MAX)
    for index, value in enumerate(values):
        if codes.get("operator") == "In" and value == 0:
            yield FieldError.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            yield FieldError.duplicate(f"{path}.values[{index}]", value)
    if values != sorted(values):
        yield FieldError.invalid(f"{path}.values", values, "must be ordered")


_INTERVAL = re.compile(r"(\d+)(?:-(\d+))?")


def _success_policy(path: str, spec: Spec) -> Errors:
    policy = spec["successPolicy"]
    if spec.get("completionMode") != "Indexed":
        shown = internal_form("SuccessPolicy", policy)
        yield FieldError.invalid(path, shown, _NEEDS_INDEXES)
        return
    rules = policy.get("rules") or ()
    if not rules:
        yield FieldError.required(
            f"{path}.rules", "at least one rules must be specified when the successPolicy is specified"
        )
    if len(rules) > _RULES_MAX:
        yield FieldError.too_many(f"{path}.rules", len(rules), _RULES_MAX)
    for index, rule in enumerate(rules):
        yield from _success_rule(f"{path}.rules[{index}]", rule, spec.get("completions") or 0)


def _success_rule(path: str, rule: Spec, completions: int) -> Errors:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        detail = "at least one of succeededCount or succeededIndexes must be specified"
        yield FieldError.required(path, detail)
    total = completions
    if indexes is not None:
        total = sum(int(m[2] or m[1]) - int(m[1]) + 1 for m in _INTERVAL.finditer(indexes))
        broken = _index_problem(indexes, completions)
        if broken:
            detail = f"error parsing succeededIndexes: {broken}"
            yield FieldError.invalid(f"{path}.succeededIndexes", indexes, detail)
    if count is not None:
        where = f"{path}.succeededCount"
        yield from nonnegative(where, count)
        if count > completions:
            detail = f"must be less than or equal to {completions} (the number of specified completions)"
            yield FieldError.invalid(where, count, detail)
        elif indexes is not None and count > total:
            detail = (
                f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            )
            yield FieldError.invalid(where, count, detail)


def _index_problem(text: str, completions: int) -> str:
    last = -1
    for part in text.split(","):
        match = _INTERVAL.fullmatch(part)
        if match is None:
            return f'cannot convert string to integer for index: "{part}"'
        first, end = int(match[1]), int(match[2] or match[1])
        if end >= completions:
            return f'too large index: "{match[2] or match[1]}"'
        if first <= last or end < first:
            return f"non-increasing order, previous: {last}, current: {first}"
        last = end
    return ""
