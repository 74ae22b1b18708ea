"""Rules of what the scheduler reads of a Pod: affinity, tolerations, spread constraints, gates, taints of Nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api import names
from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import (
    NOT_POSITIVE,
    SET_OPERATORS,
    Errors,
    judged,
    label_selector,
    one_of,
    qualified_name,
    set_operator_values,
)

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_WEIGHT = "must be in the range 1-100"
_TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

Term = Mapping[str, Any]


def affinity(path: str, value: Mapping[str, Any] | None) -> Errors:
    """nodeAffinity, podAffinity and podAntiAffinity."""
    if value is None:
        return
    node = value.get("nodeAffinity") or {}
    if node.get(_REQUIRED) is not None:
        yield from node_selector(f"{path}.nodeAffinity.{_REQUIRED}", node[_REQUIRED])
    for index, term in enumerate(node.get(_PREFERRED) or ()):
        item = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
        if not 0 < term.get("weight", 0) <= 100:
            yield FieldError.invalid(f"{item}.weight", term.get("weight", 0), _WEIGHT)
        yield from _node_selector_term(f"{item}.preference", term.get("preference") or {}, strict=False)
    for name in ("podAffinity", "podAntiAffinity"):
        pods = value.get(name) or {}
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            yield from _pod_term(f"{path}.{name}.{_REQUIRED}[{index}]", term)
        for index, term in enumerate(pods.get(_PREFERRED) or ()):
            item = f"{path}.{name}.{_PREFERRED}[{index}]"
            if not 0 < term.get("weight", 0) <= 100:
                yield FieldError.invalid(f"{item}.weight", term.get("weight", 0), _WEIGHT)
            yield from _pod_term(f"{item}.podAffinityTerm", term.get("podAffinityTerm") or {})


def node_selector(path: str, selector: Mapping[str, Any]) -> Errors:
    """A NodeSelector: at least one term."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        yield FieldError.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from _node_selector_term(f"{path}.nodeSelectorTerms[{index}]", term, strict=True)


def _node_selector_term(path: str, term: Term, *, strict: bool) -> Errors:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        yield from _node_requirement(f"{path}.matchExpressions[{index}]", requirement, strict=strict)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        yield from _node_field_requirement(f"{path}.matchFields[{index}]", requirement)


def _node_requirement(path: str, requirement: Term, *, strict: bool) -> Errors:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator in SET_OPERATORS:
        yield from set_operator_values(path, operator, values)
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            yield FieldError.required(f"{path}.values", detail)
    else:
        yield FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator")
    yield from qualified_name(f"{path}.key", requirement.get("key", ""))
    if strict:
        for index, value in enumerate(values):
            yield from judged(f"{path}.values[{index}]", value, names.label_value_errors)


