"""Fields behind feature gates that v1.36 leaves off: a write that names them is accepted, and they vanish.

The schemas know these fields because kube-apiserver publishes them whatever its gates say; upstream's strategies drop
them (pkg/api/pod/util.go, DropDisabledPodFields).
"""

from __future__ import annotations

from control.api.objects import Object

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
#: gates ClusterTrustBundleProjection and PodCertificateRequest
_PROJECTIONS = ("clusterTrustBundle", "podCertificate")


def drop_disabled_pod_fields(spec: Object) -> None:
    """Drop from a Pod spec what no default cluster of v1.36 keeps."""
    spec.pop("schedulingGroup", None)  # gate GenericWorkload
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            for name in _PROJECTIONS:
                source.pop(name, None)
    for name in _CONTAINER_LISTS:
        for container in spec.get(name) or ():
            lifecycle = container.get("lifecycle")
            if lifecycle:
                lifecycle.pop("stopSignal", None)  # gate ContainerStopSignals
