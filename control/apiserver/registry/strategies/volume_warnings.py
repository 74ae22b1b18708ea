"""Warnings about a Pod's volumes: plugins that are gone, claims in templates, files that hide each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from control.api.errors import quote
from control.apiserver.registry.strategies.resource_lists import quantity

Volume = Mapping[str, Any]

#: field, its name in the warning, the warning; in upstream's order
_PLUGINS = (
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("ephemeral", "", ""),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
)


def volume_warnings(path: str, volumes: Iterable[Volume]) -> Iterator[str]:
    """Warnings about the volumes of a Pod."""
    for index, volume in enumerate(volumes):
        for field, shown, text in _PLUGINS:
            source = volume.get(field)
            if source is None:
                continue
            if field == "ephemeral":
                spec = (source.get("volumeClaimTemplate") or {}).get("spec") or {}
                yield from claim_warnings(f"{path}[{index}].ephemeral.volumeClaimTemplate.spec", spec)
            else:
                yield f"{path}[{index}].{shown}: {text}"
    for volume in volumes:
        yield from _overlaps(volume)


def claim_warnings(path: str, spec: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about a claim's spec: part of a byte cannot be stored."""
    text = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if text is not None and not quantity(text).is_whole:
        shown = quantity(text)
        yield f'{path}.resources.requests[storage]: fractional byte value "{shown}" is invalid, must be an integer'


def _overlaps(volume: Volume) -> Iterator[str]:
    name = quote(volume.get("name") or "")
    for field, kind, named_by in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        source = volume.get(field)
        if source is not None:
            title = f"volume {name} ({kind} {quote(source.get(named_by) or '')})"
            yield from _colliding(_paths(source), title)
    if volume.get("downwardAPI") is not None:
        yield from _colliding(_paths(volume["downwardAPI"]), f"volume {name} (DownwardAPI)")
    if volume.get("projected") is not None:
        yield from _projected_overlaps(name, volume["projected"])


def _paths(source: Mapping[str, Any]) -> list[str]:
    return [item.get("path") or "" for item in source.get("items") or ()]


def _projected_overlaps(name: str, projected: Mapping[str, Any]) -> Iterator[str]:
    before: set[str] = set()
    for source in projected.get("sources") or ():
        if not any(value is not None for value in source.values()):
            yield f"volume {name} (Projected) has no sources provided"
            continue
        paths: list[str] = []
        title = ""
        for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if (source.get(field) or {}).get("items"):
                paths = _paths(source[field])
                title = f"volume {name} (Projected {kind} {quote(source[field].get('name') or '')})"
        if (source.get("downwardAPI") or {}).get("items"):
            paths, title = _paths(source["downwardAPI"]), f"volume {name} (Projected DownwardAPI)"
        elif source.get("serviceAccountToken") is not None:
            paths = [source["serviceAccountToken"].get("path") or ""]
            title = f"volume {name} (Projected ServiceAccountToken)"
        if paths:
            yield from _colliding(paths, title)
            yield from _colliding(sorted([*set(paths), *before]), title)
            before |= set(paths)


def _colliding(paths: Iterable[str], title: str) -> Iterator[str]:
    seen: list[str] = []
    for path in (item.rstrip("/") for item in paths):
        other = next((item for item in seen if _collide(item, path)), None)
        if other is not None and path and "" not in seen:
            yield f"{title}: overlapping paths: {quote(path)} with {quote(other)}"
        if path not in seen:
            seen.append(path)


def _collide(first: str, second: str) -> bool:
    # Upstream compares prefixes of the texts, not of path elements.
    return first == second or f"{first}/".startswith(second) or f"{second}/".startswith(first)
