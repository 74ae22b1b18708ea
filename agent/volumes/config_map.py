"""configMap volumes: a file per key."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from agent.volumes.protocol import VolumeError
from agent.volumes.volume_type import Files, VolumeRequest, select_files


async def collect_files(request: VolumeRequest) -> Files:
    """The files of a configMap volume."""
    return await config_map_files(request, request.spec, request.default_mode)


async def config_map_files(request: VolumeRequest, spec: Mapping[str, Any], default_mode: int) -> Files:
    """The files of a ConfigMap; also a source of projected volumes. One that is optional and missing is empty."""
    name = spec.get("name") or ""
    config_map = await request.objects.get_config_map(request.namespace, name)
    if config_map is None:
        if spec.get("optional"):
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    contents = {key: text.encode() for key, text in (config_map.get("data") or {}).items()}
    contents |= {key: base64.b64decode(text) for key, text in (config_map.get("binaryData") or {}).items()}
    return select_files(contents, spec, default_mode=default_mode, kind="config")
