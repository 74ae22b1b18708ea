"""Strategies of flowcontrol.apiserver.k8s.io (upstream: pkg/apis/flowcontrol)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.names import dns1123_label_errors
from control.api.objects import Object
from control.apiserver.flow_control_objects import mandatory_spec
from control.apiserver.registry.strategies.field_rules import Errors, dns_label, dns_subdomain, in_range
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.workload_rules import default_number
from control.apiserver.registry.strategy import OWN_METADATA, WriteContext

Item = Mapping[str, Any]

_EXEMPT = "exempt"
_PRECEDENCE_MAX = 10000
_SUBJECT_KINDS = ("Group", "ServiceAccount", "User")


class FlowSchemaStrategy(StatusStrategy):
    """Rules of FlowSchemas."""

    kept_by_status = OWN_METADATA

    def default(self, obj: Object) -> None:
        """Precedence 1000 unless told."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = 1000

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge precedence, level and rules."""
        name = obj["metadata"].get("name") or ""
        return [*_flow_schema("spec", obj["spec"], name), *_fixed_schema("spec", obj["spec"], name)]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the conditions."""
        return list(_conditions(obj))


def _conditions(obj: Object) -> Errors:
    seen: set[str] = set()
    for index, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        kind, path = condition.get("type") or "", f"status.conditions[{index}].type"
        if kind in seen:
            yield FieldError.duplicate(path, kind)
        seen.add(kind)
        if not kind:
            yield FieldError.required(path, "must not be empty")


def _flow_schema(path: str, spec: Item, name: str) -> Errors:
    precedence = spec.get("matchingPrecedence") or 0
    if precedence <= 0:
        yield FieldError.invalid(f"{path}.matchingPrecedence", precedence, "must be a positive value")
    if precedence > _PRECEDENCE_MAX:
        detail = f"must not be greater than {_PRECEDENCE_MAX}"
        yield FieldError.invalid(f"{path}.matchingPrecedence", precedence, detail)
    if precedence == 1 and name != _EXEMPT:
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        yield FieldError.invalid(f"{path}.matchingPrecedence", precedence, detail)
    distinguisher, methods = spec.get("distinguisherMethod"), ("ByNamespace", "ByUser")
    if distinguisher is not None and distinguisher.get("type") not in methods:
        shown = {"Type": distinguisher.get("type") or ""}
        yield FieldError.not_supported(f"{path}.distinguisherMethod.type", shown, methods)
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    if not level:
        detail = "must reference a priority level"
        yield FieldError.required(f"{path}.priorityLevelConfiguration.name", detail)
    else:
        yield from dns_subdomain(f"{path}.priorityLevelConfiguration.name", level)
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(f"{path}.rules[{index}]", rule)


def _fixed_schema(path: str, spec: Item, name: str) -> Errors:
    fixed = mandatory_spec("FlowSchema", name)
    shown = internal_form("FlowSchemaSpec", spec)
    if fixed is not None and shown != internal_form("FlowSchemaSpec", fixed):
        yield FieldError.invalid(path, shown, f"spec of '{name}' must equal the fixed value")


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
        yield from _resource_rule(f"{path}.resourceRules[{index}]", item)
    for index, item in enumerate(url_rules):
        where, urls = f"{path}.nonResourceRules[{index}]", item.get("nonResourceURLs") or []
        yield from _verbs(f"{where}.verbs", item.get("verbs") or [])
        yield from _alone(f"{where}.nonResourceURLs", urls, "non-resource URLs", _NO_URLS)
        for number, url in enumerate(() if "*" in urls else urls):
            problem = _url_problem(url)
            if problem:
                yield FieldError.invalid(f"{where}.nonResourceURLs[{number}]", url, problem)


_NO_URLS = "nonResourceURLs must contain at least one value"
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_NO_NAMESPACES = "resource rules that are not cluster scoped must supply at least one namespace"
_BAD_NAMESPACE = "each member of this list must be '*' or a DNS-1123 label; "


def _resource_rule(path: str, item: Item) -> Errors:
    yield from _verbs(f"{path}.verbs", item.get("verbs") or [])
    for name, noun, one in (("apiGroups", "api groups", "api group"), ("resources", "resources", "resource")):
        detail = f"resource rules must supply at least one {one}"
        yield from _alone(f"{path}.{name}", item.get(name) or [], noun, detail)
    namespaces = item.get("namespaces") or []
    if namespaces or not item.get("clusterScope"):
        yield from _alone(f"{path}.namespaces", namespaces, "namespaces", _NO_NAMESPACES)
    for index, name in enumerate(() if "*" in namespaces else namespaces):
        for message in dns1123_label_errors(name):
            yield FieldError.invalid(f"{path}.namespaces[{index}]", name, f"{_BAD_NAMESPACE}{message}")


def _verbs(path: str, verbs: list[str]) -> Errors:
    yield from _alone(path, verbs, "verbs", "verbs must contain at least one value")
    if "*" not in verbs and not set(verbs) <= set(_VERBS):
        yield FieldError.not_supported(path, verbs, _VERBS)


