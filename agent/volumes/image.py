"""image volumes: the files of an image, read-only (KEP-4639). Nothing is copied: the layers the engine has are mounted.

They are the engine's own directories, so the agent must be root on its host and the engine keep its images in layers
of overlay2. The image must stay as long as the Pod: the engine does not know that it is in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.volumes.mounting import mount_overlay, mounts_below, read_only_layers
from agent.volumes.protocol import VolumeError
from agent.volumes.volume_type import VolumeRequest


def prepare(request: VolumeRequest) -> Path:
    """Mount the layers on the volume's directory; idempotent."""
    if not request.may_mount:
        raise VolumeError("image volumes not supported: the agent may not mount file systems here")
    if not request.layers:
        raise VolumeError("image volumes not supported: the engine does not keep images in layers of overlay2")
    request.path.mkdir(parents=True, exist_ok=True)
    if request.path not in mounts_below(request.path):
        # A single layer is no overlay to the kernel: an empty directory makes it one.
        empty = request.path.with_name(f"{request.path.name}.empty")
        empty.mkdir(exist_ok=True)
        mount_overlay(request.path, [*map(_short_name, request.layers), str(empty)])
    return request.path


def is_image_mounted(layers: Sequence[str]) -> bool:
    """Whether a volume shows the image of these layers, the topmost first, or one that is made upon it."""
    return bool(layers) and bool({layers[0], _short_name(layers[0])} & read_only_layers())


def _short_name(layer: str) -> str:
    """The engine's own short link to a layer: the kernel takes no more than a page of options."""
    directory = Path(layer).parent
    try:
        link = (directory / "link").read_text().strip()
    except OSError:
        return layer
    return str(directory.parent / "l" / link)
