"""The body of a patch: read once, applied as often as the compare-and-swap loop asks.

What is wrong with a body is told when it is applied: a patch of an object that does not exist is `404` whatever it
says. Unless the client ignores unknown fields, upstream reads bodies with its strict decoder, which words errors
otherwise than the libraries that apply them, and finds fields given twice.
"""

from __future__ import annotations

from typing import Any

from control.api.errors import ApiError, bad_request
from control.api.objects import Object
from control.api.records import record
from control.apiserver.go_json import GoJsonError, json_kind, parse_json
from control.apiserver.patch.json_patch import apply_json_patch
from control.apiserver.patch.merge_patch import INVALID_MERGE_PATCH, apply_merge_patch
from control.apiserver.patch.strategic_merge import apply_strategic_merge_patch
from control.schema.structural import Schema
from control.schema.validate import duplicate_fields

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

_OPERATION_FIELDS = ("op", "path", "from", "value")
_ANY_OBJECT = "map[string]interface {}"


@record(frozen=True, slots=True)
class PatchBody:
    """A patch. `problem` says what is wrong with it, `strict_errors` what a strict reader minds."""

    media_type: str
    value: Any = None
    strict_errors: tuple[str, ...] = ()
    problem: ApiError | None = None

    def apply(self, document: Object, schema: Schema) -> Any:
        """Return the patched document, which a patch may have made anything. Raises what upstream answers.

        The given document is the caller's own and is used up; the body can be applied again.
        """
        if self.problem is not None:
            raise self.problem
        if self.media_type == JSON_PATCH:
            return apply_json_patch(document, self.value)
        if self.media_type == MERGE_PATCH:
            return apply_merge_patch(document, self.value)
        return apply_strategic_merge_patch(document, _with_whole_numbers(self.value), schema)


def read_patch_body(body: bytes | Object, media_type: str, *, is_strict: bool) -> PatchBody:
    """Read a body; `is_strict` unless the request ignores unknown fields. In process it is read already."""
    if not isinstance(body, bytes):
        return PatchBody(media_type, body)
    try:
        value, text = parse_json(body)
    except GoJsonError as error:
        return PatchBody(media_type, problem=_syntax_problem(media_type, str(error), is_strict=is_strict))
    if media_type == STRATEGIC_MERGE_PATCH or is_strict:
        problem = _type_problem(media_type, value)
        if problem:
            prefix = "" if media_type == STRATEGIC_MERGE_PATCH else "error decoding patch: "
            return PatchBody(media_type, value, problem=bad_request(prefix + problem))
    strict_errors = tuple(_strict_errors(media_type, value, text)) if is_strict else ()
    return PatchBody(media_type, value, strict_errors)


def _with_whole_numbers(value: Any) -> Any:
    """A copy with `2` for `2.0`: what upstream merges without ever writing it down again takes it for an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    return [_with_whole_numbers(item) for item in value] if isinstance(value, list) else value


def _syntax_problem(media_type: str, text: str, *, is_strict: bool) -> ApiError:
    if media_type == STRATEGIC_MERGE_PATCH:
        return bad_request(text)
    if is_strict:
        return bad_request(f"error decoding patch: {text}")
    return bad_request(INVALID_MERGE_PATCH if media_type == MERGE_PATCH else text)


def _type_problem(media_type: str, value: Any) -> str:
    if media_type != JSON_PATCH:
        if value is None or isinstance(value, dict):
            return ""
        return f"json: cannot unmarshal {json_kind(value)} into Go value of type {_ANY_OBJECT}"
    if value is not None and not isinstance(value, list):
        return f"json: cannot unmarshal {json_kind(value)} into Go value of type []handlers.jsonPatchOp"
    for step in value or ():
        if problem := _operation_problem(step):
            return problem
    return ""


def _operation_problem(step: Any) -> str:
    if step is None:
        return ""
    if not isinstance(step, dict):
        return f"json: cannot unmarshal {json_kind(step)} into Go value of type handlers.jsonPatchOp"
    for name in ("op", "path", "from"):
        if step.get(name) is not None and not isinstance(step[name], str):
            return (
                f"json: cannot unmarshal {json_kind(step[name])} into Go struct field jsonPatchOp.{name} of type string"
            )
    return ""


def _strict_errors(media_type: str, value: Any, text: bytes) -> list[str]:
    found = list(duplicate_fields(value, text))
    if media_type != JSON_PATCH:
        return found
    for index, step in enumerate(value or ()):
        found += [f'unknown field "[{index}].{name}"' for name in step or () if name not in _OPERATION_FIELDS]
    return [f"json patch {problem}" for problem in found]
