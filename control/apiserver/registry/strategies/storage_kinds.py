"""Strategies of storage.k8s.io (upstream: pkg/apis/storage/{v1/defaults,validation/validation}.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.names import qualified_name_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    INT32_MAX,
    Errors,
    dns_subdomain,
    immutable,
    in_range,
    is_empty,
    label_selector,
    nonnegative,
    one_of,
    qualified_name,
    sorted_map,
)
from control.apiserver.registry.strategies.generations import bump_generation
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.node_label_warnings import find_label_deprecation
from control.apiserver.registry.strategies.resource_lists import nonnegative_quantity
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.volume_source_validation import csi_driver_name
from control.apiserver.registry.strategy import OWN_METADATA, Strategy, WriteContext

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

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Node labels that have newer names."""
        return [
            f"allowedTopologies[{index}].matchLabelExpressions[{number}].key: {text}"
            for index, term in enumerate(obj.get("allowedTopologies") or ())
            for number, item in enumerate(term.get("matchLabelExpressions") or ())
            if (text := find_label_deprecation(item.get("key") or "")) is not None
        ]

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same."""
        return self.warnings_on_create(context, obj)


def _provisioner(path: str, name: str) -> Errors:
    if not name:
        yield FieldError.required(path)
        return
    for message in qualified_name_errors(name.lower()):
        yield FieldError.invalid(path, name, message)


def parameters(path: str, values: Item | None, *, is_required: bool = False) -> Errors:
    """Parameters of classes: not too many, no empty keys."""
    values = values or {}
    if len(values) > _PARAMETERS_MAX:
        yield FieldError.too_long(path, _PARAMETERS_MAX)
        return
    if "" in values:
        yield FieldError.invalid(path, "", "field can not be empty.")
    if sum(len(key) + len(value or "") for key, value in values.items()) > _PARAMETER_BYTES_MAX:
        yield FieldError.too_long(path, _PARAMETER_BYTES_MAX)
    if is_required and not values:
        yield FieldError.required(path, "must contain at least one key/value pair")


def _storage_class(obj: Item) -> Errors:
    yield from _provisioner("provisioner", obj.get("provisioner") or "")
    yield from parameters("parameters", obj.get("parameters"))
    if obj.get("reclaimPolicy"):
        yield from one_of("reclaimPolicy", obj["reclaimPolicy"], ("Delete", "Retain"))
    mode = obj.get("volumeBindingMode")
    if mode is None:
        yield FieldError.required("volumeBindingMode")
    else:
        yield from one_of("volumeBindingMode", mode, ("Immediate", "WaitForFirstConsumer"))
    yield from _topologies("allowedTopologies", obj.get("allowedTopologies") or ())


def _topologies(path: str, terms: Sequence[Item]) -> Errors:
    # Upstream compares each term with as many empty ones as there are terms, and with those before it.
    earlier: list[dict[str, set[str]]] = [{} for _ in terms]
    for index, term in enumerate(terms):
        where, found = f"{path}[{index}].matchLabelExpressions", dict[str, set[str]]()
        if not term.get("matchLabelExpressions"):
            yield FieldError.required(where)
        for item_index, item in enumerate(term.get("matchLabelExpressions") or ()):
            key = item.get("key") or ""
            yield from _topology(f"{where}[{item_index}]", item)
            if key in found:
                yield FieldError.duplicate(f"{where}[{item_index}].key", key)
            found[key] = set(item.get("values") or ())
        for other in earlier:
            if other == found:
                yield FieldError.duplicate(where, "")
        earlier.append(found)


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

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """What the kubelet looks at counts as a change."""
        super().prepare_for_update(context, obj, old)
        if any(obj["spec"].get(name) != old["spec"].get(name) for name in _COUNTED):
            bump_generation(obj, old)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a driver."""
        return list(_driver("spec", obj["spec"]))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: how volumes are attached is fixed."""
        errors = self.validate(context, obj)
        for name, shown in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")):
            errors.extend(immutable(f"spec.{shown}", obj["spec"].get(name), old["spec"].get(name)))
        return errors


_COUNTED = ("tokenRequests", "requiresRepublish", "seLinuxMount")
_TOKEN_SECONDS = (600, 2**32)


def _driver(path: str, spec: Item) -> Errors:
    policies = ("File", "None", "ReadWriteOnceWithFSType")
    yield from one_of(f"{path}.fsGroupPolicy", spec.get("fsGroupPolicy"), policies)
    yield from _token_requests(f"{path}.tokenRequests", spec.get("tokenRequests") or ())
    for mode in spec.get("volumeLifecycleModes") or ():
        yield from one_of(f"{path}.volumeLifecycleModes", mode, ("Persistent", "Ephemeral"))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        detail = "must be greater than or equal to 10 seconds"
        yield FieldError.invalid(f"{path}.nodeAllocatableUpdatePeriodSeconds", period, detail)
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not spec.get("tokenRequests"):
        detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        yield FieldError.invalid(f"{path}.serviceAccountTokenInSecrets", in_secrets, detail)


def _token_requests(path: str, requests: Sequence[Item]) -> Errors:
    audiences: set[str] = set()
    low, high = _TOKEN_SECONDS
    for index, request in enumerate(requests):
        audience, seconds = request.get("audience") or "", request.get("expirationSeconds")
        if audience in audiences:
            yield FieldError.duplicate(f"{path}[{index}].audience", audience)
            continue
        audiences.add(audience)
        where = f"{path}[{index}].expirationSeconds"
        if seconds is not None and seconds < low:
            yield FieldError.invalid(where, seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > high:
            yield FieldError.invalid(where, seconds, "may not specify a duration larger than 2^32 seconds")


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
        errors = self.validate(context, obj)
        for old_driver in old_drivers:
            for driver in drivers:
                if driver.get("name") == old_driver.get("name"):
                    # How many volumes fit may change.
                    before, after = ({**item, "allocatable": None} for item in (old_driver, driver))
                    shown = internal_form("CSINodeDriver", after)
                    if shown != internal_form("CSINodeDriver", before):
                        errors.append(FieldError.invalid("spec.drivers", shown, IMMUTABLE))
        return errors


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
        keys = driver.get("topologyKeys") or ()
        for key_index, key in enumerate(keys):
            if not key:
                yield FieldError.required(item)
            if key in keys[:key_index]:
                yield FieldError.duplicate(item, key)
            yield from qualified_name(item, key)


class CsiStorageCapacityStrategy(Strategy):
    """Rules of CSIStorageCapacities."""

    has_generation = False
    allow_unconditional_update = False

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge topology and amounts."""
        errors = list(label_selector("nodeTopology", obj.get("nodeTopology")))
        errors.extend(dns_subdomain("storageClassName", obj.get("storageClassName") or ""))
        if obj.get("capacity") is not None:
            errors.extend(nonnegative_quantity("capacity", obj["capacity"]))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: what is measured is fixed."""
        errors = list(immutable("nodeTopology", obj.get("nodeTopology"), old.get("nodeTopology")))
        return errors + list(immutable("storageClassName", obj.get("storageClassName"), old.get("storageClassName")))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Node labels that have newer names."""
        topology = obj.get("nodeTopology") or {}
        expressions = enumerate(topology.get("matchExpressions") or ())
        named = [(f"matchLabels[{key}]", key) for key in sorted(topology.get("matchLabels") or ())]
        named += [(f"matchExpressions[{index}].key", item.get("key") or "") for index, item in expressions]
        return [
            f"nodeTopology.{path}: {text}" for path, key in named if (text := find_label_deprecation(key)) is not None
        ]

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same."""
        return self.warnings_on_create(context, obj)


class VolumeAttachmentStrategy(StatusStrategy):
    """Rules of VolumeAttachments."""

    has_generation = False
    returns_deleted_object = True
    allow_unconditional_update = False
    kept_by_status = OWN_METADATA
    empty_status: ClassVar[dict[str, Any]] = {"attached": False}

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge an attachment; v1 has rules of its own."""
        spec = obj["spec"]
        errors = list(_attachment(obj))
        errors.extend(csi_driver_name("spec.attacher", spec.get("attacher") or ""))
        name = (spec.get("source") or {}).get("persistentVolumeName")
        return errors if name is None else errors + list(dns_subdomain("spec.source.persistentVolumeName", name))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """The spec is fixed."""
        shown, old_shown = (internal_form("VolumeAttachmentSpec", item["spec"]) for item in (obj, old))
        changed = [] if shown == old_shown else [FieldError.invalid("spec", shown, IMMUTABLE)]
        return [*_attachment(obj), *changed]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge what the attacher says."""
        return list(_attachment(obj))


_METADATA_BYTES_MAX = 256 * 1024
_ERROR_MESSAGE_MAX = 1024


def _attachment(obj: Object) -> Errors:
    spec, status = obj["spec"], obj.get("status") or {}
    if not spec.get("attacher"):
        yield FieldError.required("spec.attacher")
    source = spec.get("source") or {}
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and name is None:
        yield FieldError.required("spec.source", detail)
    elif inline is not None and name is not None:
        yield FieldError.forbidden("spec.source", detail)
    elif name == "":
        where = "spec.source.persistentVolumeName"
        yield FieldError.required(where, "must specify non empty persistentVolumeName")
    yield from dns_subdomain("spec.nodeName", spec.get("nodeName") or "")
    metadata = status.get("attachmentMetadata") or {}
    if sum(len(key) + len(value or "") for key, value in metadata.items()) > _METADATA_BYTES_MAX:
        yield FieldError.too_long("status.attachmentMetadata", _METADATA_BYTES_MAX)
    for field in ("attachError", "detachError"):
        error = status.get(field) or {}
        if len(error.get("message") or "") > _ERROR_MESSAGE_MAX:
            # Upstream names the limit of the metadata.
            yield FieldError.too_long(f"status.{field}.message", _METADATA_BYTES_MAX)
        if (error.get("errorCode") or 0) < 0:
            yield from in_range(f"status.{field}.errorCode", error["errorCode"], 0, INT32_MAX)


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
        return errors + self.validate(context, obj)
