"""Objects over dicts, and Pods that mount volumes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from control.api.objects import Object, ReadOnlyObject


class FakeObjects:
    """What an agent reads of the API, by name; tokens are numbered."""

    def __init__(self) -> None:
        self.config_maps: dict[str, Object] = {}
        self.secrets: dict[str, Object] = {}
        self.claims: dict[str, Object] = {}
        self.volumes: dict[str, Object] = {}
        self.runtime_classes: dict[str, Object] = {}
        self.tokens_made: list[tuple[str, tuple[str, ...], int]] = []

    def set_config_map(self, name: str, data: dict[str, str], binary: dict[str, bytes] | None = None) -> None:
        encoded = {key: base64.b64encode(value).decode() for key, value in (binary or {}).items()}
        self.config_maps[name] = {"data": data, "binaryData": encoded}

    def set_secret(self, name: str, data: dict[str, bytes]) -> None:
        self.secrets[name] = {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}

    async def get_config_map(self, namespace: str, name: str) -> ReadOnlyObject | None:
        return self.config_maps.get(name)

    async def get_secret(self, namespace: str, name: str) -> ReadOnlyObject | None:
        return self.secrets.get(name)

    async def get_claim(self, namespace: str, name: str) -> ReadOnlyObject | None:
        return self.claims.get(name)

    async def get_volume(self, name: str) -> ReadOnlyObject | None:
        return self.volumes.get(name)

    async def get_runtime_class(self, name: str) -> ReadOnlyObject | None:
        return self.runtime_classes.get(name)

    async def create_token(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Sequence[str],
        expiration_seconds: int,
        pod: ReadOnlyObject,
    ) -> str:
        self.tokens_made.append((service_account, tuple(audiences), expiration_seconds))
        return f"token-{len(self.tokens_made)}"


def make_pod(*volumes: dict[str, Any], **spec: Any) -> Object:
    """A Pod with these volumes and one container that mounts all of them."""
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    containers = spec.pop("containers", [{"name": "main", "image": "i", "volumeMounts": mounts}])
    metadata = {
        "name": "web",
        "namespace": "shop",
        "uid": "uid-1",
        "labels": {"b": 'say "hi"', "a": "1"},
        "annotations": {"note": "x"},
    }
    return {"metadata": metadata, "spec": {"containers": containers, "volumes": list(volumes), **spec}}
