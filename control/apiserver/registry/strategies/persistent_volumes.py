"""Strategies of PersistentVolumes and PersistentVolumeClaims (upstream: pkg/apis/core/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.objects import Object, copy_object
from control.api.timestamps import format_time
from control.apiserver.registry.strategies.claim_validation import VOLUME_MODES, access_modes, claim_spec
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    Errors,
    dns_label,
    dns_subdomain,
    immutable,
    is_empty,
    no_backsteps,
    one_of,
)
from control.apiserver.registry.strategies.internal_form import difference, internal_form
from control.apiserver.registry.strategies.resource_lists import (
    default_resource_list,
    nonnegative_quantity,
    positive_quantity,
    quantity,
)
from control.apiserver.registry.strategies.scheduling_validation import node_selector
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.volume_defaults import default_claim_spec, default_volume_source
from control.apiserver.registry.strategies.volume_source_validation import (
    SIMPLE_SOURCES,
    by_name,
    csi_driver_name,
    one_source,
)
from control.apiserver.registry.strategy import WriteContext

Source = Mapping[str, Any]

_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def _local(path: str, source: Source) -> Errors:
    if not source.get("path"):
        yield FieldError.required(f"{path}.path")
    else:
        yield from no_backsteps(f"{path}.path", source["path"])


def _csi(path: str, source: Source) -> Errors:
    yield from csi_driver_name(f"{path}.driver", source.get("driver") or "")
    if not source.get("volumeHandle"):
        yield FieldError.required(f"{path}.volumeHandle")
    for field in ("controllerPublish", "controllerExpand", "nodePublish", "nodeExpand"):
        reference = source.get(f"{field}SecretRef")
        if reference is not None:
            yield from _secret_reference(f"{path}.{field}SecretRef", reference)


def _secret_reference(path: str, reference: Source) -> Errors:
    for field, rule in (("name", dns_subdomain), ("namespace", dns_label)):
        if not reference.get(field):
            yield FieldError.required(f"{path}.{field}")
        else:
            yield from rule(f"{path}.{field}", reference[field])


#: in upstream's order
_SOURCES: tuple[tuple[str, str, Callable[[str, Source], Errors]], ...] = (
    *SIMPLE_SOURCES[
        "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte",
        "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk",
        "portworxVolume", "azureDisk", "scaleIO",
    ],
    ("local", "local", _local),
    *SIMPLE_SOURCES["storageos",],
    ("csi", "csi", _csi),
)  # fmt: skip
PERSISTENT_SOURCES = by_name(_SOURCES)


class PersistentVolumeStrategy(StatusStrategy):
    """Rules of PersistentVolumes."""

    has_generation = False
    returns_deleted_object = True
    empty_status: ClassVar[dict[str, Any]] = {"phase": "Pending"}

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        if not spec.get("persistentVolumeReclaimPolicy"):
            spec["persistentVolumeReclaimPolicy"] = "Retain"
        if spec.get("volumeMode") is None:
            spec["volumeMode"] = "Filesystem"
        default_resource_list(spec.get("capacity"))
        default_volume_source(spec)

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """A new volume is Pending since now."""
        super().prepare_for_create(context, obj)
        obj["status"]["lastPhaseTransitionTime"] = format_time(context.now)

    def prepare_for_status_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """A changed phase dates its change."""
        super().prepare_for_status_update(context, obj, old)
        status, old_status = obj.setdefault("status", {}), old.get("status") or {}
        unchanged_time = status.get("lastPhaseTransitionTime") == old_status.get("lastPhaseTransitionTime")
        if status.get("phase") != old_status.get("phase") and unchanged_time:
            status["lastPhaseTransitionTime"] = format_time(context.now)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a volume."""
        return list(_volume_spec("spec", obj["spec"]))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: the source and the mode are fixed."""
        errors = self.validate(context, obj)
        new_source, old_source = (
            {name: item["spec"][name] for name in PERSISTENT_SOURCES if item["spec"].get(name) is not None}
            for item in (obj, old)
        )
        if new_source != old_source:
            detail = f"spec.persistentvolumesource is immutable after creation\n{difference(old_source, new_source)}"
            errors.append(FieldError.forbidden("spec.persistentvolumesource", detail))
        errors.extend(immutable("volumeMode", obj["spec"].get("volumeMode"), old["spec"].get("volumeMode")))
        affinity, old_affinity = obj["spec"].get("nodeAffinity"), old["spec"].get("nodeAffinity")
        if old_affinity is not None and affinity != old_affinity:
            detail = f"{IMMUTABLE}, except for updating from beta label to GA"
            errors.append(FieldError.invalid("nodeAffinity", affinity, detail))
        return errors


def _volume_spec(path: str, spec: Source) -> Errors:
    if not spec.get("accessModes"):
        yield FieldError.required(f"{path}.accessModes")
    yield from access_modes(f"{path}.accessModes", spec.get("accessModes") or ())
    capacity = spec.get("capacity") or {}
    if not capacity:
        yield FieldError.required(f"{path}.capacity")
    if set(capacity) != {"storage"}:
        yield FieldError.not_supported(f"{path}.capacity", capacity or None, ("storage",))
    for name, text in sorted(capacity.items()):
        if quantity(text).nanos < 0:
            detail = "must be a valid resource quantity"
            yield FieldError.invalid(f"{path}.capacity[{name}]", quantity(text).value, detail)
        yield from positive_quantity(f"{path}.capacity[{name}]", text)
    if spec.get("persistentVolumeReclaimPolicy"):
        supported = ("Delete", "Recycle", "Retain")
        yield from one_of(f"{path}.persistentVolumeReclaimPolicy", spec["persistentVolumeReclaimPolicy"], supported)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        if affinity.get("required") is None:
            detail = "must specify required node constraints"
            yield FieldError.required(f"{path}.nodeAffinity.required", detail)
        else:
            yield from node_selector(f"{path}.nodeAffinity.required", affinity["required"])
    yield from one_source(path, spec, PERSISTENT_SOURCES)
    if spec.get("local") is not None and affinity is None:
        yield FieldError.required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    yield from _volume_class(path, spec)


def _volume_class(path: str, spec: Source) -> Errors:
    host_path = (spec.get("hostPath") or {}).get("path") or ""
    if host_path and not host_path.strip("/") and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        yield FieldError.forbidden(f"{path}.persistentVolumeReclaimPolicy", detail)
    if spec.get("storageClassName"):
        yield from dns_subdomain(f"{path}.storageClassName", spec["storageClassName"])
    if spec.get("volumeMode") is not None:
        yield from one_of(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    attributes_class = spec.get("volumeAttributesClassName")
    if attributes_class is not None:
        if not attributes_class:
            yield FieldError.required(f"{path}.volumeAttributesClassName", "an empty string is disallowed")
        else:
            yield from dns_subdomain(f"{path}.volumeAttributesClassName", attributes_class)
        if spec.get("csi") is None:
            yield FieldError.required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


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
        _mirror_sources(obj["spec"])

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a claim."""
        return list(claim_spec("spec", obj["spec"]))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: a bound claim may grow, nothing else changes."""
        return [*self.validate(context, obj), *_claim_changes(obj, old)]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed status."""
        capacity = (obj.get("status") or {}).get("capacity") or {}
        return [
            error
            for name, text in sorted(capacity.items())
            for error in nonnegative_quantity(f"status.capacity[{name}]", text)
        ]


