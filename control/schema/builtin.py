"""Schemas of the built-in kinds, read from the PyPI package `kubernetes-validate`.

The package ships upstream's OpenAPI definitions of every minor version; one folder is used by name, so that a newer
package does not change the API silently. The file is read once (about 7 ms), descriptions are dropped, and `Schema`
nodes are made when they are first walked. The packaged form is processed for a JSON-schema validator; everything it
lacks or distorts is corrected in this file: see `_CORRECTIONS`, `FIELD_DEFAULTS` and `_type_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from control.api.kinds import Kind
from control.schema.go_fields import FieldFacts, field_facts
from control.schema.metrics_definitions import METRICS_DEFINITIONS
from control.schema.structural import Presence, Schema

DEFINITIONS_FOLDER = "v1.36.0-local"
_REFERENCE_PREFIX = "#/$defs/"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
JSON_SCHEMA_PROPS = _EXTENSIONS + "JSONSchemaProps"

#: Definitions that upstream decodes by hand-written code, which the packaged file shows as bare objects or nothing.
_CORRECTIONS: Mapping[str, Mapping[str, Any]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string", "format": "quantity"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": {"type": "object", "opaque": True},
    _META + "Time": {"type": "string", "format": "date-time"},
    _META + "MicroTime": {"type": "string", "format": "micro-time"},
    _META + "FieldsV1": {"type": "object", "opaque": True},
    _META + "Patch": {"type": "object", "opaque": True},
    _EXTENSIONS + "JSON": {"type": "", "opaque": True},
    _EXTENSIONS + "JSONSchemaPropsOrArray": {"type": "", "format": "schema-or-array"},
    _EXTENSIONS + "JSONSchemaPropsOrBool": {"type": "", "format": "schema-or-bool"},
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": {"type": "", "format": "schema-or-string-array"},
}

_CORE = "io.k8s.api.core.v1."
_RBD_DEFAULTS = {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}
_SCALE_IO_DEFAULTS = {"storageMode": "ThinProvisioned", "fsType": "xfs"}
_REFERENCES_BY_NAME = (
    "ConfigMapEnvSource",
    "ConfigMapKeySelector",
    "ConfigMapProjection",
    "ConfigMapVolumeSource",
    "LocalObjectReference",
    "SecretEnvSource",
    "SecretKeySelector",
    "SecretProjection",
)

#: Field defaults of upstream's OpenAPI, which the package leaves out. In keys of lists they identify items.
FIELD_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    **{_CORE + name: {"name": ""} for name in _REFERENCES_BY_NAME},
    _CORE + "AzureDiskVolumeSource": {
        "cachingMode": "ReadWrite",
        "fsType": "ext4",
        "kind": "Shared",
        "readOnly": False,
    },
    _CORE + "ContainerPort": {"protocol": "TCP"},
    _CORE + "GRPCAction": {"service": ""},
    _CORE + "ISCSIPersistentVolumeSource": {"iscsiInterface": "default"},
    _CORE + "ISCSIVolumeSource": {"iscsiInterface": "default"},
    _CORE + "RBDPersistentVolumeSource": _RBD_DEFAULTS,
    _CORE + "RBDVolumeSource": _RBD_DEFAULTS,
    _CORE + "ScaleIOPersistentVolumeSource": _SCALE_IO_DEFAULTS,
    _CORE + "ScaleIOVolumeSource": _SCALE_IO_DEFAULTS,
    _CORE + "ServicePort": {"protocol": "TCP"},
}


class DefinitionsMissingError(RuntimeError):
    """The packaged definitions are not installed, or not in the version this server speaks."""


def definitions_path() -> Path:
    """Find the packaged definitions without importing the package (which pulls in a JSON-schema validator)."""
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise DefinitionsMissingError("cannot load API schemas: the package kubernetes-validate is not installed")
    path = Path(next(iter(spec.submodule_search_locations))) / "kubernetes-json-schema" / DEFINITIONS_FOLDER
    path /= "_definitions.json"
    if not path.is_file():
        raise DefinitionsMissingError(f"cannot load API schemas: kubernetes-validate has no {path.parent.name} folder")
    return path


def load_definitions() -> dict[str, dict[str, Any]]:
    """Read the definitions as packaged, and those the package lacks, descriptions included.

    Not kept: documents that need them are rare.
    """
    definitions: dict[str, dict[str, Any]] = orjson.loads(definitions_path().read_bytes())["$defs"]
    return {**definitions, **deepcopy(METRICS_DEFINITIONS)}


@cache
def _definitions() -> dict[str, dict[str, Any]]:
    """Definitions of released versions, without descriptions, for the life of the process."""
    kept = {name: raw for name, raw in load_definitions().items() if not _is_prerelease(name)}
    for raw in kept.values():
        raw.pop("description", None)
        for field in raw.get("properties", {}).values():
            field.pop("description", None)
    return kept


def _is_prerelease(name: str) -> bool:
    version = name.split(".")[-2]
    return "alpha" in version or "beta" in version


@cache
def definition_schema(name: str) -> Schema:
    """Return the schema of a definition by upstream's name, e.g. `io.k8s.api.core.v1.Pod`. KeyError if unknown."""
    correction = _CORRECTIONS.get(name)
    if correction is not None:
        schema = Schema(definition=name, **correction)
        if schema.format.startswith("schema-or-"):
            schema.resolve_items = lambda: definition_schema(JSON_SCHEMA_PROPS)
        return schema
    return _make_schema(_definitions()[name], definition=name)


