"""The fake engine's volumes: made by the containers that mount them, in use as long as one of those exists."""

from __future__ import annotations

from collections.abc import Iterable

from agent.runtime.protocol import CreateBody, RuntimeFailure
from agent.runtime.volume_records import VolumeRecord, mounted_volumes


class FakeVolumes:
    """Volumes by name; `mount_errors`, by name, says why one cannot be mounted."""

    def __init__(self) -> None:
        self.records: dict[str, VolumeRecord] = {}
        self.mount_errors: dict[str, str] = {}

    def make_missing(self, body: CreateBody) -> None:
        """Make the volumes that a new container names and that do not exist; one that does is left as it is."""
        for wanted in mounted_volumes(body):
            existing = self.records.setdefault(wanted.name, wanted)
            if existing.driver != wanted.driver and wanted.options:
                raise RuntimeFailure(f"conflict: volume name must be unique: {wanted.name}")

    def mount_all(self, body: CreateBody) -> None:
        """What a start does first. Raises RuntimeFailure in the engine's words."""
        for volume in mounted_volumes(body):
            if volume.name in self.mount_errors:
                raise RuntimeFailure(
                    f"error while mounting volume '{volume.mountpoint}': {self.mount_errors[volume.name]}",
                    reason="RunContainerError",
                )

    def remove(self, name: str, bodies: Iterable[CreateBody]) -> bool:
        """Remove unless one of the containers mounts it."""
        if any(volume.name == name for body in bodies for volume in mounted_volumes(body)):
            return False
        self.records.pop(name, None)
        return True