def _alone(path: str, values: list[str], noun: str, nothing: str) -> Errors:
    """Some values, or the wildcard alone."""
    if not values:
        yield FieldError.required(path, nothing)
    elif len(values) > 1 and "*" in values:
        yield FieldError.invalid(path, values, f"if '*' is present, must not specify other {noun}")


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    for is_bad, problem in (
        (not url.startswith("/"), "must start with slash"),
        (" " in url, "must not contain white-space"),
        ("//" in url, "must not contain double slash"),
        ("*" in url and (url.count("*") > 1 or not url.endswith("/*")), "wildcard can only do suffix matching"),
    ):
        if is_bad:
            return problem
    return ""


def _subject(path: str, subject: Item) -> Errors:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECT_KINDS:
        yield FieldError.not_supported(f"{path}.kind", kind, _SUBJECT_KINDS)
        return
    field = kind[0].lower() + kind[1:]
    value = subject.get(field)
    if value is None:
        yield FieldError.required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")
    elif not value.get("name"):
        yield FieldError.required(f"{path}.{field}.name")
    if value is not None and kind == "ServiceAccount":
        yield from _account(f"{path}.{field}", value)
    for other in ("ServiceAccount", "User", "Group"):
        name = other[0].lower() + other[1:]
        if other != kind and subject.get(name) is not None:
            detail = f"{name} is forbidden when subject kind is not '{other}'"
            yield FieldError.forbidden(f"{path}.{name}", detail)


def _account(path: str, account: Item) -> Errors:
    name, namespace = account.get("name") or "", account.get("namespace") or ""
    if name not in ("", "*"):
        yield from dns_subdomain(f"{path}.name", name)
    if namespace:
        yield from dns_label(f"{path}.namespace", namespace)
    else:
        yield FieldError.required(f"{path}.namespace", "must specify namespace for service account")


class PriorityLevelConfigurationStrategy(StatusStrategy):
    """Rules of PriorityLevelConfigurations."""

    kept_by_status = OWN_METADATA

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
        name = obj["metadata"].get("name") or ""
        return [*_level("spec", obj["spec"], name), *_fixed_level("spec", obj["spec"], name)]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the conditions."""
        return list(_conditions(obj))


def _level(path: str, spec: Item, name: str) -> Errors:
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    if (name == _EXEMPT) != (kind == "Exempt"):
        yield FieldError.invalid(f"{path}.type", kind, "type must be 'Exempt' if and only if name is 'exempt'")
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


def _fixed_level(path: str, spec: Item, name: str) -> Errors:
    """The shares of the exempt level may change, nothing else."""
    fixed = mandatory_spec("PriorityLevelConfiguration", name)
    if fixed is None:
        return
    free, exception = ("exempt", " except the 'spec.exempt' field") if name == _EXEMPT else ("", "")
    given, wanted = (
        internal_form("PriorityLevelConfigurationSpec", {key: value for key, value in item.items() if key != free})
        for item in (spec, fixed)
    )
    if given != wanted:
        shown = internal_form("PriorityLevelConfigurationSpec", spec)
        yield FieldError.invalid(path, shown, f"spec of '{name}'{exception} must equal the fixed value")


def _shares(path: str, value: Item, *, least: int) -> Errors:
    shares = value.get("nominalConcurrencyShares")
    if shares is not None and shares < least:
        detail = "must be a non-negative integer"
        yield FieldError.invalid(f"{path}.nominalConcurrencyShares", shares, detail)
    if value.get("lendablePercent") is not None:
        yield from in_range(f"{path}.lendablePercent", value["lendablePercent"], 0, 100)
    borrowed = value.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        detail = "if specified, must be a non-negative integer"
        yield FieldError.invalid(f"{path}.borrowingLimitPercent", borrowed, detail)


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
        yield from _queuing(f"{path}.queuing", queuing)
    else:
        yield FieldError.not_supported(f"{path}.type", kind, ("Queue", "Reject"))


_QUEUES_MAX = 10_000_000
_HASH_BITS = 60


def _queuing(path: str, queuing: Item) -> Errors:
    length, queues, hand = (queuing.get(name) or 0 for name in ("queueLengthLimit", "queues", "handSize"))
    if length <= 0:
        yield FieldError.invalid(f"{path}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        yield FieldError.invalid(f"{path}.queues", queues, "must be positive")
    elif queues > _QUEUES_MAX:
        yield FieldError.invalid(f"{path}.queues", queues, f"must not be greater than {_QUEUES_MAX}")
    if hand <= 0:
        yield FieldError.invalid(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        yield FieldError.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif sum(math.log2(queues - index) for index in range(hand)) > _HASH_BITS:
        detail = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than"
        yield FieldError.invalid(f"{path}.handSize", hand, f"{detail} {_HASH_BITS}")
