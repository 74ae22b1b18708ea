"""secret volumes: a file per key, in memory only where the agent may mount."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from agent.volumes.protocol import VolumeError
from agent.volumes.volume_type import Files, VolumeRequest, select_files


async def collect_files(request: VolumeRequest) -> Files:
    """The files of a secret volume, whose field is called `secretName`."""
    spec = {**request.spec, "name": request.spec.get("secretName")}
    return await secret_files(request, spec, request.default_mode)


async def secret_files(request: VolumeRequest, spec: Mapping[str, Any], default_mode: int) -> Files:
    """The files of a Secret; also a source of projected volumes. One that is optional and missing is empty."""
    name = spec.get("name") or ""
    secret = await request.objects.get_secret(request.namespace, name)
    if secret is None:
        if spec.get("optional"):
            return {}
        raise VolumeError(f'secret "{name}" not found')
    contents = {key: base64.b64decode(text) for key, text in (secret.get("data") or {}).items()}
    return select_files(contents, spec, default_mode=default_mode, kind="secret")
