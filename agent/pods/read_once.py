"""A `ConfigurationSource` that asks for each object once: for a sweep over Pods that mount the same ones."""

from __future__ import annotations

from agent.volumes.protocol import ConfigurationSource
from control.api.objects import ReadOnlyObject


class ReadOnce:
    """Remembers what it has read; live it no longer than the sweep."""

    def __init__(self, source: ConfigurationSource) -> None:
        self._source = source
        self._config_maps: dict[tuple[str, str], ReadOnlyObject | None] = {}
        self._secrets: dict[tuple[str, str], ReadOnlyObject | None] = {}

    async def get_config_map(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """The ConfigMap, or None."""
        key = (namespace, name)
        if key not in self._config_maps:
            self._config_maps[key] = await self._source.get_config_map(namespace, name)
        return self._config_maps[key]

    async def get_secret(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """The Secret, or None."""
        key = (namespace, name)
        if key not in self._secrets:
            self._secrets[key] = await self._source.get_secret(namespace, name)
        return self._secrets[key]
