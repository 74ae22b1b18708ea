"""Strategies of storage.k8s.io (upstream: pkg/apis/storage/{v1/defaults,validation/validation}.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.names import qualified_name_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    Errors,
    dns_subdomain,
    immutable,
    is_empty,
    label_selector,
    nonnegative,
    one_of,
    qualified_name,
    required_one_of,
    sorted_map,
)
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.resource_lists import nonnegative_quantity
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.volume_source_validation import csi_driver_name
from control.apiserver.registry.strategy import Strategy, WriteContext

Item = Mapping[str, Any]

_PARAMETERS_MAX = 512
_PARAMETER_BYTES_MAX = 256 * 1024


class StorageClassStrategy(Strategy):
    """Rules of StorageClasses."""

    has_generation = False
    returns_deleted_object = True

    def default(self, obj: Object) -> None:
        """Volumes are made at once and deleted with their claim unless told."""
        if obj.get("reclaimPolicy") is None:
            obj["reclaimPolicy"] = "Delete"
        if obj.get("volumeBindingMode") is None:
            obj["volumeBindingMode"] = "Immediate"

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a class."""
        return list(_storage_class(obj))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: what volumes were made with is fixed."""
        errors: list[FieldError] = []
        parameters, old_parameters = obj.get("parameters"), old.get("parameters")
        if parameters != old_parameters and not (is_empty(parameters) and is_empty(old_parameters)):
            errors.append(FieldError.invalid("parameters", sorted_map(parameters), IMMUTABLE))
        for name in ("provisioner", "reclaimPolicy", "volumeBindingMode"):
            errors.extend(immutable(name, obj.get(name), old.get(name)))
        return errors


def _provisioner(path: str, name: str) -> Errors:
    if not name:
        yield FieldError.required(path)
        return
    for message in qualified_name_errors(name.lower()):
        yield FieldError.invalid(path, name, message)


def parameters(path: str, values: Item | None, *, is_required: bool = False) -> Errors:
    """Parameters of classes: not too many, no empty keys."""
    values = values or {}
    if is_required and not values:
        yield FieldError.required(path)
    if len(values) > _PARAMETERS_MAX:
        yield FieldError.too_long(path, _PARAMETERS_MAX)
        return
    if "" in values:
        yield FieldError.invalid(path, "", "field can not be empty")
    if sum(len(key) + len(value or "") for key, value in values.items()) > _PARAMETER_BYTES_MAX:
        yield FieldError.too_long(path, _PARAMETER_BYTES_MAX)


def _storage_class(obj: Item) -> Errors:
    yield from _provisioner("provisioner", obj.get("provisioner") or "")
    yield from parameters("parameters", obj.get("parameters"))
    if obj.get("reclaimPolicy"):
        yield from one_of("reclaimPolicy", obj["reclaimPolicy"], ("Delete", "Retain"))
    modes = ("Immediate", "WaitForFirstConsumer")
    yield from required_one_of("volumeBindingMode", obj.get("volumeBindingMode"), modes)
    for index, term in enumerate(obj.get("allowedTopologies") or ()):
        path = f"allowedTopologies[{index}].matchLabelExpressions"
        for item_index, item in enumerate(term.get("matchLabelExpressions") or ()):
            yield from _topology(f"{path}[{item_index}]", item)


def _topology(path: str, item: Item) -> Errors:
    values = item.get("values") or []
    if not values:
        yield FieldError.required(f"{path}.values")
    for index, value in enumerate(values):
        if value in values[:index]:
            yield FieldError.duplicate(f"{path}.values[{index}]", value)
    yield from qualified_name(f"{path}.key", item.get("key") or "")


class CsiDriverStrategy(Strategy):
    """Rules of CSIDrivers."""

    has_generation = False
    returns_deleted_object = True
    allow_unconditional_update = False
    _defaults: ClassVar[tuple[tuple[str, Any], ...]] = (
        ("attachRequired", True),
        ("podInfoOnMount", False),
        ("storageCapacity", False),
        ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
        ("requiresRepublish", False),
        ("seLinuxMount", False),
    )

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        spec = obj.setdefault("spec", {})
        for name, value in self._defaults:
            if spec.get(name) is None:
                spec[name] = value
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a driver."""
        spec = obj["spec"]
        errors = list(csi_driver_name("metadata.name", obj["metadata"].get("name") or ""))
        policies = ("File", "None", "ReadWriteOnceWithFSType")
        errors.extend(one_of("spec.fsGroupPolicy", spec.get("fsGroupPolicy"), policies))
        for index, request in enumerate(spec.get("tokenRequests") or ()):
            seconds = request.get("expirationSeconds")
            if seconds is not None and seconds < 600:
                path = f"spec.tokenRequests[{index}].expirationSeconds"
                errors.append(FieldError.invalid(path, seconds, "may not specify a duration less than 10 minutes"))
        for mode in spec.get("volumeLifecycleModes") or ():
            errors.extend(one_of("spec.volumeLifecycleModes", mode, ("Persistent", "Ephemeral")))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: how volumes are attached is fixed."""
        errors = self.validate(context, obj)
        for name in ("attachRequired", "volumeLifecycleModes"):
            errors.extend(immutable(f"spec.{name}", obj["spec"].get(name), old["spec"].get(name)))
        return errors


class CsiNodeStrategy(Strategy):
    """Rules of CSINodes."""

    has_generation = False
    returns_deleted_object = True
    allow_unconditional_update = False

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the drivers of a node."""
        return list(_node_drivers("spec.drivers", obj["spec"].get("drivers") or ()))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: a driver comes or goes, but does not change."""
        drivers, old_drivers = (item["spec"].get("drivers") or () for item in (obj, old))
        by_name = {driver.get("name"): driver for driver in drivers}
        errors: list[FieldError] = []
        for driver in old_drivers:
            new = by_name.get(driver.get("name"))
            before, after = (internal_form("CSINodeDriver", item or {}) for item in (driver, new))
            before["Allocatable"] = before["Allocatable"] or after["Allocatable"]
            if new is not None and before != after:
                errors.append(FieldError.invalid("spec.drivers", after, IMMUTABLE))
        return errors + list(_node_drivers("spec.drivers", drivers))


def _node_drivers(path: str, drivers: Sequence[Item]) -> Errors:
    names: set[str] = set()
    for index, driver in enumerate(drivers):
        item, name = f"{path}[{index}]", driver.get("name") or ""
        yield from csi_driver_name(f"{item}.name", name)
        node_id = driver.get("nodeID") or ""
        if not node_id:
            yield FieldError.required(f"{item}.nodeID", node_id)
        if len(node_id) > 256:
            yield FieldError.invalid(f"{item}.nodeID", node_id, "must be 256 characters or less")
        yield from nonnegative(f"{item}.allocatable.count", (driver.get("allocatable") or {}).get("count"))
        if name in names:
            yield FieldError.duplicate(f"{item}.name", name)
        names.add(name)
        for key_index, key in enumerate(driver.get("topologyKeys") or ()):
            yield from qualified_name(f"{item}.topologyKeys[{key_index}]", key)


class CsiStorageCapacityStrategy(Strategy):
    """Rules of CSIStorageCapacities."""

    has_generation = False
    allow_unconditional_update = False

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge topology and amounts."""
        errors = list(label_selector("nodeTopology", obj.get("nodeTopology")))
        errors.extend(dns_subdomain("storageClassName", obj.get("storageClassName") or ""))
        for name in ("capacity", "maximumVolumeSize"):
            if obj.get(name) is not None:
                errors.extend(nonnegative_quantity(name, obj[name]))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: what is measured is fixed."""
        errors = list(immutable("nodeTopology", obj.get("nodeTopology"), old.get("nodeTopology")))
        return errors + list(immutable("storageClassName", obj.get("storageClassName"), old.get("storageClassName")))


class VolumeAttachmentStrategy(StatusStrategy):
    """Rules of VolumeAttachments."""

    has_generation = False
    returns_deleted_object = True
    allow_unconditional_update = False
    empty_status: ClassVar[dict[str, Any]] = {"attached": False}

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge an attachment."""
        spec = obj["spec"]
        errors = list(csi_driver_name("spec.attacher", spec.get("attacher") or ""))
        source = spec.get("source") or {}
        inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
        if inline is None and name is None:
            detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            errors.append(FieldError.required("spec.source", detail))
        elif inline is not None and name is not None:
            detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            errors.append(FieldError.forbidden("spec.source", detail))
        elif name == "":
            errors.append(
                FieldError.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")
            )
        return errors + list(dns_subdomain("spec.nodeName", spec.get("nodeName") or ""))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """The spec is fixed."""
        shown, old_shown = (internal_form("VolumeAttachmentSpec", item["spec"]) for item in (obj, old))
        return [] if shown == old_shown else [FieldError.invalid("spec", shown, IMMUTABLE)]


class VolumeAttributesClassStrategy(Strategy):
    """Rules of VolumeAttributesClasses."""

    has_generation = False
    returns_deleted_object = True

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge driver and parameters."""
        errors = list(_provisioner("driverName", obj.get("driverName") or ""))
        return errors + list(parameters("parameters", obj.get("parameters"), is_required=True))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Driver and parameters are fixed."""
        errors = list(immutable("driverName", obj.get("driverName"), old.get("driverName")))
        if obj.get("parameters") != old.get("parameters"):
            errors.append(FieldError.invalid("parameters", sorted_map(obj.get("parameters")), IMMUTABLE))
        return errors
