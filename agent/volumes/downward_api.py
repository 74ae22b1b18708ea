"""downwardAPI volumes: fields of the Pod and resources of its containers as files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.volumes.atomic_writer import FileContent
from agent.volumes.protocol import VolumeError
from agent.volumes.volume_type import Files, VolumeRequest
from control.api.objects import ReadOnlyObject
from control.api.pods import all_containers_of
from control.api.quantity import parse_quantity

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(?P<key>[^']*)'\]")


async def collect_files(request: VolumeRequest) -> Files:
    """The files of a downwardAPI volume."""
    return downward_api_files(request, request.spec.get("items") or (), request.default_mode)


def downward_api_files(request: VolumeRequest, items: Sequence[Mapping[str, Any]], default_mode: int) -> Files:
    """A file per item; also a source of projected volumes."""
    files: Files = {}
    for item in items:
        if item.get("fieldRef"):
            text = field_text(request.pod, item["fieldRef"]["fieldPath"])
        else:
            text = resource_text(request.pod, item.get("resourceFieldRef") or {}, request.node_allocatable)
        mode = item.get("mode")
        files[item["path"]] = FileContent(data=text.encode(), mode=default_mode if mode is None else int(mode))
    return files


def field_text(pod: ReadOnlyObject, path: str) -> str:
    """A metadata field as text; maps are `key="value"` lines sorted by key."""
    metadata = pod["metadata"]
    match = _SUBSCRIPT.fullmatch(path)
    if match:
        return str((metadata.get(match[1]) or {}).get(match["key"], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = metadata.get(path.removeprefix("metadata.")) or {}
        return "\n".join(f"{key}={json.dumps(entries[key], ensure_ascii=False)}" for key in sorted(entries))
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(metadata.get(path.removeprefix("metadata."), ""))
    raise VolumeError(f"unsupported fieldPath: {path}")


def resource_text(pod: ReadOnlyObject, selector: Mapping[str, Any], node_allocatable: Mapping[str, str]) -> str:
    """A request or limit in units of the divisor, rounded up. A limit that is not set is what the node has."""
    name = selector.get("containerName")
    container = next((one for one in all_containers_of(pod) if one["name"] == name), None)
    if container is None:
        raise VolumeError(f"container {name} not found")
    kind, _, resource = str(selector.get("resource", "")).partition(".")
    if kind not in ("limits", "requests"):
        raise VolumeError(f"unsupported container resource: {selector.get('resource')}")
    amounts = (container.get("resources") or {}).get(kind) or {}
    default = node_allocatable.get(resource, "0") if kind == "limits" else "0"
    amount = parse_quantity(str(amounts.get(resource) or default)).nanos
    divisor = parse_quantity(str(selector.get("divisor") or "1")).nanos or parse_quantity("1").nanos
    return str(-(-amount // divisor))
