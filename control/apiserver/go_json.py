"""JSON as Go's encoding/json reads it: what it forgives, and its words for what it does not."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
#: A whole pair (kept), or half of one. An escaped backslash before it is skipped over as a unit.
_SURROGATES = re.compile(
    r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
#: Integers of this length fit 64 bits; Go reads longer ones, where no field says otherwise, as floats.
_INTEGER_DIGITS = 19
_SPACE = b" \t\r\n"
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_KIND_NAMES = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}

TOO_DEEP = "exceeded max depth"
END_OF_INPUT = "unexpected end of JSON input"


#: Longer texts are described by the fast parser's report.
_SCANNED_BYTES_MAX = 64 * 1024
_PLACES = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name": "looking for beginning of object key string",
    "Expecting ':'": "after object key",
    "Expecting ','": "after object key:value pair",
    "Extra data": "after top-level value",
    "Invalid control character": "in string literal",
    "Invalid \\": "in string escape code",
}


class GoJsonError(ValueError):
    """A text that is no JSON."""


def parse_json(text: bytes) -> tuple[Any, bytes]:
    """Parse a body; returns its value and its text, mended. Raises GoJsonError.

    Go replaces what is no UTF-8 and takes numbers of any length; the fast parser refuses both.
    """
    try:
        return orjson.loads(text), text
    except orjson.JSONDecodeError:
        pass
    try:
        mended = _without_surrogates(text.decode("utf-8", "replace"))
        return json.loads(mended, parse_constant=_refuse_constant, parse_int=_parse_integer), mended.encode()
    except (ValueError, RecursionError):
        raise GoJsonError(describe_syntax_error(text)) from None


def _without_surrogates(text: str) -> str:
    """Replace escaped halves of surrogate pairs: they are no characters."""
    return _SURROGATES.sub(lambda match: match[0] if match[1] else "\\ufffd", text)


def _parse_integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _INTEGER_DIGITS else float(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise GoJsonError(name)


def json_kind(value: object) -> str:
    """Name the JSON type of a value as Go's type errors do."""
    return _KIND_NAMES.get(type(value), "object")


def describe_syntax_error(text: bytes) -> str:
    """Return what Go says of a text that is not JSON."""
    if len(text) > _SCANNED_BYTES_MAX:
        return _describe_roughly(text)
    try:
        position = _skip_value(text, _skip_space(text, 0))
        position = _skip_space(text, position)
    except GoJsonError as error:
        return str(error)
    except RecursionError:
        return TOO_DEEP
    if position < len(text):
        return f"invalid character {_quote(text, position)} after top-level value"
    return TOO_DEEP  # the parser refuses nothing else that is well-formed


def _describe_roughly(text: bytes) -> str:
    """The same for a text that would keep the server busy for seconds; a comma's place may be named wrongly."""
    try:
        json.loads(text.decode("latin-1"))
    except json.JSONDecodeError as error:
        place = next((words for start, words in _PLACES.items() if error.msg.startswith(start)), "")
        if error.pos >= len(text) or not place:
            return END_OF_INPUT
        return f"invalid character {_quote(text, error.pos)} {place}"
    except RecursionError:
        pass
    return TOO_DEEP


def _skip_space(text: bytes, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _byte(text: bytes, position: int) -> int:
    if position >= len(text):
        raise GoJsonError(END_OF_INPUT)
    return text[position]


def _fail(text: bytes, position: int, where: str) -> GoJsonError:
    return GoJsonError(f"invalid character {_quote(text, position)} {where}")


def _skip_value(text: bytes, position: int) -> int:
    first = _byte(text, position)
    if first == ord("{"):
        return _skip_object(text, position + 1)
    if first == ord("["):
        return _skip_array(text, position + 1)
    if first == ord('"'):
        return _skip_string(text, position + 1)
    if first in _LITERALS:
        return _skip_literal(text, position, _LITERALS[first])
    if first == ord("-") or chr(first).isdigit():
        return _skip_number(text, position)
    raise _fail(text, position, "looking for beginning of value")


def _skip_object(text: bytes, position: int) -> int:
    position = _skip_space(text, position)
    if _byte(text, position) == ord("}"):
        return position + 1
    while True:
        if _byte(text, position) != ord('"'):
            raise _fail(text, position, "looking for beginning of object key string")
        position = _skip_space(text, _skip_string(text, position + 1))
        if _byte(text, position) != ord(":"):
            raise _fail(text, position, "after object key")
        position = _skip_value(text, _skip_space(text, position + 1))
        position = _skip_space(text, position)
        end = _byte(text, position)
        if end == ord("}"):
            return position + 1
        if end != ord(","):
            raise _fail(text, position, "after object key:value pair")
        position = _skip_space(text, position + 1)


def _skip_array(text: bytes, position: int) -> int:
    position = _skip_space(text, position)
    if _byte(text, position) == ord("]"):
        return position + 1
    while True:
        position = _skip_space(text, _skip_value(text, position))
        end = _byte(text, position)
        if end == ord("]"):
            return position + 1
        if end != ord(","):
            raise _fail(text, position, "after array element")
        position = _skip_space(text, position + 1)


def _skip_string(text: bytes, position: int) -> int:
    while True:
        char = _byte(text, position)
        if char == ord('"'):
            return position + 1
        if char == ord("\\"):
            position = _skip_escape(text, position + 1)
        elif char < 0x20:
            raise _fail(text, position, "in string literal")
        else:
            position += 1


def _skip_escape(text: bytes, position: int) -> int:
    char = _byte(text, position)
    if char in b'bfnrt\\/"':
        return position + 1
    if char != ord("u"):
        raise _fail(text, position, "in string escape code")
    for offset in range(1, 5):
        if _byte(text, position + offset) not in b"0123456789abcdefABCDEF":
            raise _fail(text, position + offset, "in \\u hexadecimal character escape")
    return position + 5


def _skip_literal(text: bytes, position: int, literal: bytes) -> int:
    for offset, expected in enumerate(literal):
        if _byte(text, position + offset) != expected:
            raise _fail(text, position + offset, f"in literal {literal.decode()} (expecting '{chr(expected)}')")
    return position + len(literal)


def _skip_number(text: bytes, position: int) -> int:
    match = _NUMBER.match(text, position)
    if match is None:
        _byte(text, position + 1)
        raise _fail(text, position + 1, "in numeric literal")
    end = match.end()
    if end < len(text) and text[end] in b".eE":
        _byte(text, end + 1)
        where = "after decimal point in numeric literal" if text[end] == ord(".") else "in exponent of numeric literal"
        raise _fail(text, end + 1, where)
    return end


def _quote(text: bytes, position: int) -> str:
    char = chr(text[position])  # Go reports the byte, read as a code point
    if char == "'":
        return r"'\''"
    if char == '"':
        return "'\"'"
    body = json.dumps(char, ensure_ascii=not char.isprintable())[1:-1]
    if body.startswith("\\u00") and ord(char) < 0x80:
        body = "\\x" + body[4:]
    return f"'{body}'"
