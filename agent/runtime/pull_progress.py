"""How far a pull is, from the engine's messages about its layers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.runtime.protocol import PullProgress

WAITING = "Waiting"
#: the last words about a layer
FINISHED = ("Pull complete", "Already exists")
DOWNLOADING = "Downloading"
#: what follows the download of a layer
DOWNLOADED = ("Verifying Checksum", "Download complete", "Extracting", "Pull complete")


@dataclass(slots=True)
class _Layer:
    status: str = ""
    downloaded_bytes: int = 0
    size_bytes: int = 0


class PullMessages:
    """Takes in the messages of one pull (`POST /images/create`), in order."""

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}

    def add(self, message: Mapping[str, Any]) -> None:
        """One message: `{"id": layer, "status": …, "progressDetail": {"current": …, "total": …}}`."""
        status, detail = str(message.get("status") or ""), message.get("progressDetail")
        if not message.get("id") or detail is None:
            return  # about the image as a whole
        layer = self._layers.setdefault(str(message["id"]), _Layer())
        layer.status = status
        if status == DOWNLOADING:
            layer.downloaded_bytes = int(detail.get("current") or 0)
            layer.size_bytes = max(layer.size_bytes, int(detail.get("total") or 0))
        elif status in DOWNLOADED:
            layer.downloaded_bytes = layer.size_bytes

    def progress(self) -> PullProgress:
        """As far as the messages say. The size grows while layers are found out about."""
        unfinished = [layer for layer in self._layers.values() if layer.status not in FINISHED]
        return PullProgress(
            downloaded_bytes=sum(layer.downloaded_bytes for layer in self._layers.values()),
            size_bytes=sum(layer.size_bytes for layer in self._layers.values()),
            is_queued=bool(unfinished) and all(layer.status == WAITING for layer in unfinished),
        )
