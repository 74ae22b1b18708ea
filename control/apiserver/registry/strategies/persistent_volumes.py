"""The strategy of PersistentVolumes (upstream: pkg/apis/core/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.objects import Object, copy_object
from control.api.timestamps import format_time
from control.apiserver.registry.strategies.claim_validation import VOLUME_MODES, access_modes
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    Errors,
    dns_label,
    dns_subdomain,
    immutable,
    no_backsteps,
    one_of,
)
from control.apiserver.registry.strategies.internal_form import difference
from control.apiserver.registry.strategies.node_label_warnings import terms_warnings
from control.apiserver.registry.strategies.resource_lists import default_resource_list, positive_quantity, quantity
from control.apiserver.registry.strategies.scheduling_validation import node_selector
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.volume_defaults import default_volume_source
from control.apiserver.registry.strategies.volume_source_validation import (
    SIMPLE_SOURCES,
    by_name,
    csi_driver_name,
    one_source,
    persistent_iscsi,
)
from control.apiserver.registry.strategy import WriteContext

Source = Mapping[str, Any]

_PORTAL_MAX = 64
_PORTAL_TOO_LONG = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
    "if iscsi.initiatorName is specified."
)
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


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


def _named_secret(path: str, source: Source) -> Errors:
    for field in ("name", "namespace"):
        if source.get("secretRef") is not None and not source["secretRef"].get(field):
            yield FieldError.required(f"{path}.secretRef.{field}")


def _glusterfs(path: str, source: Source) -> Errors:
    for field in ("endpoints", "path"):
        if not source.get(field):
            yield FieldError.required(f"{path}.{field}")
    namespace = source.get("endpointsNamespace")
    where = f"{path}.endpointsNamespace"
    if namespace == "":
        detail = "if the endpointnamespace is set, it must be a valid namespace name"
        yield FieldError.invalid(where, namespace, detail)
    elif namespace is not None:
        yield from dns_label(where, namespace)


def _cinder(path: str, source: Source) -> Errors:
    if not source.get("volumeID"):
        yield FieldError.required(f"{path}.volumeID")
    yield from _named_secret(path, source)


def _azure_file(path: str, source: Source) -> Errors:
    for field in ("secretName", "shareName"):
        if not source.get(field):
            yield FieldError.required(f"{path}.{field}")
    if source.get("secretNamespace") == "":
        yield FieldError.required(f"{path}.secretNamespace")


def _storage_os(path: str, source: Source) -> Errors:
    for field in ("volumeName", "volumeNamespace"):
        if source.get(field):
            yield from dns_label(f"{path}.{field}", source[field])
        elif field == "volumeName":
            yield FieldError.required(f"{path}.{field}")
    yield from _named_secret(path, source)


def _iscsi(path: str, source: Source) -> Errors:
    yield from persistent_iscsi(path, source)
    if source.get("secretRef") is not None and not source["secretRef"].get("name"):
        yield FieldError.required(f"{path}.secretRef.name")


def _secret_reference(path: str, reference: Source) -> Errors:
    for field, rule in (("name", dns_subdomain), ("namespace", dns_label)):
        if not reference.get(field):
            yield FieldError.required(f"{path}.{field}")
        else:
            yield from rule(f"{path}.{field}", reference[field])


#: in upstream's order
_SOURCES: tuple[tuple[str, str, Callable[[str, Source], Errors]], ...] = (
    *SIMPLE_SOURCES["hostPath", "gcePersistentDisk", "awsElasticBlockStore"],
    ("glusterfs", "glusterfs", _glusterfs),
    *SIMPLE_SOURCES["flocker", "nfs", "rbd", "quobyte", "cephfs"],
    ("iscsi", "iscsi", _iscsi),
    ("cinder", "cinder", _cinder),
    *SIMPLE_SOURCES["fc", "flexVolume"],
    ("azureFile", "azureFile", _azure_file),
    *SIMPLE_SOURCES["vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO"],
    ("local", "local", _local),
    ("storageos", "storageos", _storage_os),
    ("csi", "csi", _csi),
)
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
        return list(_volume_spec("spec", obj["spec"], obj["metadata"].get("name") or ""))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: the source and the mode are fixed."""
        return [*self.validate(context, obj), *_volume_changes(obj["spec"], old["spec"])]

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Deprecated ways to make a volume."""
        return list(persistent_volume_warnings(obj))

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same."""
        return list(persistent_volume_warnings(obj))


def _volume_changes(spec: Source, old: Source) -> Errors:
    new_source, old_source = (
        {name: item[name] for name in PERSISTENT_SOURCES if item.get(name) is not None} for item in (spec, old)
    )
    if "csi" in new_source and "csi" in old_source and old_source["csi"].get("controllerExpandSecretRef") is None:
        # Who expands the volume may be said later, once.
        new_source["csi"] = {k: v for k, v in new_source["csi"].items() if k != "controllerExpandSecretRef"}
    if new_source != old_source:
        detail = f"spec.persistentvolumesource is immutable after creation\n{difference(old_source, new_source)}"
        yield FieldError.forbidden("spec.persistentvolumesource", detail)
    yield from immutable("volumeMode", spec.get("volumeMode"), old.get("volumeMode"))
    affinity, old_affinity = spec.get("nodeAffinity"), old.get("nodeAffinity")
    if old_affinity is not None and affinity not in (old_affinity, with_stable_labels(old_affinity, affinity)):
        detail = f"{IMMUTABLE}, except for updating from beta label to GA"
        yield FieldError.invalid("nodeAffinity", affinity, detail)
    if old.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        detail = "update from non-nil value to nil is forbidden"
        yield FieldError.forbidden("spec.volumeAttributesClassName", detail)


_STABLE_LABELS = {
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def with_stable_labels(old: Source, new: Source | None) -> Object:
    """The old node affinity with those beta labels renamed that the new one names by their stable names."""
    renamed: Object = copy_object(dict(old))
    terms = (renamed.get("required") or {}).get("nodeSelectorTerms") or ()
    for term, new_term in zip(terms, ((new or {}).get("required") or {}).get("nodeSelectorTerms") or (), strict=False):
        expressions = zip(term.get("matchExpressions") or (), new_term.get("matchExpressions") or (), strict=False)
        for expression, new_expression in expressions:
            if _STABLE_LABELS.get(expression.get("key") or "") == new_expression.get("key"):
                expression["key"] = new_expression["key"]
    return renamed


_PLUGINS = (
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
)


def persistent_volume_warnings(obj: Object) -> Iterator[str]:
    """Deprecated fields, labels and plugins of a volume."""
    spec = obj["spec"]
    if CLASS_ANNOTATION in (obj["metadata"].get("annotations") or {}):
        text = 'deprecated since v1.8; use "storageClassName" attribute instead'
        yield f"metadata.annotations[{CLASS_ANNOTATION}]: {text}"
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )
    yield from terms_warnings("spec.nodeAffinity.required", (spec.get("nodeAffinity") or {}).get("required"))
    for name, shown, text in _PLUGINS:
        if spec.get(name) is not None:
            yield f"spec.{shown}: {text}"


def _volume_spec(path: str, spec: Source, name: str) -> Errors:
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
    iscsi = spec.get("iscsi") or {}
    if iscsi.get("initiatorName") is not None and len(f"{name}:{iscsi.get('targetPortal') or ''}") > _PORTAL_MAX:
        yield FieldError.invalid(f"{path}.iscsi.targetportal", iscsi.get("targetPortal") or "", _PORTAL_TOO_LONG)
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
