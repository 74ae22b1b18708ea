"""Rules of a Pod's volumes, and of the volume sources PersistentVolumes share (upstream: validateVolumeSource)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.api.names import dns1123_subdomain_errors
from control.apiserver.registry.strategies.claim_validation import claim_template
from control.apiserver.registry.strategies.container_validation import PULL_POLICIES
from control.apiserver.registry.strategies.field_rules import Errors, dns_label, required_one_of
from control.apiserver.registry.strategies.projection_validation import (
    downward_api,
    key_items,
    mode,
    projected,
)
from control.apiserver.registry.strategies.resource_lists import quantity
from control.apiserver.registry.strategies.volume_source_validation import SIMPLE_SOURCES, by_name, one_source

Source = Mapping[str, Any]


def volumes(
    path: str, items: Sequence[Source], pod_name: str, *, is_pod: bool
) -> tuple[dict[str, Source], list[FieldError]]:
    """Judge all volumes; the valid ones are returned by name. `pod_name` is empty for templates."""
    found: dict[str, Source] = {}
    errors: list[FieldError] = []
    created = {f"{pod_name}-{v.get('name', '')}" for v in items if pod_name and v.get("ephemeral") is not None}
    for index, volume in enumerate(items):
        item, name = f"{path}[{index}]", volume.get("name", "")
        broken = list(_volume(item, volume, name, pod_name))
        if is_pod and volume.get("image") is not None and not volume["image"].get("reference"):
            broken.insert(0, FieldError.required(f"{item}.image.reference"))
        if name in found:
            broken.append(FieldError.duplicate(f"{item}.name", name))
        if not broken:
            found[name] = volume
        errors.extend(broken)
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in created:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(FieldError.invalid(f"{item}.persistentVolumeClaim.claimName", claim, detail))
    return found, errors


def _volume(path: str, volume: Source, name: str, pod_name: str) -> Errors:
    yield from one_source(path, volume, POD_SOURCES)
    if volume.get("ephemeral") is not None and pod_name and name:
        claim_name = f"{pod_name}-{name}"
        for message in dns1123_subdomain_errors(claim_name):
            yield FieldError.invalid(f"{path}.name", name, f'PVC name "{claim_name}": {message}')
    iscsi = volume.get("iscsi") or {}
    if iscsi.get("initiatorName") is not None and len(f"{name}:{iscsi.get('targetPortal', '')}") > 64:
        detail = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
            "iscsi.initiatorName is specified."
        )
        yield FieldError.invalid(f"{path}.name", name, detail)
    if not name:
        yield FieldError.required(f"{path}.name")
    else:
        yield from dns_label(f"{path}.name", name)


def _empty_dir(path: str, source: Source) -> Errors:
    if source.get("sizeLimit") is not None and quantity(source["sizeLimit"]).nanos < 0:
        yield FieldError.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _secret(path: str, source: Source) -> Errors:
    if not source.get("secretName"):
        yield FieldError.required(f"{path}.secretName")
    yield from mode(f"{path}.defaultMode", source.get("defaultMode"))
    yield from key_items(f"{path}.items", source.get("items") or ())


def _config_map(path: str, source: Source) -> Errors:
    if not source.get("name"):
        yield FieldError.required(f"{path}.name")
    yield from mode(f"{path}.defaultMode", source.get("defaultMode"))
    yield from key_items(f"{path}.items", source.get("items") or ())


def _ephemeral(path: str, source: Source) -> Errors:
    if source.get("volumeClaimTemplate") is None:
        yield FieldError.required(f"{path}.volumeClaimTemplate")
    else:
        yield from claim_template(f"{path}.volumeClaimTemplate", source["volumeClaimTemplate"])


def _image(path: str, source: Source) -> Errors:
    yield from required_one_of(f"{path}.pullPolicy", source.get("pullPolicy"), PULL_POLICIES)


#: in upstream's order, which decides which of two sources is the one too many
_SOURCES: tuple[tuple[str, str, Callable[[str, Source], Errors]], ...] = (
    ("emptyDir", "emptyDir", _empty_dir),
    *SIMPLE_SOURCES["hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore"],
    ("secret", "secret", _secret),
    *SIMPLE_SOURCES[
        "nfs", "iscsi", "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte"
    ],
    ("downwardAPI", "downwarAPI", downward_api),
    *SIMPLE_SOURCES["fc", "flexVolume"],
    ("configMap", "configMap", _config_map),
    *SIMPLE_SOURCES["azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos"],
    ("projected", "projected", projected),
    *SIMPLE_SOURCES["scaleIO", "csi"],
    ("ephemeral", "ephemeral", _ephemeral),
    ("image", "image", _image),
)
POD_SOURCES = by_name(_SOURCES)
