"""ImageLocality: prefers nodes that already have the Pod's images, the more bytes and the more common the better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.scheduler.framework import SCORE_MAX, Cluster, Interest
from control.scheduler.prepared import PreparedNode, PreparedPod

_BYTES_MIN = 23 * 1024 * 1024
_BYTES_MAX_PER_CONTAINER = 1000 * 1024 * 1024


class ImageLocality:
    """Adds the sizes of the images present, scaled by the share of nodes that have them."""

    name = "ImageLocality"
    weight = 1

    def interests(self) -> Iterable[Interest]:
        """Nothing: it refuses no Pod."""
        return ()

    def score(self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster) -> Sequence[int] | None:
        """0 below 23 MiB, 100 from 1000 MiB per container."""
        if not [node for node in nodes if node.image_bytes]:
            return None
        images = [_with_tag(image) for image in pod.images]
        spread = {image: sum(image in node.image_bytes for node in nodes) for image in set(images)}
        if not any(spread.values()):
            return None
        highest = _BYTES_MAX_PER_CONTAINER * len(images)
        scores = []
        for node in nodes:
            held = node.image_bytes
            total = sum(held[image] * spread[image] // len(nodes) for image in images if image in held)
            bounded = min(max(total, _BYTES_MIN), highest)
            scores.append(SCORE_MAX * (bounded - _BYTES_MIN) // (highest - _BYTES_MIN))
        return scores


def _with_tag(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
