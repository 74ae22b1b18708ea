"""metav1.PartialObjectMetadata: what clients that only care for metadata ask for."""

from __future__ import annotations

from control.api.objects import Object, ReadOnlyObject

#: Fields of a newer version that an older one shows as annotations. Upstream's internal objects do not have them.
ANNOTATIONS_OF_VERSIONS = frozenset(
    {
        "deprecated.daemonset.template.generation",
        "autoscaling.alpha.kubernetes.io/behavior",
        "autoscaling.alpha.kubernetes.io/conditions",
        "autoscaling.alpha.kubernetes.io/current-metrics",
        "autoscaling.alpha.kubernetes.io/metrics",
    }
)


def metadata_only(obj: ReadOnlyObject, version: str) -> Object:
    """A PartialObjectMetadata: what upstream keeps of the object, without the annotations a served version adds."""
    metadata: Object = obj["metadata"]
    annotations = metadata.get("annotations")
    if annotations and not ANNOTATIONS_OF_VERSIONS.isdisjoint(annotations):
        kept = {name: text for name, text in annotations.items() if name not in ANNOTATIONS_OF_VERSIONS}
        metadata = {name: value for name, value in metadata.items() if name != "annotations" or kept}
        if kept:
            metadata["annotations"] = kept
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata}
