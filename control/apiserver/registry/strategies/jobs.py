"""The strategy of Jobs (upstream: pkg/registry/batch/job/strategy.go)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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
from control.apiserver.registry.strategies.job_status_validation import job_status_changes
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
        return {**{legacy: values[name] for legacy, name in _LEGACY.items()}, **values}

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new Job."""
        errors = list(self._generated_selector(obj, tuple(self._generated_labels(obj["metadata"]))))
        errors.extend(job_spec("spec", obj["spec"]))
        errors.extend(_selector("spec", obj["spec"]))
        return errors + list(_index_names(obj))

    def _generated_selector(self, obj: Object, names: Collection[str]) -> Errors:
        spec = obj["spec"]
        if spec.get("manualSelector") or spec.get("selector") is None:
            return
        expected = {name: value for name, value in self._generated_labels(obj["metadata"]).items() if name in names}
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
        had = (old_spec["template"].get("metadata") or {}).get("labels") or {}
        names = tuple(_LEGACY) if not {_JOB_NAME, _CONTROLLER_UID} <= set(had) else (*_LEGACY, *_LEGACY.values())
        whole = [*job_spec("spec", spec), *_selector("spec", spec)]
        # Upstream judges the spec as that of a new Job, and again with the change.
        errors = [*self._generated_selector(obj, names), *whole, *_index_names(obj), *whole]
        errors.extend(_completions(spec, old_spec))
        if selector_form(spec.get("selector")) != selector_form(old_spec.get("selector")):
            errors.append(FieldError.invalid("spec.selector", selector_form(spec.get("selector")), IMMUTABLE))
        errors.extend(_template_change(spec, old))
        for name in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
            errors.extend(immutable(f"spec.{name}", spec.get(name), old_spec.get(name)))
        return errors

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed status: a finished Job stays what it is."""
        return list(job_status_changes(obj, old))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """A name that Pods cannot have; deprecated and doubtful fields."""
        return [*name_warnings(obj), *job_warnings("spec", obj["spec"])]

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """Fields of a changed spec."""
        return [] if obj["spec"] == old["spec"] else list(job_warnings("spec", obj["spec"]))

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
    yield from label_selector(f"{path}.selector", selector)
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if selector is None or not _finds(selector, labels):
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


#: what a suspended Job without Pods may still change of its template's spec
_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")


def _template_change(spec: Mapping[str, Any], old: Object) -> Errors:
    template, previous = spec["template"], old["spec"]["template"]
    if template == previous:
        return
    status = old.get("status") or {}
    is_suspended = any(
        condition.get("type") == "Suspended" and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )
    if old["spec"].get("suspend") and (is_suspended or not status.get("startTime")):
        masked = _with_free_fields(template, previous)
        if pod_spec_form(masked["spec"]) == pod_spec_form(previous["spec"]):
            return
    shown = {**(template.get("metadata") or {}), "Spec": pod_spec_form(template["spec"])}
    yield FieldError.invalid("spec.template", shown, IMMUTABLE)


def _with_free_fields(template: Object, previous: Object) -> Object:
    """The new template with the old one's values of what may change."""
    masked: Object = copy_object(template)
    spec, old_spec = masked["spec"], previous["spec"]
    affinity = {key: value for key, value in (spec.pop("affinity", None) or {}).items() if key != "nodeAffinity"}
    if (old_spec.get("affinity") or {}).get("nodeAffinity") is not None:
        affinity["nodeAffinity"] = old_spec["affinity"]["nodeAffinity"]
    if affinity or "affinity" in old_spec:
        spec["affinity"] = affinity
    for name in _SCHEDULING:
        spec.pop(name, None)
        if name in old_spec:
            spec[name] = old_spec[name]
    for field in ("containers", "initContainers"):
        for container, former in zip(spec.get(field) or (), old_spec.get(field) or (), strict=False):
            container.pop("resources", None)
            if "resources" in former:
                container["resources"] = former["resources"]
    for name in ("labels", "annotations"):
        masked.setdefault("metadata", {})[name] = (previous.get("metadata") or {}).get(name)
    return masked


_COMPLETIONS_SOFT_LIMIT = 100_000
_PARALLELISM_SOFT_LIMIT = 10_000


def name_warnings(obj: Object) -> Iterator[str]:
    """A name from which Pods cannot take theirs as it is."""
    problems = dns1123_label_errors(obj["metadata"].get("name") or "")
    if problems:
        yield (
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS "
            f"label is recommended: [{' '.join(problems)}]"
        )


def job_warnings(path: str, spec: Mapping[str, Any]) -> Iterator[str]:
    """Doubtful fields of a Job spec and of its template."""
    many = (spec.get("completions") or 0) > _COMPLETIONS_SOFT_LIMIT
    if spec.get("completionMode") == "Indexed" and many and (spec.get("parallelism") or 0) > _PARALLELISM_SOFT_LIMIT:
        yield (
            f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
            "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    yield from template_warnings(f"{path}.template", spec["template"])
