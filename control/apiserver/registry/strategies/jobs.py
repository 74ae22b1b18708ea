"""The strategy of Jobs (upstream: pkg/registry/batch/job/strategy.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.names import dns1123_label_errors
from control.api.objects import Object, copy_object
from control.api.selectors import SelectorError, selector_from_object
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    Errors,
    immutable,
    label_selector,
    selector_form,
    sorted_map,
)
from control.apiserver.registry.strategies.internal_form import pod_spec_form
from control.apiserver.registry.strategies.job_spec_validation import job_spec
from control.apiserver.registry.strategies.pod_defaults import default_pod_template
from control.apiserver.registry.strategies.pod_warnings import template_warnings
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.workload_rules import MISMATCH, default_number
from control.apiserver.registry.strategy import FieldLabels, WriteContext

_PREFIX = "batch.kubernetes.io/"
_CONTROLLER_UID = f"{_PREFIX}controller-uid"
_JOB_NAME = f"{_PREFIX}job-name"
#: each label has an older form without the prefix, which clients still read
_LEGACY = {"controller-uid": _CONTROLLER_UID, "job-name": _JOB_NAME}
_BACKOFF_LIMIT = 6
_NO_BACKOFF_LIMIT = 2**31 - 1


class JobStrategy(StatusStrategy):
    """Rules of Jobs: the selector is made by the server from the Job's uid."""

    field_labels = FieldLabels.of("status.successful", refusal='field label "{}" not supported for batchv1.Job')

    default_propagation = "orphan"

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        default_pod_template(spec)
        if spec.get("parallelism") is None and spec.get("completions") is None:
            spec["parallelism"] = spec["completions"] = 1
        default_number(spec, "parallelism", 1)
        per_index = spec.get("backoffLimitPerIndex") is not None
        default_number(spec, "backoffLimit", _NO_BACKOFF_LIMIT if per_index else _BACKOFF_LIMIT)
        for name, value in (("completionMode", "NonIndexed"), ("suspend", False), ("manualSelector", False)):
            if spec.get(name) is None:
                spec[name] = value
        for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
            for pattern in rule.get("onPodConditions") or ():
                if not pattern.get("status"):
                    pattern["status"] = "True"
        if spec.get("podReplacementPolicy") is None:
            failure_policy = spec.get("podFailurePolicy") is not None
            spec["podReplacementPolicy"] = "Failed" if failure_policy else "TerminatingOrFailed"
        labels = (spec["template"].get("metadata") or {}).get("labels")
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """Make the selector and the labels it finds."""
        super().prepare_for_create(context, obj)
        if obj["spec"].get("manualSelector"):
            return
        metadata, spec = obj["metadata"], obj["spec"]
        template_metadata = spec["template"].setdefault("metadata", {})
        own_labels = metadata.get("labels") or {}
        shares_labels = own_labels == (template_metadata.get("labels") or {})
        labels = dict(template_metadata.get("labels") or {})
        for name, value in self._generated_labels(metadata).items():
            labels.setdefault(name, value)
        template_metadata["labels"] = labels
        if shares_labels and own_labels:
            metadata["labels"] = dict(labels)
        selector = spec["selector"] = dict(spec.get("selector") or {})
        selector["matchLabels"] = {_CONTROLLER_UID: metadata["uid"], **(selector.get("matchLabels") or {})}

    @staticmethod
    def _generated_labels(metadata: Mapping[str, Any]) -> dict[str, str]:
        values = {_CONTROLLER_UID: metadata.get("uid") or "", _JOB_NAME: metadata.get("name") or ""}
        return {**values, **{legacy: values[name] for legacy, name in _LEGACY.items()}}

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new Job."""
        errors = list(self._generated_selector(obj))
        errors.extend(job_spec("spec", obj["spec"]))
        errors.extend(_selector("spec", obj["spec"]))
        return errors + list(_index_names(obj))

    def _generated_selector(self, obj: Object) -> Errors:
        spec = obj["spec"]
        if spec.get("manualSelector") or spec.get("selector") is None:
            return
        expected = self._generated_labels(obj["metadata"])
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        for name, value in expected.items():
            path = f"spec.template.metadata.labels[{name}]"
            if name not in labels:
                yield FieldError.required(path, f"must be '{value}'")
            elif labels[name] != value:
                yield FieldError.invalid(path, sorted_map(labels), f"must be '{value}'")
        if not _finds(spec["selector"], expected):
            yield FieldError.invalid("spec.selector", selector_form(spec["selector"]), "`selector` not auto-generated")

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed Job: what its Pods are made from is fixed once it may have started."""
        spec, old_spec = obj["spec"], old["spec"]
        errors = [*self._generated_selector(obj), *job_spec("spec", spec), *_selector("spec", spec)]
        errors.extend(_completions(spec, old_spec))
        if selector_form(spec.get("selector")) != selector_form(old_spec.get("selector")):
            errors.append(FieldError.invalid("spec.selector", selector_form(spec.get("selector")), IMMUTABLE))
        errors.extend(_template_change(spec, old))
        for name in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
            errors.extend(immutable(f"spec.{name}", spec.get(name), old_spec.get(name)))
        return errors

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Deprecated and doubtful fields of the template."""
        warnings = list(template_warnings("spec.template", obj["spec"]["template"]))
        name = obj["metadata"].get("name") or ""
        problems = dns1123_label_errors(name)
        if problems:
            listing = "[" + " ".join(problems) + "]"
            warnings.insert(
                0,
                f"metadata.name: this is used in Pod names and hostnames, which can result in surprising "
                f"behavior; a DNS label is recommended: {listing}",
            )
        return warnings

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Fields a field selector can name."""
        return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