def schema_of(kind: Kind) -> Schema:
    """Return the schema of a built-in kind."""
    return definition_schema(kind.definition)


def _type_of(raw: Mapping[str, Any]) -> str:
    """Undo the package's `[type, null]`: the server takes null for absent everywhere, so it says nothing."""
    declared = raw.get("type", "")
    return str(declared[0] if isinstance(declared, list) else declared)


def _make_schema(raw: Mapping[str, Any], *, definition: str = "", facts: FieldFacts | None = None) -> Schema:
    reference = raw.get("$ref")
    target = definition_schema(reference.removeprefix(_REFERENCE_PREFIX)) if reference else None
    schema = Schema(
        type=target.type if target else _type_of(raw),
        format=target.format if target else raw.get("format", ""),
        definition=target.definition if target else definition,
        required=target.required if target else tuple(raw.get("required", ())),
        opaque=target.opaque if target else False,
        list_type=raw.get("x-kubernetes-list-type", "atomic"),
        list_map_keys=tuple(raw.get("x-kubernetes-list-map-keys", ())),
        map_type=raw.get("x-kubernetes-map-type", target.map_type if target else "granular"),
        merge_key=raw.get("x-kubernetes-patch-merge-key", ""),
        patch_strategies=tuple(part for part in raw.get("x-kubernetes-patch-strategy", "").split(",") if part),
        presence=facts.presence if facts else Presence.OPTIONAL,
        go_type=facts.go_type if facts else "",
    )
    _set_children(schema, raw, target, facts)
    return schema


def _set_children(schema: Schema, raw: Mapping[str, Any], target: Schema | None, facts: FieldFacts | None) -> None:
    if target is not None:
        schema.resolve_properties = lambda: target.properties
        if target.resolve_items:
            schema.resolve_items = lambda: target.items or target
        return
    if "properties" in raw:
        properties: Mapping[str, Mapping[str, Any]] = raw["properties"]
        schema.resolve_properties = lambda: _make_properties(schema.definition, properties)
    if "items" in raw:
        items: Mapping[str, Any] = raw["items"]
        schema.resolve_items = lambda: _make_schema(items, facts=facts.items if facts else None)
    additional = raw.get("additionalProperties")
    if isinstance(additional, dict):
        schema.resolve_additional = lambda: _make_schema(additional, facts=facts.items if facts else None)


def _make_properties(definition: str, properties: Mapping[str, Mapping[str, Any]]) -> dict[str, Schema]:
    facts = field_facts(definition)
    defaults = FIELD_DEFAULTS.get(definition, {})
    result = {}
    for name, raw in properties.items():
        schema = _make_schema(raw, facts=facts.get(name))
        if name in defaults:
            schema.default = defaults[name]
            schema.has_default = True
        result[name] = schema
    return result
