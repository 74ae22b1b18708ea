"""Strategies of flowcontrol.apiserver.k8s.io (upstream: pkg/apis/flowcontrol)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.names import path_segment_name_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import Errors, in_range, judged, nonnegative, required_one_of
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.workload_rules import default_number
from control.apiserver.registry.strategy import WriteContext

Item = Mapping[str, Any]

_PRECEDENCE_MAX = 10000
_SUBJECT_KINDS = ("Group", "ServiceAccount", "User")


class FlowSchemaStrategy(StatusStrategy):
    """Rules of FlowSchemas."""

    def default(self, obj: Object) -> None:
        """Precedence 1000 unless told."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = 1000

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge precedence, level and rules."""
        return list(_flow_schema("spec", obj["spec"]))


def _flow_schema(path: str, spec: Item) -> Errors:
    precedence = spec.get("matchingPrecedence") or 0
    if precedence <= 0:
        yield FieldError.invalid(f"{path}.matchingPrecedence", precedence, "must be a positive value")
    if precedence > _PRECEDENCE_MAX:
        detail = f"must not be greater than {_PRECEDENCE_MAX}"
        yield FieldError.invalid(f"{path}.matchingPrecedence", precedence, detail)
    distinguisher = spec.get("distinguisherMethod")
    if distinguisher is not None:
        where = f"{path}.distinguisherMethod.type"
        yield from required_one_of(where, distinguisher.get("type"), ("ByNamespace", "ByUser"))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    if not level:
        detail = "must reference a priority level"
        yield FieldError.required(f"{path}.priorityLevelConfiguration.name", detail)
    else:
        yield from judged(f"{path}.priorityLevelConfiguration.name", level, path_segment_name_errors)
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(f"{path}.rules[{index}]", rule)


def _rule(path: str, rule: Item) -> Errors:
    subjects = rule.get("subjects") or ()
    if not subjects:
        yield FieldError.required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(subjects):
        yield from _subject(f"{path}.subjects[{index}]", subject)
    resource_rules, url_rules = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resource_rules and not url_rules:
        yield FieldError.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, item in enumerate(resource_rules):
        where = f"{path}.resourceRules[{index}]"
        for name in ("verbs", "apiGroups", "resources"):
            yield from _wildcard_list(f"{where}.{name}", item.get(name) or [], name)
        if not item.get("namespaces") and not item.get("clusterScope"):
            detail = "resource rules that are not cluster scoped must supply at least one namespace"
            yield FieldError.required(f"{where}.namespaces", detail)
    for index, item in enumerate(url_rules):
        where = f"{path}.nonResourceRules[{index}]"
        yield from _wildcard_list(f"{where}.verbs", item.get("verbs") or [], "verbs")
        yield from _wildcard_list(f"{where}.nonResourceURLs", item.get("nonResourceURLs") or [], "nonResourceURLs")


_NOUNS = {
    "verbs": "verbs must contain at least one value",
    "apiGroups": "resource rules must supply at least one api group",
    "resources": "resource rules must supply at least one resource",
    "nonResourceURLs": "nonResourceURLs must contain at least one value",
}


def _wildcard_list(path: str, values: list[str], name: str) -> Errors:
    if not values:
        yield FieldError.required(path, _NOUNS[name])
    elif len(values) > 1 and "*" in values:
        noun = {"apiGroups": "api groups"}.get(name, name)
        yield FieldError.invalid(path, values, f"if '*' is present, must not specify other {noun}")


def _subject(path: str, subject: Item) -> Errors:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECT_KINDS:
        yield FieldError.not_supported(f"{path}.kind", kind, _SUBJECT_KINDS)
        return
    field = kind[0].lower() + kind[1:]
    value = subject.get(field)
    if value is None:
        yield FieldError.required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")
        return
    if not value.get("name"):
        yield FieldError.required(f"{path}.{field}.name")
    if kind == "ServiceAccount" and not value.get("namespace"):
        yield FieldError.required(f"{path}.{field}.namespace", "must specify namespace for service account")
    for other in _SUBJECT_KINDS:
        name = other[0].lower() + other[1:]
        if other != kind and subject.get(name) is not None:
            detail = f"{name} is forbidden when subject kind is not '{other}'"
            yield FieldError.forbidden(f"{path}.{name}", detail)


class PriorityLevelConfigurationStrategy(StatusStrategy):
    """Rules of PriorityLevelConfigurations."""

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        if spec.get("type") == "Exempt" and spec.get("exempt") is None:
            spec["exempt"] = {}
        if spec.get("exempt") is not None:
            default_number(spec["exempt"], "nominalConcurrencyShares", 0)
            default_number(spec["exempt"], "lendablePercent", 0)
        limited = spec.get("limited")
        if limited is None:
            return
        default_number(limited, "nominalConcurrencyShares", 30)
        default_number(limited, "lendablePercent", 0)
        response = limited.setdefault("limitResponse", {})
        if not response.get("type"):
            response["type"] = "Reject"
        if response.get("queuing") is not None:
            for name, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                if not response["queuing"].get(name):
                    response["queuing"][name] = value

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the limits."""
        return list(_level("spec", obj["spec"]))


def _level(path: str, spec: Item) -> Errors:
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    if kind == "Exempt":
        if limited is not None:
            detail = "must be nil if the type is not Limited"
            yield FieldError.forbidden(f"{path}.limited", detail)
        yield from _shares(f"{path}.exempt", exempt or {}, least=0)
    elif kind == "Limited":
        if exempt is not None:
            yield FieldError.forbidden(f"{path}.exempt", "must be nil if the type is Limited")
        if limited is None:
            yield FieldError.required(f"{path}.limited", "must not be empty when type is Limited")
        else:
            yield from _shares(f"{path}.limited", limited, least=0)
            yield from _response(f"{path}.limited.limitResponse", limited.get("limitResponse") or {})
    else:
        yield FieldError.not_supported(f"{path}.type", kind, ("Exempt", "Limited"))


def _shares(path: str, value: Item, *, least: int) -> Errors:
    shares = value.get("nominalConcurrencyShares")
    if shares is not None and shares < least:
        detail = "must be a non-negative integer"
        yield FieldError.invalid(f"{path}.nominalConcurrencyShares", shares, detail)
    if value.get("lendablePercent") is not None:
        yield from in_range(f"{path}.lendablePercent", value["lendablePercent"], 0, 100)
    yield from nonnegative(f"{path}.borrowingLimitPercent", value.get("borrowingLimitPercent"))


def _response(path: str, response: Item) -> Errors:
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject":
        if queuing is not None:
            yield FieldError.forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif kind == "Queue":
        if queuing is None:
            detail = "must not be empty if limited.limitResponse.type is Limited"
            yield FieldError.required(f"{path}.queuing", detail)
            return
        for name in ("queueLengthLimit", "queues", "handSize"):
            if (queuing.get(name) or 0) <= 0:
                yield FieldError.invalid(f"{path}.queuing.{name}", queuing.get(name) or 0, "must be positive")
        if (queuing.get("handSize") or 0) > (queuing.get("queues") or 0):
            detail = f"should not be greater than queues ({queuing.get('queues') or 0})"
            yield FieldError.invalid(f"{path}.queuing.handSize", queuing["handSize"], detail)
    else:
        yield FieldError.not_supported(f"{path}.type", kind, ("Queue", "Reject"))
