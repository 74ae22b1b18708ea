"""Rules of volumes that write API data as files: items, modes, downward API, projected sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from control.api.errors import FieldError
from control.apiserver.registry.strategies.environment_validation import (
    VOLUME_FIELD_PATHS,
    field_reference,
    resource_reference,
)
from control.apiserver.registry.strategies.field_rules import Errors, dns_subdomain, label_selector, local_path

Source = Mapping[str, Any]

_DUPLICATE = "conflicting duplicate paths"
_TOKEN_SECONDS_MIN = 600
_TOKEN_SECONDS_MAX = 1 << 32


def mode(path: str, value: int | None) -> Errors:
    """File permission bits."""
    if value is not None and not 0 <= value <= 0o777:
        yield FieldError.invalid(path, value, "must be a number between 0 and 0777 (octal), both inclusive")


def key_items(path: str, items: Iterable[Source]) -> Errors:
    """KeyToPath items of ConfigMap and Secret volumes."""
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        for field in ("key", "path"):
            if not item.get(field):
                yield FieldError.required(f"{where}.{field}")
        yield from local_path(f"{where}.path", item.get("path") or "")
        yield from mode(f"{where}.mode", item.get("mode"))


def downward_api(path: str, source: Source) -> Errors:
    """A downwardAPI volume."""
    yield from mode(f"{path}.defaultMode", source.get("defaultMode"))
    for item in source.get("items") or ():
        yield from _downward_file(path, item)


def _downward_file(path: str, item: Source) -> Errors:
    if not item.get("path"):
        yield FieldError.required(f"{path}.path")
    yield from local_path(f"{path}.path", item.get("path") or "")
    if item.get("fieldRef") is not None:
        yield from field_reference(f"{path}.fieldRef", item["fieldRef"], VOLUME_FIELD_PATHS)
        if item.get("resourceFieldRef") is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield FieldError.invalid(path, "resource", detail)
    elif item.get("resourceFieldRef") is not None:
        yield from resource_reference(f"{path}.resourceFieldRef", item["resourceFieldRef"], in_volume=True)
    else:
        yield FieldError.required(path, "one of fieldRef and resourceFieldRef is required")
    yield from mode(f"{path}.mode", item.get("mode"))


def projected(path: str, source: Source) -> Errors:
    """A projected volume: several sources, no two of them writing the same file."""
    yield from mode(f"{path}.defaultMode", source.get("defaultMode"))
    written: set[str] = set()
    for index, entry in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        for name in ("secret", "configMap"):
            if entry.get(name) is not None:
                yield from _named_items(path, f"{where}.{name}", entry[name], written)
        for item in (entry.get("downwardAPI") or {}).get("items") or ():
            yield from _downward_file(f"{where}.downwardAPI", item)
            yield from _written_once(path, item.get("path") or "", item.get("path") or "", written)
        if entry.get("serviceAccountToken") is not None:
            yield from _token(path, f"{where}.serviceAccountToken", entry["serviceAccountToken"])
        if entry.get("clusterTrustBundle") is not None:
            yield from _trust_bundle(path, f"{where}.clusterTrustBundle", entry["clusterTrustBundle"], written)
        if sum(value is not None for value in entry.values()) > 1:
            yield FieldError.forbidden(where, "may not specify more than 1 volume type per source")


def _named_items(path: str, where: str, source: Source, written: set[str]) -> Errors:
    if not source.get("name"):
        yield FieldError.required(f"{where}.name")
    for index, item in enumerate(source.get("items") or ()):
        for cause in key_items(f"{where}.items", [item]):
            yield FieldError(cause.reason, cause.field.replace("items[0]", f"items[{index}]", 1), cause.message)
        yield from _written_once(path, item.get("path") or "", source.get("name") or "", written)


def _written_once(path: str, file: str, shown: str, written: set[str]) -> Errors:
    if file and file in written:
        yield FieldError.invalid(path, shown, _DUPLICATE)
    written.add(file)


def _token(path: str, where: str, source: Source) -> Errors:
    seconds = source.get("expirationSeconds") or 0
    if seconds < _TOKEN_SECONDS_MIN:
        detail = "may not specify a duration less than 10 minutes"
        yield FieldError.invalid(f"{where}.expirationSeconds", seconds, detail)
    if seconds > _TOKEN_SECONDS_MAX:
        detail = "may not specify a duration larger than 2^32 seconds"
        yield FieldError.invalid(f"{where}.expirationSeconds", seconds, detail)
    # Upstream's path of the token's file leaves out the source.
    if not source.get("path"):
        yield FieldError.required(f"{path}.path")
    else:
        yield from local_path(f"{path}.path", source["path"])


def _trust_bundle(path: str, where: str, source: Source, written: set[str]) -> Errors:
    name, signer = source.get("name"), source.get("signerName")
    if name is not None and signer is not None:
        yield FieldError.invalid(where, dict(source), "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            yield FieldError.required(f"{where}.name", "must be a valid object name")
        yield from dns_subdomain(f"{where}.name", name.rsplit(":", 1)[-1])
        if source.get("labelSelector") is not None:
            detail = "labelSelector must be unset if name is specified"
            yield FieldError.invalid(f"{where}.labelSelector", source["labelSelector"], detail)
    elif signer is not None:
        if not signer:
            yield FieldError.required(f"{where}.signerName", "must be a valid signer name")
        yield from label_selector(f"{where}.labelSelector", source.get("labelSelector"))
    else:
        yield FieldError.required(where, "either name or signerName must be specified")
    if not source.get("path"):
        yield FieldError.required(f"{where}.path")
    yield from local_path(f"{where}.path", source.get("path") or "")
    yield from _written_once(path, source.get("path") or "", source.get("path") or "", written)
