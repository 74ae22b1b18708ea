"""Rules that the workloads share: selectors that fit their template, rolling update bounds, replica counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.api.objects import Object
from control.api.selectors import SelectorError, selector_from_object
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    Errors,
    label_selector,
    selector_form,
    sorted_map,
)
from control.apiserver.registry.strategies.pod_spec_validation import pod_template

Spec = Mapping[str, Any]

_NUMBER = re.compile(r"[-+]?[0-9]+")

MISMATCH = "`selector` does not match template `labels`"


def required_selector(path: str, selector: Spec | None, owner: str) -> Errors:
    """A selector that is there, valid and not empty."""
    if selector is None:
        yield FieldError.required(path)
        return
    yield from label_selector(path, selector)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield FieldError.invalid(path, selector_form(selector), f"empty selector is invalid for {owner}")


def matching_template(path: str, selector: Spec | None, template: Spec, kind: str) -> Errors:
    """A template whose Pods the selector finds and that always restarts its containers."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None or not _matches(selector, labels):
        yield FieldError.invalid(f"{path}.metadata.labels", sorted_map(labels) or None, MISMATCH)
    yield from pod_template(path, template)
    spec = template.get("spec") or {}
    if spec.get("restartPolicy") != "Always":
        yield FieldError.not_supported(f"{path}.spec.restartPolicy", spec.get("restartPolicy") or "", ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        yield FieldError.forbidden(f"{path}.spec.activeDeadlineSeconds", detail)


def selected_template(path: str, spec: Spec, kind: str, detail: str = "invalid label selector") -> Errors:
    """The template of a spec, judged only where its selector can be read."""
    selector = spec.get("selector")
    if selector is not None and not _can_be_read(selector):
        yield FieldError.invalid(f"{path}.selector", selector_form(selector), detail)
    else:
        yield from matching_template(f"{path}.template", selector, spec["template"], kind)


def _can_be_read(selector: Spec) -> bool:
    try:
        selector_from_object(dict(selector))
    except SelectorError:
        return False
    return True


def _matches(selector: Spec, labels: Mapping[str, str]) -> bool:
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return True
    try:
        return selector_from_object(dict(selector)).matches(labels)
    except SelectorError:
        return True  # reported as a cause of its own


def amount(value: int | str | None) -> int:
    """The number in a count or a percentage; only whether it is 0 means something."""
    if isinstance(value, str):
        number = _NUMBER.fullmatch(value.removesuffix("%"))
        return int(number[0]) if number else 0
    return value or 0


def default_number(target: Object, name: str, value: int) -> None:
    """Fill an absent number; 0 stays 0."""
    if target.get(name) is None:
        target[name] = value


def default_rolling_update(strategy: Object) -> Object | None:
    """Make a rolling update what is done by default. Returns its parameters, None if something else is done."""
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] != "RollingUpdate":
        return None
    if strategy.get("rollingUpdate") is None:
        strategy["rollingUpdate"] = {}
    rolling: Object = strategy["rollingUpdate"]
    return rolling


def frozen_selector(path: str, obj: Object, old: Object) -> Errors:
    """A selector never changes: the Pods it found before would be orphaned."""
    selector, previous = (selector_form(item["spec"].get("selector")) for item in (obj, old))
    if selector != previous:
        yield FieldError.invalid(path, selector, IMMUTABLE)


def bounded_counters(path: str, status: Spec, names: Sequence[str], *, ready: str = "readyReplicas") -> Errors:
    """No part is more than the whole, and no more Pods are available than ready, which the text calls `ready`."""
    for name in names:
        if (status.get(name) or 0) > (status.get("replicas") or 0):
            yield FieldError.invalid(f"{path}.{name}", status.get(name) or 0, "cannot be greater than status.replicas")
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        detail = f"cannot be greater than {ready}"
        yield FieldError.invalid(f"{path}.availableReplicas", status["availableReplicas"], detail)


def collisions(path: str, status: Spec, old: Spec) -> Errors:
    """The count of name collisions only grows."""
    count, former = status.get("collisionCount"), old.get("collisionCount")
    if former is not None and (count or 0) < former:
        yield FieldError.invalid(path, count or 0, "cannot be decremented")
