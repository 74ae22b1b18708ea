"""Defaults of volumes, in Pods, templates and PersistentVolumes (upstream: pkg/apis/core/v1/defaults.go)."""

from __future__ import annotations

from control.api.objects import Object
from control.api.quantity import canonical_quantity
from control.apiserver.registry.strategies.image_names import default_pull_policy
from control.apiserver.registry.strategies.resource_lists import default_resource_list

FILE_MODE = 0o644


def default_volume(volume: Object) -> None:
    """Fill the defaults of one volume of a Pod; a volume without a source is an emptyDir."""
    if not any(value is not None for key, value in volume.items() if key != "name"):
        volume["emptyDir"] = {}
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        source = volume.get(name)
        if source is not None and source.get("defaultMode") is None:
            source["defaultMode"] = FILE_MODE
    default_volume_source(volume)
    _default_downward_items(volume.get("downwardAPI"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        _default_downward_items(source.get("downwardAPI"))
        token = source.get("serviceAccountToken")
        if token is not None and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = 3600
    empty_dir = volume.get("emptyDir")
    if empty_dir and empty_dir.get("sizeLimit") is not None:
        empty_dir["sizeLimit"] = canonical_quantity(str(empty_dir["sizeLimit"]))
    image = volume.get("image")
    if image is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = default_pull_policy(image.get("reference") or "")
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template is not None:
        template.setdefault("metadata", {})
        default_claim_spec(template.setdefault("spec", {}))


def _default_downward_items(source: Object | None) -> None:
    for item in (source or {}).get("items") or ():
        if item.get("fieldRef") is not None:
            item["fieldRef"].setdefault("apiVersion", "v1")
        reference = item.get("resourceFieldRef")
        if reference is not None:
            reference["divisor"] = canonical_quantity(str(reference.get("divisor") or "0"))


_SOURCE_DEFAULTS: tuple[tuple[str, tuple[tuple[str, object], ...]], ...] = (
    ("iscsi", (("iscsiInterface", "default"),)),
    ("rbd", (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring"))),
    ("azureDisk", (("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4"), ("readOnly", False))),
    ("scaleIO", (("storageMode", "ThinProvisioned"), ("fsType", "xfs"))),
)


def default_volume_source(source: Object) -> None:
    """Fill the defaults that volumes of Pods and PersistentVolumes share."""
    for name, defaults in _SOURCE_DEFAULTS:
        if source.get(name) is not None:
            for field, value in defaults:
                if source[name].get(field) in (None, ""):
                    source[name][field] = value
    if source.get("hostPath") is not None:
        source["hostPath"].setdefault("type", "")


def default_claim_spec(spec: Object) -> None:
    """Fill the defaults of a PersistentVolumeClaimSpec; dataSource and dataSourceRef mirror each other."""
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    resources = spec.setdefault("resources", {})
    default_resource_list(resources.get("limits"))
    default_resource_list(resources.get("requests"))
