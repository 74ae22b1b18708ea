"""Rules of the SubjectAccessReview family (upstream: pkg/apis/authorization/validation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import Errors, label_requirement
from control.apiserver.registry.strategies.internal_form import internal_form

Item = Mapping[str, Any]

_NO_SUBJECT = "at least one of user or group must be specified"
#: fields of ObjectMeta that a client can send, in the order in which Go prints them
_METADATA_FIELDS = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def self_review_errors(review: Item) -> list[FieldError]:
    """Judge a SelfSubjectAccessReview."""
    spec = review.get("spec") or {}
    return [*_one_question(spec), *_selectors(spec), *_no_metadata(review)]


def subject_review_errors(review: Item) -> list[FieldError]:
    """Judge a SubjectAccessReview."""
    return [*_subject_spec(review.get("spec") or {}), *_no_metadata(review)]


def local_review_errors(review: Item) -> list[FieldError]:
    """Judge a LocalSubjectAccessReview: it is about resources of its own namespace."""
    spec, metadata = review.get("spec") or {}, review.get("metadata") or {}
    errors = [*_subject_spec(spec), *_no_metadata(review, allowed=("namespace",))]
    resource = spec.get("resourceAttributes")
    namespace = (resource or {}).get("namespace") or ""
    if resource is not None and namespace != (metadata.get("namespace") or ""):
        path = "spec.resourceAttributes.namespace"
        errors.append(FieldError.invalid(path, namespace, "must match metadata.namespace"))
    if spec.get("nonResourceAttributes") is not None:
        shown = internal_form("NonResourceAttributes", spec["nonResourceAttributes"])
        errors.append(FieldError.invalid("spec.nonResourceAttributes", shown, "disallowed on this kind of request"))
    return errors


def _subject_spec(spec: Item) -> Errors:
    yield from _one_question(spec)
    if not spec.get("user") and not spec.get("groups"):
        yield FieldError.invalid("spec.user", "", _NO_SUBJECT)
    yield from _selectors(spec)


def _one_question(spec: Item) -> Errors:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        shown = internal_form("NonResourceAttributes", other)
        yield FieldError.invalid("spec.nonResourceAttributes", shown, detail)
    if resource is None and other is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield FieldError.invalid("spec.resourceAttributes", None, detail)


def _no_metadata(review: Item, *, allowed: Sequence[str] = ()) -> Errors:
    metadata = review.get("metadata") or {}
    given = {name: metadata[name] for name in _METADATA_FIELDS if metadata.get(name)}
    if set(given) - {"managedFields", *allowed}:
        detail = "must be empty except for namespace" if allowed else "must be empty"
        yield FieldError.invalid("metadata", given, detail)


def _selectors(spec: Item) -> Errors:
    attributes = spec.get("resourceAttributes") or {}
    for name in ("fieldSelector", "labelSelector"):
        selector, path = attributes.get(name), f"spec.resourceAttributes.{name}"
        if selector is None:
            continue
        raw, requirements = selector.get("rawSelector") or "", selector.get("requirements") or ()
        if raw and requirements:
            detail = "may not specified at the same time as requirements"
            yield FieldError.invalid(f"{path}.rawSelector", raw, detail)
        if not raw and not requirements:
            detail = f"when {path} is specified, requirements or rawSelector is required"
            yield FieldError.required(f"{path}.requirements", detail)
        for index, requirement in enumerate(requirements):
            where = f"{path}.requirements[{index}]"
            if name == "labelSelector":
                yield from label_requirement(where, requirement, allows_unknown=True)
            else:
                yield from _field_requirement(where, requirement)


def _field_requirement(path: str, requirement: Item) -> Errors:
    if not requirement.get("key"):
        yield FieldError.required(f"{path}.key", "must be specified")
    operator, values = requirement.get("operator"), requirement.get("values")
    if operator in ("In", "NotIn") and not values:
        yield FieldError.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in ("Exists", "DoesNotExist") and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield FieldError.forbidden(f"{path}.values", detail)
