"""The strategy of Pods and of PodTemplates (upstream: pkg/registry/core/pod/strategy.go)."""

from __future__ import annotations

from collections.abc import Mapping

from control.api.addresses import address_warnings
from control.api.errors import FieldError
from control.api.objects import Object
from control.api.pods import qos_class
from control.api.timestamps import format_time
from control.apiserver.registry.strategies.container_validation import image_without_spaces, init_resize_policies
from control.apiserver.registry.strategies.pod_defaults import default_pod, default_pod_template
from control.apiserver.registry.strategies.pod_resize import resize_changes, resized_spec, set_or_drop
from control.apiserver.registry.strategies.pod_spec_validation import (
    MIRROR_ANNOTATION,
    pod_annotations,
    pod_spec,
    pod_template,
)
from control.apiserver.registry.strategies.pod_status_validation import status_changes
from control.apiserver.registry.strategies.pod_update_validation import (
    annotation_changes,
    ephemeral_container_changes,
    spec_changes,
)
from control.apiserver.registry.strategies.pod_warnings import pod_warnings, template_warnings
from control.apiserver.registry.strategies.profile_annotations import adopt_annotated_profiles, matching_profiles
from control.apiserver.registry.strategy import FieldLabels, Strategy, WriteContext

_GATED = "Scheduling is blocked due to non-empty scheduling gates"


#: `spec.host` is what old clients say; `status.podIPs` may be asked for, but no Pod has a value of it.
_FIELD_LABELS = FieldLabels(
    own={
        "spec.nodeName": "spec.nodeName",
        "spec.host": "spec.nodeName",
        "spec.restartPolicy": "spec.restartPolicy",
        "spec.schedulerName": "spec.schedulerName",
        "spec.serviceAccountName": "spec.serviceAccountName",
        "spec.hostNetwork": "spec.hostNetwork",
        "status.phase": "status.phase",
        "status.podIP": "status.podIP",
        "status.podIPs": "status.podIPs",
        "status.nominatedNodeName": "status.nominatedNodeName",
    }
)


class PodStrategy(Strategy):
    """Rules of Pods, with their subresources status, resize and ephemeralcontainers."""

    has_status = True
    returns_deleted_object = True
    field_labels = _FIELD_LABELS
    kept_by_status = ("ownerReferences",)

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        default_pod(obj)

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """A new Pod is Pending, has its QoS class for life, and waits while it has gates."""
        status: Object = {"phase": "Pending"}
        if obj["spec"].get("schedulingGates"):
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "lastProbeTime": None,
                    "lastTransitionTime": format_time(context.now),
                    "reason": "SchedulingGated",
                    "message": _GATED,
                }
            ]
        status["qosClass"] = qos_class(obj)
        obj["status"] = status
        _apply_match_label_keys(obj)
        adopt_annotated_profiles(obj)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new Pod."""
        errors = _metadata_and_spec(obj)
        spec = obj["spec"]
        errors.extend(init_resize_policies("spec.initContainers", spec.get("initContainers") or ()))
        if spec.get("ephemeralContainers"):
            errors.append(FieldError.forbidden("spec.ephemeralContainers", "cannot be set on create"))
        if spec.get("nodeName") and spec.get("schedulingGates"):
            detail = "cannot be set until all schedulingGates have been cleared"
            errors.append(FieldError.forbidden("spec.nodeName", detail))
        return [*errors, *matching_profiles("spec", _annotations(obj), spec)]

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """Keep the status; a subresource changes its own part of the spec only."""
        obj["status"] = old.get("status", {})
        if context.subresource == "ephemeralcontainers":
            added = obj["spec"].get("ephemeralContainers")
            obj["spec"] = {**old["spec"]}
            set_or_drop(obj["spec"], "ephemeralContainers", added)
        elif context.subresource == "resize":
            obj["spec"] = resized_spec(obj["spec"], old["spec"])

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed Pod."""
        errors = _metadata_and_spec(obj)
        if context.subresource == "resize":
            return resize_changes(errors, obj, old)
        annotations, old_annotations = _annotations(obj), _annotations(old)
        errors.extend(annotation_changes("metadata.annotations", annotations, old_annotations))
        errors.extend(pod_annotations("metadata.annotations", annotations, obj["spec"]))
        if context.subresource == "ephemeralcontainers":
            if MIRROR_ANNOTATION in old_annotations:
                return [FieldError.forbidden("[]", "static pods do not support ephemeral containers")]
            errors.extend(ephemeral_container_changes("spec.ephemeralContainers", obj["spec"], old["spec"]))
        else:
            errors.extend(spec_changes("spec", obj["spec"], old["spec"]))
        return errors

    def prepare_for_status_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """The QoS class of a Pod is not the status writer's."""
        super().prepare_for_status_update(context, obj, old)
        status = obj.setdefault("status", {})
        if not status.get("qosClass") and (old.get("status") or {}).get("qosClass"):
            status["qosClass"] = old["status"]["qosClass"]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed status."""
        errors = list(annotation_changes("metadata.annotations", _annotations(obj), _annotations(old)))
        return errors + list(status_changes(obj, old))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Deprecated and doubtful fields; updates of Pods do not warn of them."""
        return list(pod_warnings(obj))

    def warnings_on_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """Addresses that are better written otherwise."""
        status = obj.get("status") or {}
        return [
            f"status.{name}[{index}].ip: {text}"
            for name in ("podIPs", "hostIPs")
            for index, item in enumerate(status.get(name) or ())
            for text in address_warnings(item.get("ip") or "")
        ]

    def begin_graceful_delete(self, context: WriteContext, obj: Object, requested_seconds: int | None) -> int | None:
        """Seconds the Pod has to end; 0 for one that no node runs. A later request can only shorten them."""
        spec, metadata = obj.get("spec") or {}, obj["metadata"]
        running = metadata.get("deletionGracePeriodSeconds") if metadata.get("deletionTimestamp") else None
        if requested_seconds is None:
            seconds = spec.get("terminationGracePeriodSeconds") or 0 if running is None else running
        else:
            seconds = requested_seconds
        if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
            seconds = 0
        if seconds < 0:
            seconds = 1
        return int(seconds) if running is None else min(int(seconds), int(running))

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Fields a field selector can name."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": _first_pod_ip(status),
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }


