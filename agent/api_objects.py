"""What the agent reads from the API for its Pods: ConfigMaps, Secrets, claims, tokens. Always fresh, never cached."""

from __future__ import annotations

from collections.abc import Sequence

from control.api.builtin_kinds import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    RUNTIME_CLASSES,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from control.api.objects import ReadOnlyObject
from control.client.client import Client


class ApiObjects:
    """Implements `ObjectSource` of the volumes and `RuntimeClassSource` of the Pods."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get_config_map(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """The ConfigMap, or None."""
        return await self._client.find(CONFIG_MAPS, name, namespace=namespace)

    async def get_secret(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """The Secret, or None."""
        return await self._client.find(SECRETS, name, namespace=namespace)

    async def get_claim(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """The PersistentVolumeClaim, or None."""
        return await self._client.find(PERSISTENT_VOLUME_CLAIMS, name, namespace=namespace)

    async def get_volume(self, name: str) -> ReadOnlyObject | None:
        """The PersistentVolume, or None."""
        return await self._client.find(PERSISTENT_VOLUMES, name)

    async def get_runtime_class(self, name: str) -> ReadOnlyObject | None:
        """The RuntimeClass, or None."""
        return await self._client.find(RUNTIME_CLASSES, name)

    async def create_token(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Sequence[str],
        expiration_seconds: int,
        pod: ReadOnlyObject,
    ) -> str:
        """A token bound to the Pod (TokenRequest)."""
        metadata = pod["metadata"]
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": list(audiences),
                "expirationSeconds": expiration_seconds,
                "boundObjectRef": {
                    "kind": "Pod",
                    "apiVersion": "v1",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        }
        answer = await self._client.create_subresource(
            SERVICE_ACCOUNTS, service_account, "token", request, namespace=namespace
        )
        return str(answer["status"]["token"])
