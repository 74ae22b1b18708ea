"""DefaultStorageClass and StorageObjectInUseProtection: what claims and volumes get when they are made."""

from __future__ import annotations

from control.api.builtin_kinds import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    VOLUME_ATTRIBUTES_CLASSES,
)
from control.api.quantity import parse_quantity
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.default_class import newest_default
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of, refusal

_DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass(Plugin):
    """Upstream: plugin/pkg/admission/storage/storageclass/setdefault."""

    name = "DefaultStorageClass"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def admit(self, attributes: Attributes) -> None:
        """A claim that names no class gets the default one, if there is one."""
        if not is_write_of(attributes, PERSISTENT_VOLUME_CLAIMS, "CREATE"):
            return
        claim = attributes.object
        assert claim is not None
        annotations = claim["metadata"].get("annotations") or {}
        if claim["spec"].get("storageClassName") is not None or _CLASS_ANNOTATION in annotations:
            return
        chosen = newest_default(self._reader.list(STORAGE_CLASSES), _DEFAULT_ANNOTATIONS)
        if chosen is not None:
            claim["spec"]["storageClassName"] = chosen["metadata"]["name"]


class StorageObjectInUseProtection(Plugin):
    """Upstream: plugin/pkg/admission/storage/storageobjectinuseprotection."""

    name = "StorageObjectInUseProtection"

    async def admit(self, attributes: Attributes) -> None:
        """Add the finalizer that keeps a claim or volume while it is used."""
        for kind, finalizer in (
            (PERSISTENT_VOLUME_CLAIMS, "kubernetes.io/pvc-protection"),
            (PERSISTENT_VOLUMES, "kubernetes.io/pv-protection"),
            (VOLUME_ATTRIBUTES_CLASSES, "kubernetes.io/vac-protection"),
        ):
            if is_write_of(attributes, kind, "CREATE"):
                assert attributes.object is not None
                metadata = attributes.object["metadata"]
                finalizers = metadata.get("finalizers") or []
                if finalizer not in finalizers:
                    metadata["finalizers"] = [*finalizers, finalizer]


class PersistentVolumeClaimResize(Plugin):
    """Upstream: plugin/pkg/admission/storage/persistentvolume/resize."""

    name = "PersistentVolumeClaimResize"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def validate(self, attributes: Attributes) -> None:
        """A claim grows only where its class allows it."""
        if not is_write_of(attributes, PERSISTENT_VOLUME_CLAIMS, "UPDATE"):
            return
        claim, old = attributes.object, attributes.old_object
        assert claim is not None
        assert old is not None
        sizes = [
            parse_quantity(str(((item["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")))
            for item in (claim, old)
        ]
        if sizes[0].nanos <= sizes[1].nanos:
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise refusal(attributes, "Only bound persistent volume claims can be expanded")
        name = claim["spec"].get("storageClassName")
        storage_class = self._reader.find(STORAGE_CLASSES, None, name) if name else None
        if storage_class is None or not storage_class.get("allowVolumeExpansion"):
            detail = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
                "must support resize"
            )
            raise refusal(attributes, detail)
