"""Strategies of admission policies and their bindings (upstream: pkg/apis/admissionregistration)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.api.names import (
    dns1035_label_errors,
    dns1123_subdomain_errors,
    path_segment_name_errors,
    qualified_name_errors,
)
from control.api.objects import Object
from control.apiserver.registry.strategies.admission_registration import (
    default_match,
    match_conditions,
    match_resources,
)
from control.apiserver.registry.strategies.condition_rules import conditions
from control.apiserver.registry.strategies.field_rules import Errors, judged, label_selector, one_of
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import OWN_METADATA, Strategy, WriteContext

Item = Mapping[str, Any]

_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_ANNOTATIONS_MAX = 20
_ANNOTATION_BYTES_MAX = 5 * 1024
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")


class AdmissionPolicyStrategy(StatusStrategy):
    """Rules of validating admission policies. Expressions are judged where they are compiled."""

    allow_unconditional_update = False
    kept_by_status = OWN_METADATA

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        if spec.get("failurePolicy") is None:
            spec["failurePolicy"] = "Fail"
        default_match(spec.get("matchConstraints"))

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a policy."""
        return list(self._policy("spec", obj["spec"], obj["metadata"].get("name") or ""))

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge what the type check found."""
        status = obj.get("status") or {}
        warnings = (status.get("typeChecking") or {}).get("expressionWarnings") or ()
        errors = [
            FieldError.required(f"status.typeChecking.expressionWarnings[{index}].{name}")
            for index, item in enumerate(warnings)
            for name in ("warning", "fieldRef")
            if not (item.get(name) or "").strip()
        ]
        return errors + list(conditions("status.conditions", status.get("conditions")))

    def _policy(self, path: str, spec: Item, name: str) -> Errors:
        yield from one_of(f"{path}.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
        if spec.get("paramKind") is not None:
            yield from _param_kind(f"{path}.paramKind", spec["paramKind"])
        match = spec.get("matchConstraints")
        if match is None:
            yield FieldError.required(f"{path}.matchConstraints")
        else:
            yield from match_resources(f"{path}.matchConstraints", match, needs_rules=True)
        yield from match_conditions(f"{path}.matchConditions", spec.get("matchConditions") or ())
        for index, variable in enumerate(spec.get("variables") or ()):
            yield from _variable(f"{path}.variables[{index}]", variable)
        yield from self._outcomes(path, spec, name)

    def _outcomes(self, path: str, spec: Item, name: str) -> Errors:
        validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
        if not validations and not annotations:
            detail = "validations or auditAnnotations must contain at least one item"
            yield FieldError.required(f"{path}.validations", detail)
            yield FieldError.required(f"{path}.auditAnnotations", detail)
        for index, validation in enumerate(validations):
            yield from _validation(f"{path}.validations[{index}]", validation)
        yield from _audit_annotations(f"{path}.auditAnnotations", annotations, name)


def _param_kind(path: str, kind: Item) -> Errors:
    version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    where = f"{path}.apiVersion"
    group, slash, rest = version.partition("/")
    if not version:
        yield FieldError.required(where)
    elif version.count("/") > 1:
        yield FieldError.invalid(where, version, f"unexpected GroupVersion string: {version}")
    else:
        group, number = (group, rest) if slash else ("", group)
        for value, problems in (
            (group, dns1123_subdomain_errors(group) if group else []),
            (number, dns1035_label_errors(number) if number else []),
        ):
            if problems:
                yield FieldError.invalid(where, value, ",".join(problems))
        if not number:
            yield FieldError.invalid(where, version, "version must be specified")
    problems = dns1035_label_errors(name.lower())
    if not name:
        yield FieldError.required(f"{path}.kind")
    elif problems:
        detail = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        yield FieldError.invalid(f"{path}.kind", name, detail)


def _variable(path: str, variable: Item) -> Errors:
    name = variable.get("name") or ""
    if not name.strip():
        yield FieldError.required(f"{path}.name", "name is not specified")
    elif not _IDENTIFIER.fullmatch(name):
        yield FieldError.invalid(f"{path}.name", name, "name is not a valid CEL identifier")
    if not (variable.get("expression") or "").strip():
        yield FieldError.required(f"{path}.expression", "expression is not specified")


def _validation(path: str, validation: Item) -> Errors:
    expression, message = validation.get("messageExpression") or "", validation.get("message") or ""
    if not (validation.get("expression") or "").strip():
        yield FieldError.required(f"{path}.expression", "expression is not specified")
    if expression and not expression.strip():
        yield FieldError.invalid(f"{path}.messageExpression", expression, "must be non-empty if specified")
    if message and not message.strip():
        yield FieldError.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif re.search(r"[\n\r]", message.strip()):
        yield FieldError.invalid(f"{path}.message", message, "message must not contain line breaks")
    if validation.get("reason") is not None:
        yield from one_of(f"{path}.reason", validation["reason"], _REASONS)


def _audit_annotations(path: str, annotations: Sequence[Item], policy: str) -> Errors:
    if len(annotations) > _ANNOTATIONS_MAX:
        detail = f"must not have more than {_ANNOTATIONS_MAX} auditAnnotations"
        shown = [{"Key": a.get("key") or "", "ValueExpression": a.get("valueExpression") or ""} for a in annotations]
        yield FieldError.invalid(path, shown, detail)
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        item, key = f"{path}[{index}]", annotation.get("key") or ""
        value = (annotation.get("valueExpression") or "").strip()
        yield from judged(f"{item}.key", f"{policy}/{key}", qualified_name_errors)
        if not value:
            yield FieldError.required(f"{item}.valueExpression", "valueExpression is not specified")
        elif len(value) > _ANNOTATION_BYTES_MAX:
            detail = f"must not exceed {_ANNOTATION_BYTES_MAX} bytes in length"
            yield FieldError.required(f"{item}.valueExpression", detail)
        if key in seen:
            yield FieldError.duplicate(f"{item}.key", key)
        seen.add(key)


class MutatingAdmissionPolicyStrategy(AdmissionPolicyStrategy):
    """Rules of mutating admission policies, which have no status."""

    has_status = False

    def default(self, obj: Object) -> None:
        """Mutations run once unless told."""
        super().default(obj)
        obj.pop("status", None)
        if obj["spec"].get("reinvocationPolicy") is None:
            obj["spec"]["reinvocationPolicy"] = "Never"

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """There is no status."""

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """There is no status."""

    def _outcomes(self, path: str, spec: Item, name: str) -> Errors:
        mutations = spec.get("mutations") or ()
        if not mutations:
            yield FieldError.required(f"{path}.mutations", "mutations must contain at least one item")
        for index, mutation in enumerate(mutations):
            yield from _mutation(f"{path}.mutations[{index}]", mutation)
        yield from one_of(f"{path}.reinvocationPolicy", spec.get("reinvocationPolicy") or "", ("IfNeeded", "Never"))


_PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def _mutation(path: str, mutation: Item) -> Errors:
    kind = mutation.get("patchType") or ""
    if not kind:
        yield FieldError.required(f"{path}.patchType")
        return
    yield from one_of(f"{path}.patchType", kind, tuple(_PATCHES))
    for name, field in _PATCHES.items():
        patch = mutation.get(field)
        if name != kind:
            continue
        if patch is None:
            yield FieldError.required(f"{path}.{field}", f"must be specified when patchType is {kind}")
        elif not (patch.get("expression") or "").strip():
            yield FieldError.required(f"{path}.{field}.expression", "expression is not specified")


class AdmissionPolicyBindingStrategy(Strategy):
    """Rules of bindings of admission policies."""

    allow_unconditional_update = False
    has_actions = True

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        spec = obj.setdefault("spec", {})
        default_match(spec.get("matchResources"))
        reference = spec.get("paramRef")
        if reference is not None and not reference.get("parameterNotFoundAction"):
            reference["parameterNotFoundAction"] = "Deny"

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a binding."""
        spec = obj["spec"]
        errors: list[FieldError] = []
        if not spec.get("policyName"):
            errors.append(FieldError.required("spec.policyName"))
        else:
            errors.extend(judged("spec.policyName", spec["policyName"], dns1123_subdomain_errors))
        if spec.get("paramRef") is not None:
            errors.extend(_param_ref("spec.paramRef", spec["paramRef"]))
        if spec.get("matchResources") is not None:
            errors.extend(match_resources("spec.matchResources", spec["matchResources"], needs_rules=False))
        if self.has_actions:
            errors.extend(_actions("spec.validationActions", spec.get("validationActions") or []))
        return errors


