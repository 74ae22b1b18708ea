"""Decoding of request objects: types, unknown and duplicate fields, pruning and normalisation, as upstream does it.

`decode_object` is called for every body of a create or update, `decode_value` for the result of a patch. Both return
a fresh object: nothing of the input is shared but opaque values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import orjson

from control.api.errors import ApiError, bad_request
from control.api.kinds import Kind
from control.api.objects import Object
from control.api.records import record
from control.schema.decode_errors import DecodeError, Pairs, WrittenFloat, explain
from control.schema.decoder import Findings, MismatchError, decoder_of
from control.schema.structural import Schema

_MEMBER = re.compile(rb'"\s*:')

__all__ = [
    "DecodeError",
    "Decoded",
    "decode_object",
    "decode_value",
    "duplicate_fields",
    "enforce_field_validation",
    "strict_failure",
]


@record(frozen=True, slots=True)
class Decoded:
    """A decoded object. `strict_errors` holds `unknown field "spec.foo"` and `duplicate field "data"` texts."""

    object: Object
    strict_errors: tuple[str, ...] = ()


#: Python refuses to convert much longer ones.
_INTEGER_DIGITS_MAX = 4000


def decode_value(obj: Object, schema: Schema, *, body: bytes = b"") -> Decoded:
    """Decode against a schema. Raises DecodeError with upstream's words for the first value of a wrong type.

    `body` is the JSON text the object was parsed from, where there is one: duplicate fields show only there, and as
    upstream reads the later one into the earlier one, objects given twice are merged.
    """
    written = _read_pairs(body) if body and _may_have_duplicates(obj, body) else None
    value = obj if written is None else _merge_pairs(written)
    findings = Findings()
    try:
        decoded = decoder_of(schema)(value, findings)
    except MismatchError:
        raise DecodeError(explain(_as_written(obj, body), schema).error) from None
    if findings.has_unknown_fields or written is not None:
        return Decoded(decoded, explain(_as_written(obj, body), schema).strict_errors)
    return Decoded(decoded)


def duplicate_fields(value: Any, body: bytes) -> list[str]:
    """Say which members a JSON text has more than once in one object, whatever its schema."""
    if isinstance(value, dict | list) and not _may_have_duplicates(value, body):
        return []
    found: dict[str, None] = {}
    _find_duplicates(_read_pairs(body), "", found)
    return list(found)


def _find_duplicates(value: object, path: str, found: dict[str, None]) -> None:
    if isinstance(value, Pairs):
        seen: set[str] = set()
        for name, item in value:
            place = f"{path}.{name}" if path else name
            if name in seen:
                found[f'duplicate field "{place}"'] = None
            seen.add(name)
            _find_duplicates(item, place, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _find_duplicates(item, f"{path}[{index}]", found)


def decode_object(obj: Object, schema: Schema, *, kind: Kind, body: bytes = b"") -> Decoded:
    """Decode a request body of the given kind. Raises ApiError (400)."""
    try:
        return decode_value(obj, schema, body=body)
    except DecodeError as error:
        raise _cannot_be_handled(kind, str(error)) from None


def enforce_field_validation(decoded: Decoded, mode: str, *, kind: Kind) -> list[str]:
    """Apply `fieldValidation`: return the warnings of Warn (the default, also for ""), raise ApiError for Strict."""
    if not decoded.strict_errors or mode == "Ignore":
        return []
    if mode == "Strict":
        raise _cannot_be_handled(kind, strict_failure(decoded.strict_errors))
    return list(decoded.strict_errors)


def strict_failure(strict_errors: Sequence[str]) -> str:
    """Word all unknown and duplicate fields as one error."""
    return "strict decoding error: " + ", ".join(strict_errors)


def _cannot_be_handled(kind: Kind, problem: str) -> ApiError:
    return bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {problem}')


def _may_have_duplicates(obj: Object | list[Any], body: bytes) -> bool:
    """Tell cheaply. Never says no wrongly: a text that equals its own encoding has none, nor one with as many colons
    after quotes as there are members."""
    with suppress(orjson.JSONEncodeError):  # of numbers that are too large for it
        if orjson.dumps(obj) == body.rstrip():
            return False
    return len(_MEMBER.findall(body)) != _count_members(obj)


def _count_members(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_count_members(item) for item in value.values() if isinstance(item, dict | list))
    if isinstance(value, list):
        return sum(_count_members(item) for item in value if isinstance(item, dict | list))
    return 0


def _read_pairs(body: bytes) -> object:
    return json.loads(body, object_pairs_hook=Pairs, parse_float=WrittenFloat, parse_int=_read_integer)


def _read_integer(digits: str) -> int | WrittenFloat:
    return int(digits) if len(digits) < _INTEGER_DIGITS_MAX else WrittenFloat(digits)


def _as_written(obj: Object, body: bytes) -> object:
    return _read_pairs(body) if body else obj


def _merge_pairs(value: object) -> Any:
    if isinstance(value, Pairs):
        merged: Object = {}
        for name, item in value:
            plain = _merge_pairs(item)
            if isinstance(plain, dict) and isinstance(merged.get(name), dict):
                _merge_into(merged[name], plain)
            else:
                merged[name] = plain
        return merged
    if isinstance(value, list):
        return [_merge_pairs(item) for item in value]
    return float(value) if isinstance(value, WrittenFloat) else value


def _merge_into(target: Object, source: Object) -> None:
    for name, item in source.items():
        if isinstance(item, dict) and isinstance(target.get(name), dict):
            _merge_into(target[name], item)
        else:
            target[name] = item