def _mirror_sources(spec: Object) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


def _claim_changes(obj: Object, old: Object) -> Errors:
    spec, old_spec = copy_object(obj["spec"]), copy_object(old["spec"])
    annotation, old_annotation = (
        (item["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION, "") for item in (obj, old)
    )
    if annotation != old_annotation:
        yield FieldError.invalid(f"metadata.annotations.{_CLASS_ANNOTATION}", annotation, IMMUTABLE)
    if not old_spec.get("volumeName"):
        _copy_field(old_spec, spec, "volumeName")
    if old_spec.get("storageClassName") is None and old_annotation in ("", spec.get("storageClassName")):
        _copy_field(spec, old_spec, "storageClassName")
    if (obj.get("status") or {}).get("phase") == "Bound":
        requests = (spec.get("resources") or {}).get("requests")
        if requests is not None:
            requests["storage"] = old_spec["resources"]["requests"]["storage"]
        if spec.get("volumeAttributesClassName") is not None:
            _copy_field(spec, old_spec, "volumeAttributesClassName")
    before, after = (internal_form("PersistentVolumeClaimSpec", item) for item in (old_spec, spec))
    if before != after:
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield FieldError.forbidden("spec", f"{text}\n{difference(before, after)}")
    yield from _smaller(obj, old)
    yield from immutable("volumeMode", obj["spec"].get("volumeMode"), old["spec"].get("volumeMode"))
    attributes_class = obj["spec"].get("volumeAttributesClassName")
    if old["spec"].get("volumeAttributesClassName") is not None and is_empty(attributes_class):
        what = "nil" if attributes_class is None else "an empty string"
        detail = f"update from non-nil value to {what} is forbidden"
        yield FieldError.forbidden("spec.volumeAttributesClassName", detail)


def _copy_field(target: Object, source: Mapping[str, Any], name: str) -> None:
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
