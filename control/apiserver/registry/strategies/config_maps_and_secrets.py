"""Strategies of ConfigMaps and Secrets (upstream: ValidateConfigMap, ValidateSecret)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError, quote
from control.api.names import config_map_key_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import Errors, immutable, is_empty, judged
from control.apiserver.registry.strategy import FieldLabels, Strategy, WriteContext

SIZE_MAX = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"


class ConfigMapStrategy(Strategy):
    """Rules of ConfigMaps."""

    has_generation = False

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge keys and size."""
        errors: list[FieldError] = []
        text, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        size = sum(len((value or "").encode()) for value in text.values())
        size += sum(decoded_size(value) for value in binary.values())
        for key in sorted(text):
            errors.extend(judged(f"data[{key}]", key, config_map_key_errors))
            if key in binary:
                errors.append(FieldError.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        for key in sorted(binary):
            errors.extend(judged(f"binaryData[{key}]", key, config_map_key_errors))
        if size > SIZE_MAX:
            # The whole object is at fault: upstream's empty path prints as brackets.
            errors.append(FieldError.too_long("[]", SIZE_MAX))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change; an immutable ConfigMap stays what it is."""
        return [*_frozen(obj, old, ("data", "binaryData")), *self.validate(context, obj)]


def _frozen(obj: Object, old: Object, fields: tuple[str, ...]) -> Errors:
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield FieldError.forbidden("immutable", _FROZEN)
    for field in fields:
        if obj.get(field) != old.get(field) and not (is_empty(obj.get(field)) and is_empty(old.get(field))):
            yield FieldError.forbidden(field, _FROZEN)


def decoded_size(text: str | None) -> int:
    """Bytes that a base64 text stands for."""
    text = text or ""
    return len(text) * 3 // 4 - text.count("=", -2)


class SecretStrategy(Strategy):
    """Rules of Secrets, per type."""

    has_generation = False
    field_labels = FieldLabels.of("type")

    def default(self, obj: Object) -> None:
        """The type is Opaque unless told; `stringData` is written into `data`."""
        if not obj.get("type"):
            obj["type"] = "Opaque"
        plain = obj.pop("stringData", None)
        if plain:
            encoded = {key: base64.b64encode((value or "").encode()).decode() for key, value in plain.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge keys, size and what the type demands."""
        entries = obj.get("data") or {}
        errors = [error for key in sorted(entries) for error in judged(f"data[{key}]", key, config_map_key_errors)]
        if sum(decoded_size(value) for value in entries.values()) > SIZE_MAX:
            errors.append(FieldError.too_long("data", SIZE_MAX))
        return errors + list(_type_rules(obj, entries))

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """A write that leaves the type out keeps it."""
        if not obj.get("type"):
            obj["type"] = old.get("type")

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change; the type never changes, an immutable Secret stays what it is."""
        errors = list(immutable("type", obj.get("type"), old.get("type")))
        return [*errors, *_frozen(obj, old, ("data",)), *self.validate(context, obj)]

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Fields a field selector can name."""
        return {"type": obj.get("type") or ""}


_DOCKER_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}
_ACCOUNT_NAME = "kubernetes.io/service-account.name"


def _type_rules(obj: Object, entries: Mapping[str, Any]) -> Errors:
    kind = obj.get("type") or ""
    if kind == "kubernetes.io/service-account-token":
        if not ((obj.get("metadata") or {}).get("annotations") or {}).get(_ACCOUNT_NAME):
            yield FieldError.required(f"metadata.annotations[{_ACCOUNT_NAME}]")
    elif kind in _DOCKER_KEYS:
        yield from _json_entry(_DOCKER_KEYS[kind], entries)
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in entries and "password" not in entries:
            yield FieldError.required("data[username]")
            yield FieldError.required("data[password]")
    elif kind == "kubernetes.io/ssh-auth":
        if not entries.get("ssh-privatekey"):
            yield FieldError.required("data[ssh-privatekey]")
    elif kind == "kubernetes.io/tls":
        for key in ("tls.crt", "tls.key"):
            if key not in entries:
                yield FieldError.required(f"data[{key}]")


def _json_entry(key: str, entries: Mapping[str, Any]) -> Errors:
    if key not in entries:
        yield FieldError.required(f"data[{key}]")
        return
    problem = _json_problem(entries[key] or "")
    if problem:
        yield FieldError.invalid(f"data[{key}]", "<secret contents redacted>", problem)


def _json_problem(encoded: str) -> str:
    """Why the text is no JSON object, in the words of Go's decoder."""
    try:
        text = base64.b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "invalid character"
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].strip()
        if not rest or error.msg.startswith("Unterminated"):
            return "unexpected end of JSON input"
        shown = quote(rest[0])[1:-1]
        return f"invalid character '{shown}' looking for beginning of value"
    if value is None or isinstance(value, dict):
        return ""
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
    return f"json: cannot unmarshal {names[type(value)]} into Go value of type map[string]interface {{}}"
