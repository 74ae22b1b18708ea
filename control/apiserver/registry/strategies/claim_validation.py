"""Rules of PersistentVolumeClaim specs, alone and inside templates (upstream: ValidatePersistentVolumeClaimSpec)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.api.names import dns1123_subdomain_errors
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    annotation_keys,
    dns_label,
    dns_subdomain,
    judged,
    label_selector,
    label_values,
    one_of,
)
from control.apiserver.registry.strategies.resource_lists import positive_quantity, resource_value

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")

Spec = Mapping[str, Any]

#: what a claim template may not say, in the order of upstream's record; shown as its Go name in lower camel case
_METADATA_FIELDS = {
    "name": "name",
    "generateName": "generateName",
    "namespace": "namespace",
    "selfLink": "selfLink",
    "uid": "uID",
    "resourceVersion": "resourceVersion",
    "generation": "generation",
    "creationTimestamp": "creationTimestamp",
    "deletionTimestamp": "deletionTimestamp",
    "deletionGracePeriodSeconds": "deletionGracePeriodSeconds",
    "ownerReferences": "ownerReferences",
    "finalizers": "finalizers",
    "managedFields": "managedFields",
}


def access_modes(path: str, modes: Sequence[str]) -> Errors:
    """Known modes; ReadWriteOncePod stands alone."""
    for mode in modes:
        yield from one_of(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and any(mode in ACCESS_MODES[:3] for mode in modes):
        yield FieldError.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def claim_spec(path: str, spec: Spec, *, free_groups: bool = False) -> Errors:
    """A PersistentVolumeClaimSpec; `free_groups` lets the API groups of sources be any text."""
    if not spec.get("accessModes"):
        yield FieldError.required(f"{path}.accessModes", "at least 1 access mode is required")
    yield from label_selector(f"{path}.selector", spec.get("selector"))
    yield from access_modes(f"{path}.accessModes", spec.get("accessModes") or ())
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        yield FieldError.required(f"{path}.resources[storage]")
    else:
        broken = list(positive_quantity(f"{path}.resources[storage]", storage))
        yield from broken or resource_value(f"{path}.resources[storage]", "storage", storage)
    if spec.get("storageClassName"):
        yield from dns_subdomain(f"{path}.storageClassName", spec["storageClassName"])
    if spec.get("volumeMode") is not None:
        yield from one_of(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    yield from _sources(path, spec, free_groups=free_groups)
    if spec.get("volumeAttributesClassName"):
        yield from dns_subdomain(f"{path}.volumeAttributesClassName", spec["volumeAttributesClassName"])


def _sources(path: str, spec: Spec, *, free_groups: bool) -> Errors:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for name, value in (("dataSource", source), ("dataSourceRef", reference)):
        if value is not None:
            yield from _source(f"{path}.{name}", value, free_groups=free_groups)
    if source is None or reference is None:
        return
    # Upstream prints the path object itself as the bad value.
    shown: dict[str, str] = {}
    if reference.get("namespace"):
        detail = "may not be specified when dataSourceRef.namespace is specified"
        yield FieldError.invalid(path, shown, detail)
    elif any(source.get(field) != reference.get(field) for field in ("apiGroup", "kind", "name")):
        yield FieldError.invalid(path, shown, "must match dataSourceRef")


def _source(path: str, value: Spec, *, free_groups: bool) -> Errors:
    for field in ("name", "kind"):
        if not value.get(field):
            yield FieldError.required(f"{path}.{field}")
    group = value.get("apiGroup") or ""
    if not group and value.get("kind") != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield FieldError.invalid(path, value.get("kind") or "", detail)
    if group and not free_groups:
        yield from judged(f"{path}.apiGroup", group, dns1123_subdomain_errors)
    if value.get("namespace"):
        yield from dns_label(f"{path}.namespace", value["namespace"])


def claim_template(path: str, template: Spec) -> Errors:
    """A claim template of an ephemeral volume: only labels and annotations of its metadata count."""
    metadata = template.get("metadata") or {}
    yield from annotation_keys(f"{path}.metadata.annotations", metadata.get("annotations"))
    yield from label_values(f"{path}.metadata.labels", metadata.get("labels"))
    for field, shown in _METADATA_FIELDS.items():
        if metadata.get(field):
            yield FieldError.forbidden(f"{path}.metadata.{shown}", "cannot be set")
    yield from claim_spec(f"{path}.spec", template.get("spec") or {})