def _first_pod_ip(status: Object) -> str:
    addresses = status.get("podIPs") or ()
    return (addresses[0].get("ip") if addresses else status.get("podIP")) or ""


def _annotations(obj: Object) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("annotations") or {}


def _metadata_and_spec(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    errors = list(pod_annotations("metadata.annotations", _annotations(obj), spec))
    is_static, name = MIRROR_ANNOTATION in _annotations(obj), obj["metadata"].get("name") or ""
    errors.extend(pod_spec("spec", spec, is_pod=True, pod_name=name, is_static=is_static))
    if not spec.get("serviceAccountName"):
        for volume_index, volume in enumerate(spec.get("volumes") or ()):
            for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    where = f"spec.volumes[{volume_index}].projected.sources[{index}].serviceAccountToken"
                    detail = "must not be specified when serviceAccountName is not set"
                    errors.append(FieldError.forbidden(where, detail))
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            errors.extend(image_without_spaces(f"spec.{field}[{index}]", container))
    return errors


def _apply_match_label_keys(pod: Object) -> None:
    """matchLabelKeys of affinity terms and spread constraints become selector requirements once, at creation."""
    spec, labels = pod["spec"], pod["metadata"].get("labels") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        affinity = (spec.get("affinity") or {}).get(name) or {}
        terms = list(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [term.get("podAffinityTerm") or {} for term in preferred]
        for term in terms:
            _add_requirements(term, labels, "matchLabelKeys", "In")
            _add_requirements(term, labels, "mismatchLabelKeys", "NotIn")
    for constraint in spec.get("topologySpreadConstraints") or ():
        _add_requirements(constraint, labels, "matchLabelKeys", "In")


def _add_requirements(term: Object, labels: Mapping[str, str], field: str, operator: str) -> None:
    selector = term.get("labelSelector")
    if selector is None:
        return
    for key in term.get(field) or ():
        if key in labels:
            requirement = {"key": key, "operator": operator, "values": [labels[key]]}
            selector.setdefault("matchExpressions", []).append(requirement)


class PodTemplateStrategy(Strategy):
    """Rules of PodTemplates: a template on its own."""

    returns_deleted_object = True

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        default_pod_template(obj)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the template."""
        return list(pod_template("template", obj["template"]))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Deprecated and doubtful fields."""
        return list(template_warnings("template", obj["template"]))