def _node_field_requirement(path: str, requirement: Term) -> Errors:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator not in ("In", "NotIn"):
        yield FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator")
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield FieldError.required(f"{path}.values", detail)
    if requirement.get("key") != "metadata.name":
        yield FieldError.invalid(f"{path}.key", requirement.get("key", ""), "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from judged(f"{path}.values[{index}]", value, names.dns1123_subdomain_errors)


def _pod_term(path: str, term: Term) -> Errors:
    yield from label_selector(f"{path}.labelSelector", term.get("labelSelector"))
    yield from label_selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or ():
        yield from judged(f"{path}.namespace", name, names.dns1123_label_errors)
    yield from _label_key_lists(path, term)
    if not term.get("topologyKey"):
        yield FieldError.required(f"{path}.topologyKey", "can not be empty")
    yield from qualified_name(f"{path}.topologyKey", term.get("topologyKey", ""))


def _label_key_lists(path: str, term: Term) -> Errors:
    selector = term.get("labelSelector")
    match, mismatch = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    for name, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and selector is None:
            yield FieldError.forbidden(f"{path}.{name}", "must not be specified when labelSelector is not set")
            continue
        for index, key in enumerate(keys):
            yield from qualified_name(f"{path}.{name}[{index}]", key)
    seen = set((selector or {}).get("matchLabels") or ())
    for expression in (selector or {}).get("matchExpressions") or ():
        key = expression.get("key", "")
        if key in match and key in seen:
            detail = "exists in both matchLabelKeys and labelSelector"
            yield FieldError.invalid(f"{path}[{list(match).index(key)}]", key, detail)
        seen.add(key)
    for index, key in enumerate(match):
        if key in mismatch:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield FieldError.invalid(f"{path}.matchLabelKeys[{index}]", key, detail)


def tolerations(path: str, items: Sequence[Term]) -> Errors:
    """Tolerations of a Pod."""
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        key, operator, value, effect = (item.get(name) or "" for name in ("key", "operator", "value", "effect"))
        if key:
            yield from qualified_name(f"{where}.key", key)
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield FieldError.invalid(f"{where}.operator", operator, detail)
        if item.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            yield FieldError.invalid(f"{where}.effect", effect, detail)
        if operator in ("Equal", ""):
            broken = names.label_value_errors(value)
            if broken:
                yield FieldError.invalid(f"{where}.operator", value, ";".join(broken))
        elif operator == "Exists":
            if value:
                detail = "value must be empty when `operator` is 'Exists'"
                yield FieldError.invalid(f"{where}.operator", value, detail)
        elif operator in ("Lt", "Gt"):
            # The gate TaintTolerationComparisonOperators is off, which upstream's listing does not say.
            yield FieldError.not_supported(f"{where}.operator", operator, ("Equal", "Exists", "Lt", "Gt"))
        else:
            yield FieldError.not_supported(f"{where}.operator", operator, ("Equal", "Exists"))
        if effect:
            yield from one_of(f"{where}.effect", effect, _TAINT_EFFECTS)


def taints(path: str, items: Sequence[Term]) -> Errors:
    """Taints of a Node, unique by key and effect."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(items):
        where, key, effect = f"{path}[{index}]", taint.get("key") or "", taint.get("effect") or ""
        yield from qualified_name(f"{where}.key", key)
        broken = names.label_value_errors(taint.get("value") or "")
        if broken:
            yield FieldError.invalid(f"{where}.value", taint["value"], ";".join(broken))
        if not effect:
            yield FieldError.required(f"{where}.effect")
        else:
            yield from one_of(f"{where}.effect", effect, _TAINT_EFFECTS)
        if (key, effect) in seen:
            shown = {
                "Key": key,
                "Value": taint.get("value") or "",
                "Effect": effect,
                "TimeAdded": taint.get("timeAdded"),
            }
            yield FieldError.duplicate(where, shown, "taints must be unique by key and effect pair")
        seen.add((key, effect))


def spread_constraints(path: str, items: Sequence[Term]) -> Errors:
    """Topology spread constraints."""
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        action, key = item.get("whenUnsatisfiable") or "", item.get("topologyKey") or ""
        if item.get("maxSkew", 0) <= 0:
            yield FieldError.invalid(f"{where}.maxSkew", item.get("maxSkew", 0), NOT_POSITIVE)
        if not key:
            yield FieldError.required(f"{where}.topologyKey", "can not be empty")
        yield from one_of(f"{where}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if any(
            (o.get("topologyKey") or "", o.get("whenUnsatisfiable") or "") == (key, action) for o in items[index + 1 :]
        ):
            yield FieldError.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        yield from _min_domains(f"{where}.minDomains", item.get("minDomains"), action)
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if item.get(name) is not None:
                yield from one_of(f"{where}.{name}", item[name], ("Honor", "Ignore"))
        yield from _label_key_lists(where, item)
        yield from label_selector(f"{where}.labelSelector", item.get("labelSelector"))


def _min_domains(path: str, value: int | None, action: str) -> Errors:
    if value is None:
        return
    if value <= 0:
        yield FieldError.invalid(path, value, NOT_POSITIVE)
    if action != "DoNotSchedule":
        detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield FieldError.invalid(path, value, detail)


def scheduling_gates(path: str, gates: Sequence[Term]) -> Errors:
    """Scheduling gates have unique qualified names."""
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name", "")
        yield from qualified_name(f"{path}[{index}]", name)
        if name in seen:
            yield FieldError.duplicate(f"{path}[{index}]", name)
        seen.add(name)
