"""Continue tokens of paged lists, in upstream's form (k8s.io/apiserver/pkg/storage/continue.go).

A token is unpadded URL-safe base64 of `{"v": "meta.k8s.io/v1", "rv": REVISION, "start": KEY}`; the key is relative to
the list's prefix and ends in a NUL, so that it sorts right after the last key seen. rv -1 means: now, inconsistently.
"""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
import re

import orjson

from control.api.errors import ApiError, bad_request

INCONSISTENT = -1

_VERSION = "meta.k8s.io/v1"
_INVALID = "invalid continue token: continue key is not valid"
_NOT_BASE64URL = re.compile(r"[^A-Za-z0-9_-]")


def encode_continue(relative_key: str, revision: int) -> str:
    """Make the token that continues after a key."""
    token = orjson.dumps({"v": _VERSION, "rv": revision, "start": relative_key + "\0"})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def decode_continue(token: str) -> tuple[str, int]:
    """Return the relative key to start at (inclusive) and the revision. Raises 400 in upstream's words."""
    fields = _decode_json(_decode_base64(token))
    revision = fields.get("rv", 0)
    start = fields.get("start", "")
    if fields.get("v") != _VERSION:
        raise bad_request(f"{_INVALID}: server does not recognize this encoded version {fields.get('v', '')}")
    if not isinstance(revision, int) or not isinstance(start, str):
        raise bad_request(f"{_INVALID}: json: cannot unmarshal into Go value of type storage.continueToken")
    if revision == 0:
        raise bad_request(f"{_INVALID}: incorrect encoded start resourceVersion (version {_VERSION})")
    if not start:
        raise bad_request(f"{_INVALID}: encoded start key empty (version {_VERSION})")
    rooted = start if start.startswith("/") else "/" + start
    if posixpath.normpath(rooted) != rooted:
        raise bad_request(f"{_INVALID}: {start}")
    return rooted[1:], revision


def _decode_base64(token: str) -> bytes:
    wrong = _NOT_BASE64URL.search(token)
    if wrong:
        raise bad_request(f"{_INVALID}: illegal base64 data at input byte {wrong.start()}")
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        raise bad_request(f"{_INVALID}: illegal base64 data at input byte {len(token)}") from None


def _decode_json(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, UnicodeDecodeError):
        raise bad_request(f"{_INVALID}: {_describe_syntax_error(text)}") from None
    if not isinstance(value, dict):
        kind = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}.get(type(value), "null")
        raise bad_request(f"{_INVALID}: json: cannot unmarshal {kind} into Go value of type storage.continueToken")
    return value


def _describe_syntax_error(text: bytes) -> str:
    """Word a JSON syntax error at the start of a text as Go's decoder does."""
    text = text.lstrip(b" \t\r\n")
    if not text:
        return "unexpected end of JSON input"
    for literal in (b"null", b"true", b"false"):
        if text[:1] != literal[:1]:
            continue
        for position in range(1, len(literal)):
            if position >= len(text):
                return "unexpected end of JSON input"
            if text[position] != literal[position]:
                expected = chr(literal[position])
                return (
                    f"invalid character {_quote(text[position])} in literal {literal.decode()} (expecting '{expected}')"
                )
        if len(text) > len(literal):
            return f"invalid character {_quote(text[len(literal)])} after top-level value"
    if text[:1] not in b'{["-0123456789':
        return f"invalid character {_quote(text[0])} looking for beginning of value"
    return "unexpected end of JSON input"


def _quote(byte: int) -> str:
    character = chr(byte)
    if character == "'":
        return r"'\''"
    if character == '"':
        return "'\"'"
    if character.isprintable():
        return f"'{character}'"
    named = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}.get(character)
    if named:
        return f"'\\{named}'"
    return f"'\\x{byte:02x}'" if byte < 0x20 or byte == 0x7F else f"'\\u{byte:04x}'"


def expired_continue(token_for_rest: str) -> ApiError:
    """410 of a token whose revision is compacted, with a token that continues inconsistently."""
    return ApiError(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        metadata={"continue": token_for_rest},
    )
