"""Which objects the Pods of a node refer to, found by looking at the Pods themselves.

Reads are rare (a node caches what its Pods use), so nothing is indexed: a question walks the Pods of one namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from control.api.builtin_kinds import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    RESOURCE_SLICES,
    VOLUME_ATTACHMENTS,
)
from control.api.objects import ReadOnlyObject
from control.api.pods import all_containers_of, is_mirror_pod, node_name_of
from control.auth.attributes import ObjectReader

Reference = tuple[str, str]


class ReaderNodeGraph:
    """Answers from the objects the reader shows at this moment."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    def is_related(self, node_name: str, group: str, resource: str, namespace: str, name: str) -> bool:
        """Whether an object belongs to what a node runs."""
        if resource == "pods":
            pod = self._reader.find(PODS, namespace, name)
            return pod is not None and node_name_of(pod) == node_name
        if resource == "persistentvolumes":
            return self._claims_volume(node_name, name)
        if resource == "volumeattachments":
            attachment = self._reader.find(VOLUME_ATTACHMENTS, None, name)
            return attachment is not None and attachment["spec"].get("nodeName") == node_name
        if resource == "resourceslices":
            resource_slice = self._reader.find(RESOURCE_SLICES, None, name)
            return resource_slice is not None and resource_slice["spec"].get("nodeName") == node_name
        wanted = (resource, name)
        is_referenced = any(
            wanted in references_of(pod)
            for pod in self._reader.list(PODS, namespace)
            if node_name_of(pod) == node_name and not is_mirror_pod(pod)
        )
        return is_referenced or (resource == "secrets" and self._opens_volume(node_name, namespace, name))

    def _claims_volume(self, node_name: str, volume_name: str) -> bool:
        for claim in self._reader.list(PERSISTENT_VOLUME_CLAIMS):
            if (claim.get("spec") or {}).get("volumeName") != volume_name:
                continue
            metadata = claim["metadata"]
            if self.is_related(node_name, "", "persistentvolumeclaims", metadata["namespace"], metadata["name"]):
                return True
        return False

    def _opens_volume(self, node_name: str, namespace: str, secret_name: str) -> bool:
        """Whether a Secret is needed to mount the volume of a claim of the node's."""
        return any(
            (namespace, secret_name) in _volume_secrets(volume)
            and self._claims_volume(node_name, volume["metadata"]["name"])
            for volume in self._reader.list(PERSISTENT_VOLUMES)
        )


def _volume_secrets(volume: ReadOnlyObject) -> set[tuple[str, str]]:
    """The Secrets a PersistentVolume of a csi driver names for the node, as (namespace, name)."""
    source = volume["spec"].get("csi") or {}
    fields = ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef")
    references = [source[field] for field in fields if source.get(field)]
    return {(reference.get("namespace", ""), reference.get("name", "")) for reference in references}


def references_of(pod: ReadOnlyObject) -> set[Reference]:
    """Objects of its namespace a Pod refers to, as (resource, name)."""
    spec = pod["spec"]
    references: set[Reference] = {("serviceaccounts", spec.get("serviceAccountName") or "default")}
    for secret in spec.get("imagePullSecrets") or ():
        references.add(("secrets", secret.get("name", "")))
    for container in all_containers_of(pod):
        references.update(_container_references(container))
    for volume in spec.get("volumes") or ():
        references.update(_volume_references(pod, volume))
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        references.add(("resourceclaims", status.get("resourceClaimName") or ""))
    for claim in spec.get("resourceClaims") or ():
        references.add(("resourceclaims", claim.get("resourceClaimName") or ""))
    return references


def _container_references(container: ReadOnlyObject) -> Iterator[Reference]:
    for source in container.get("envFrom") or ():
        if source.get("secretRef"):
            yield "secrets", source["secretRef"].get("name", "")
        if source.get("configMapRef"):
            yield "configmaps", source["configMapRef"].get("name", "")
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom") or {}
        if origin.get("secretKeyRef"):
            yield "secrets", origin["secretKeyRef"].get("name", "")
        if origin.get("configMapKeyRef"):
            yield "configmaps", origin["configMapKeyRef"].get("name", "")


def _volume_references(pod: ReadOnlyObject, volume: dict[str, Any]) -> Iterator[Reference]:
    if volume.get("secret"):
        yield "secrets", volume["secret"].get("secretName", "")
    if volume.get("configMap"):
        yield "configmaps", volume["configMap"].get("name", "")
    if volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"]["claimName"]
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", f"{pod['metadata']['name']}-{volume['name']}"
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("secret"):
            yield "secrets", source["secret"].get("name", "")
        if source.get("configMap"):
            yield "configmaps", source["configMap"].get("name", "")
    for driver in ("csi", "cephfs", "rbd", "flexVolume", "iscsi", "scaleIO", "storageos"):
        details = volume.get(driver) or {}
        reference = details.get("nodePublishSecretRef") or details.get("secretRef") or {}
        if reference.get("name"):
            yield "secrets", reference["name"]
    if volume.get("azureFile"):
        yield "secrets", volume["azureFile"]["secretName"]
