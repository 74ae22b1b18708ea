"""Rules of Job specs, in Jobs and in the templates of CronJobs (upstream: validateJobSpec)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    dns_subdomain,
    nonnegative,
    one_of,
)
from control.apiserver.registry.strategies.job_policy_validation import NEEDS_INDEXES, failure_policy, success_policy
from control.apiserver.registry.strategies.pod_spec_validation import pod_template

Spec = Mapping[str, Any]

_INDEXED_PARALLELISM_MAX = 100_000
_FAILED_INDEXES_MAX = 100_000
#: above so many completions fewer Pods run, and fewer indexes fail, at a time
_COMPLETIONS_SOFT_LIMIT = 100_000
_HIGH_COMPLETIONS_MAX = 10_000
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
        yield from failure_policy(f"{path}.podFailurePolicy", spec)
    if spec.get("successPolicy") is not None:
        yield from success_policy(f"{path}.successPolicy", spec)
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
    if mode in (None, "NonIndexed"):
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(name) is not None:
                yield FieldError.invalid(f"{path}.{name}", spec[name], NEEDS_INDEXES)


def _indexed(path: str, spec: Spec) -> Errors:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    if completions is None:
        yield FieldError.required(f"{path}.completions", "when completion mode is Indexed")
    if (spec.get("parallelism") or 0) > _INDEXED_PARALLELISM_MAX:
        detail = f"must be less than or equal to {_INDEXED_PARALLELISM_MAX} when completion mode is Indexed"
        yield FieldError.invalid(f"{path}.parallelism", spec["parallelism"], detail)
    if completions is not None and failed is not None and failed > completions:
        yield FieldError.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > _FAILED_INDEXES_MAX:
        detail = f"must be less than or equal to {_FAILED_INDEXES_MAX}"
        yield FieldError.invalid(f"{path}.maxFailedIndexes", failed, detail)
    if (completions or 0) > _COMPLETIONS_SOFT_LIMIT and spec.get("backoffLimitPerIndex") is not None:
        yield from _many_completions(path, spec)


def _many_completions(path: str, spec: Spec) -> Errors:
    if spec.get("maxFailedIndexes") is None:
        detail = f"must be specified when completions is above {_COMPLETIONS_SOFT_LIMIT}"
        yield FieldError.required(f"{path}.maxFailedIndexes", detail)
    for name in ("parallelism", "maxFailedIndexes"):
        if (spec.get(name) or 0) > _HIGH_COMPLETIONS_MAX:
            detail = (
                f"must be less than or equal to {_HIGH_COMPLETIONS_MAX} when completions are above "
                f"{_COMPLETIONS_SOFT_LIMIT} and used with backoff limit per index"
            )
            yield FieldError.invalid(f"{path}.{name}", spec[name], detail)


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