class MutatingAdmissionPolicyBindingStrategy(AdmissionPolicyBindingStrategy):
    """Rules of bindings of mutating policies."""

    has_actions = False


def _param_ref(path: str, reference: Item) -> Errors:
    name, selector, exclusive = reference.get("name") or "", reference.get("selector"), "mutually exclusive"
    if name:
        yield from judged(f"{path}.name", name, path_segment_name_errors)
        if selector is not None:
            yield FieldError.forbidden(f"{path}.name", f"name and selector are {exclusive}")
    if selector is not None:
        yield from label_selector(f"{path}.selector", selector)
        if name:
            yield FieldError.forbidden(f"{path}.selector", f"name and selector are {exclusive}")
    if not name and selector is None:
        yield FieldError.required(path, "one of name or selector must be specified")
    action = reference.get("parameterNotFoundAction")
    if not action:
        yield FieldError.required(f"{path}.parameterNotFoundAction")
    else:
        yield from one_of(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))


def _actions(path: str, actions: list[str]) -> Errors:
    for index, action in enumerate(actions):
        yield from one_of(f"{path}[{index}]", action, ("Audit", "Deny", "Warn"))
        if action in actions[:index]:
            yield FieldError.duplicate(f"{path}[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        detail = "must not contain both Deny and Warn (repeating the same validation failure information in the "
        yield FieldError.invalid(path, actions, f"{detail}API response and headers serves no purpose)")
    if not actions:
        yield FieldError.required(path, "at least one validation action is required")