def _finds(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    try:
        return selector_from_object(dict(selector)).matches(labels)
    except SelectorError:
        return True  # reported as a cause of its own


def _selector(path: str, spec: Mapping[str, Any]) -> Errors:
    selector = spec.get("selector")
    if selector is None:
        yield FieldError.required(f"{path}.selector")
        return
    yield from label_selector(f"{path}.selector", selector)
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if not _finds(selector, labels):
        yield FieldError.invalid(f"{path}.template.metadata.labels", sorted_map(labels) or None, MISMATCH)


def _index_names(obj: Object) -> Errors:
    spec, name = obj["spec"], obj["metadata"].get("name") or ""
    if spec.get("completionMode") == "Indexed" and (spec.get("completions") or 0) > 0:
        pod_name = f"{name}-{spec['completions'] - 1}"
        if dns1123_label_errors(pod_name):
            detail = f"will not able to create pod with invalid DNS label: {pod_name}"
            yield FieldError.invalid("metadata.name", name, detail)


def _completions(spec: Mapping[str, Any], old: Mapping[str, Any]) -> Errors:
    value, previous = spec.get("completions"), old.get("completions")
    if spec.get("completionMode") == "Indexed" and value is not None and previous is not None:
        if value != previous and value != spec.get("parallelism"):
            detail = "can only be modified in tandem with spec.parallelism"
            yield FieldError.invalid("spec.completions", value, detail)
        return
    yield from immutable("spec.completions", value, previous)


#: what a suspended Job that never ran may still change of its template's spec
_SCHEDULING = ("affinity", "nodeSelector", "tolerations", "schedulingGates")


def _template_change(spec: Mapping[str, Any], old: Object) -> Errors:
    template, previous = spec["template"], old["spec"]["template"]
    if template == previous:
        return
    never_ran = old["spec"].get("suspend") and not (old.get("status") or {}).get("startTime")
    if never_ran:
        masked = copy_object(template)
        for name in _SCHEDULING:
            masked["spec"].pop(name, None)
            if name in previous["spec"]:
                masked["spec"][name] = previous["spec"][name]
        for name in ("labels", "annotations"):
            masked.setdefault("metadata", {})[name] = (previous.get("metadata") or {}).get(name)
        if pod_spec_form(masked["spec"]) == pod_spec_form(previous["spec"]):
            return
    shown = {**(template.get("metadata") or {}), "Spec": pod_spec_form(template["spec"])}
    yield FieldError.invalid("spec.template", shown, IMMUTABLE)
