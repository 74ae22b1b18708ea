"""The strategy of PersistentVolumeClaims (upstream: pkg/registry/core/persistentvolumeclaim/strategy.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies.claim_validation import claim_spec
from control.apiserver.registry.strategies.field_rules import IMMUTABLE, Errors, immutable, qualified_name
from control.apiserver.registry.strategies.internal_form import difference, internal_form
from control.apiserver.registry.strategies.resource_lists import (
    default_resource_list,
    is_native,
    quantity,
    resource_value,
)
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.volume_defaults import default_claim_spec
from control.apiserver.registry.strategies.volume_warnings import claim_warnings
from control.apiserver.registry.strategy import WriteContext

Spec = Mapping[str, Any]

_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)


class PersistentVolumeClaimStrategy(StatusStrategy):
    """Rules of PersistentVolumeClaims."""

    has_generation = False
    returns_deleted_object = True
    empty_status: ClassVar[dict[str, Any]] = {"phase": "Pending"}

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        default_claim_spec(obj.setdefault("spec", {}))
        default_resource_list(obj["status"].get("capacity"))
        default_resource_list(obj["status"].get("allocatedResources"))

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """A new claim is Pending; both forms of its data source say the same."""
        super().prepare_for_create(context, obj)
        _drop_odd_sources(obj["spec"], {})
        _mirror_sources(obj["spec"])

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """The same for a changed claim."""
        super().prepare_for_update(context, obj, old)
        _drop_odd_sources(obj["spec"], old["spec"])
        _mirror_sources(obj["spec"])

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a claim."""
        return list(claim_spec("spec", obj["spec"]))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: a bound claim may grow, nothing else changes."""
        sources = (old["spec"].get(name) or {} for name in ("dataSource", "dataSourceRef"))
        free_groups = any(source.get("apiGroup") is not None for source in sources)
        return [*claim_spec("spec", obj["spec"], free_groups=free_groups), *_claim_changes(obj, old)]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed status."""
        errors = [] if obj["spec"].get("accessModes") else [FieldError.required("Spec.accessModes")]
        return errors + list(_status(obj.get("status") or {}))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """A deprecated annotation; part of a byte."""
        return list(_warnings(obj))

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same."""
        return list(_warnings(obj))


def _warnings(obj: Object) -> Iterator[str]:
    if _CLASS_ANNOTATION in (obj["metadata"].get("annotations") or {}):
        text = 'deprecated since v1.8; use "storageClassName" attribute instead'
        yield f"metadata.annotations[{_CLASS_ANNOTATION}]: {text}"
    yield from claim_warnings("spec", obj["spec"])


def _drop_odd_sources(spec: Object, old: Spec) -> None:
    """Sources in other namespaces need a gate that is off; the older field knows claims and snapshots only."""
    if (spec.get("dataSourceRef") or {}).get("namespace") and not (old.get("dataSourceRef") or {}).get("namespace"):
        del spec["dataSourceRef"]
    source = spec.get("dataSource")
    if source is None or old.get("dataSource") is not None:
        return
    known = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
    if (source.get("apiGroup") or "", source.get("kind")) not in known:
        del spec["dataSource"]


def _mirror_sources(spec: Object) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


def _claim_changes(obj: Object, old: Object) -> Errors:
    spec, old_spec = copy_object(obj["spec"]), copy_object(old["spec"])
    if not old_spec.get("volumeName"):
        _copy_field(old_spec, spec, "volumeName")
    yield from _class_changes(obj, old, spec)
    requests = (spec.get("resources") or {}).get("requests")
    if (obj.get("status") or {}).get("phase") == "Bound" and requests is not None:
        requests["storage"] = ((old_spec.get("resources") or {}).get("requests") or {}).get("storage")
    _copy_field(spec, old_spec, "volumeAttributesClassName")
    before, after = (internal_form("PersistentVolumeClaimSpec", item) for item in (old_spec, spec))
    if before != after:
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield FieldError.forbidden("spec", f"{text}\n{difference(before, after)}")
    yield from _smaller(obj, old)
    yield from immutable("volumeMode", obj["spec"].get("volumeMode"), old["spec"].get("volumeMode"))
    held = (old.get("status") or {}).get("currentVolumeAttributesClassName")
    wanted, path = obj["spec"].get("volumeAttributesClassName"), "spec.volumeAttributesClassName"
    if held and not wanted and wanted != old["spec"].get("volumeAttributesClassName"):
        what = "nil" if wanted is None else "empty string"
        detail = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
        yield FieldError.forbidden(path, detail)


def _class_changes(obj: Object, old: Object, spec: Object) -> Errors:
    """A class that is missing may be filled in `spec`, the one of the annotation before any other."""
    annotations, old_annotations = (item["metadata"].get("annotations") or {} for item in (obj, old))
    annotation, old_annotation = annotations.get(_CLASS_ANNOTATION), old_annotations.get(_CLASS_ANNOTATION)
    name, was_missing = spec.get("storageClassName"), old["spec"].get("storageClassName") is None
    upgraded = old_annotation is not None and was_missing and name == old_annotation
    if not (upgraded and annotation in (None, old_annotation)) and (annotation or "") != (old_annotation or ""):
        yield FieldError.invalid(f"metadata.annotations.{_CLASS_ANNOTATION}", annotation or "", IMMUTABLE)
    if name is not None and was_missing and old_annotation in (None, name):
        del spec["storageClassName"]


def _copy_field(target: Object, source: Spec, name: str) -> None:
    if source.get(name) is None:
        target.pop(name, None)
    else:
        target[name] = source[name]


def _smaller(obj: Object, old: Object) -> Errors:
    size, old_size = (
        ((item["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0") for item in (obj, old)
    )
    held = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
    if quantity(size).nanos < quantity(old_size).nanos and quantity(size).nanos <= quantity(held).nanos:
        detail = "field can not be less than status.capacity"
        yield FieldError.forbidden("spec.resources.requests.storage", detail)


def _status(status: Spec) -> Errors:
    for name, text in sorted((status.get("capacity") or {}).items()):
        yield from _valid_quantity(f"status.capacity[{name}]", text)
    path = "status.allocatedResourceStatus"
    for name, state in sorted((status.get("allocatedResourceStatuses") or {}).items()):
        yield from _resource_key(path, name)
        if state not in _RESIZE_STATES:
            yield FieldError.not_supported(path, name, sorted(_RESIZE_STATES))
    path = "status.allocatedResources"
    for name, text in sorted((status.get("allocatedResources") or {}).items()):
        broken = list(_resource_key(path, name))
        yield from broken
        if not broken:
            invalid = list(_valid_quantity(f"{path}[{name}]", text))
            yield from invalid or resource_value(f"{path}[{name}]", "storage", text)


def _valid_quantity(path: str, text: Any) -> Errors:
    if quantity(text).nanos < 0:
        yield FieldError.invalid(path, quantity(text).value, "must be a valid resource quantity")


def _resource_key(path: str, name: str) -> Errors:
    broken = list(qualified_name(path, name))
    yield from broken
    if not broken and is_native(name) and name != "storage":
        yield FieldError.not_supported(path, name, ("storage",))
