"""What of the API a Pod's spec refers to: a static Pod may refer to nothing, as it runs without the API. Pure.

Upstream: HasAPIObjectReference (pkg/api/pod/util.go) behind PreventStaticPodAPIReferences, v1.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.pods.pod_spec import all_containers
from control.api.objects import ReadOnlyObject

_RESOURCE_OF_FIELD = {
    "configMap": "configmaps",
    "configMapRef": "configmaps",
    "configMapKeyRef": "configmaps",
    "secret": "secrets",
    "secretRef": "secrets",
    "secretKeyRef": "secrets",
    "nodePublishSecretRef": "secrets",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims",
    "clusterTrustBundle": "clustertrustbundles",
    "serviceAccountToken": "serviceaccounts",
    "podCertificate": "podcertificates",
    "csi": "csidrivers",
}


def find_api_reference(pod: ReadOnlyObject) -> str:
    """The resource of the first object that the Pod refers to, empty if it refers to none."""
    spec = pod["spec"]
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        return "serviceaccounts"
    if spec.get("imagePullSecrets"):
        return "secrets"
    if spec.get("resourceClaims"):
        return "resourceclaims"
    for container in all_containers(pod):
        for source in (*(container.get("env") or ()), *(container.get("envFrom") or ())):
            for field in _fields_of(source):
                if field in _RESOURCE_OF_FIELD:
                    return _RESOURCE_OF_FIELD[field]
    for volume in spec.get("volumes") or ():
        for field in _fields_of(volume):
            if field in _RESOURCE_OF_FIELD:
                return _RESOURCE_OF_FIELD[field]
    return ""


def _fields_of(node: Any) -> Iterator[str]:
    """The names of all fields that are set, at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if value is not None:
                yield name
                yield from _fields_of(value)
    elif isinstance(node, list):
        for item in node:
            yield from _fields_of(item)
