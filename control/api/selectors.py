"""Label selectors and field selectors: grammar, matching and error texts of apimachinery's parsers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.api.errors import FieldError
from control.api.names import label_value_errors, qualified_name_errors

BINARY_OPERATORS = ("in", "notin", "=", "==", "!=", "gt", "lt")


class SelectorError(ValueError):
    """A selector that cannot be read; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector. `operator` is one of in, notin, =, ==, !=, gt, lt, exists, !."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy this term."""
        return _MATCHERS[self.operator](labels.get(self.key), self.values)

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        joined = ",".join(sorted(self.values))
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({joined})"
        return f"{self.key}{ {'gt': '>', 'lt': '<'}.get(self.operator, self.operator) }{joined}"


def _match_in(value: str | None, values: Sequence[str]) -> bool:
    return value is not None and value in values


def _match_not_in(value: str | None, values: Sequence[str]) -> bool:
    return value is None or value not in values


def _match_greater(value: str | None, values: Sequence[str]) -> bool:
    left, right = parse_label_integer(value), parse_label_integer(values[0] if values else None)
    return left is not None and right is not None and left > right


def _match_less(value: str | None, values: Sequence[str]) -> bool:
    left, right = parse_label_integer(value), parse_label_integer(values[0] if values else None)
    return left is not None and right is not None and left < right


_MATCHERS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "in": _match_in,
    "=": _match_in,
    "==": _match_in,
    "notin": _match_not_in,
    "!=": _match_not_in,
    "exists": lambda value, _: value is not None,
    "!": lambda value, _: value is None,
    "gt": _match_greater,
    "lt": _match_less,
}

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z", re.ASCII)


def parse_label_integer(text: str | None) -> int | None:
    """Read a 64-bit integer as Gt and Lt compare it, or None."""
    if text is None or not _INTEGER.match(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold. `matches_nothing` is the selector of an absent LabelSelector object."""

    requirements: tuple[Requirement, ...] = ()
    matches_nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether the labels satisfy every requirement; None is no labels."""
        if self.matches_nothing:
            return False
        present = labels or {}
        return all(requirement.matches(present) for requirement in self.requirements)

    @property
    def is_empty(self) -> bool:
        """Whether everything matches."""
        return not self.requirements and not self.matches_nothing

    def find_exact(self, key: str) -> str | None:
        """Return the single value the selector requires of a label, or None."""
        for requirement in self.requirements:
            if requirement.key == key:
                exact = requirement.operator in ("=", "==", "in") and len(requirement.values) == 1
                return requirement.values[0] if exact else None
        return None

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(matches_nothing=True)

_SPECIAL = "=!(),><"
_BLANK = " \t\r\n"
_SYMBOLS = (")", ",", "!", "==", "=", ">", "<", "!=", "(")
_KEYWORDS = ("in", "notin")
_END = ""


def _scan(text: str) -> Iterator[tuple[str, str]]:
    """Yield (token, literal): a symbol or keyword, "identifier", "error", and "" at the end."""
    position = 0
    while position < len(text):
        character = text[position]
        if character in _BLANK:
            position += 1
        elif character == "\0":
            break
        elif character in _SPECIAL:
            token, literal, position = _scan_symbol(text, position)
            yield token, literal
        else:
            start = position
            while position < len(text) and text[position] not in _SPECIAL + _BLANK + "\0":
                position += 1
            word = text[start:position]
            yield (word if word in _KEYWORDS else "identifier"), word
    yield _END, ""


def _scan_symbol(text: str, start: int) -> tuple[str, str, int]:
    """Take the longest known run of special characters; `=>` is `=` and then `>`."""
    position, found = start, ""
    while position < len(text) and text[position] in _SPECIAL:
        candidate = text[start : position + 1]
        if candidate in _SYMBOLS:
            found = candidate
        elif found:
            break
        position += 1
    return found, found, position


class _Parser:
    """Recursive descent over the scanned tokens; `in` and `notin` are plain words where a value is expected."""

    def __init__(self, text: str) -> None:
        self._items = list(_scan(text))
        self._position = 0

    def _peek(self) -> tuple[str, str]:
        token, literal = self._items[min(self._position, len(self._items) - 1)]
        return ("identifier" if token in _KEYWORDS else token), literal

    def _take(self) -> tuple[str, str]:
        item = self._peek()
        self._position += 1
        return item

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            token, literal = self._peek()
            if token == _END:
                return requirements
            if token not in ("identifier", "!"):
                raise SelectorError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            token, literal = self._take()
            if token == _END:
                return requirements
            if token != ",":
                raise SelectorError(f"found '{literal}', expected: ',' or 'end of string'")
            token, literal = self._peek()
            if token not in ("identifier", "!"):
                raise SelectorError(f"found '{literal}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        token, literal = self._take()
        negated = token == "!"
        if negated:
            token, literal = self._take()
        if token != "identifier":
            raise SelectorError(f"found '{literal}', expected: identifier")
        if errors := qualified_name_errors(literal):
            raise SelectorError(str(FieldError.invalid("<nil>", literal, "; ".join(errors))))
        key = literal
        if negated:
            # The caller judges what follows: upstream reads `!key=value` as `!key` and then a stray `=`.
            return Requirement(key, "!")
        if self._peek()[0] in (_END, ","):
            return Requirement(key, "exists")
        operator = self._operator()
        values = self._value_list() if operator in ("in", "notin") else self._exact_value()
        return _checked(Requirement(key, operator, tuple(sorted(values))))

    def _operator(self) -> str:
        token, literal = self._items[self._position]
        self._position += 1
        if token in ("in", "notin", "=", "==", "!="):
            return token
        if token in (">", "<"):
            return "gt" if token == ">" else "lt"
        raise SelectorError(f"found '{literal}', expected: {', '.join(BINARY_OPERATORS)}")

    def _value_list(self) -> set[str]:
        token, literal = self._take()
        if token != "(":
            raise SelectorError(f"found '{literal}' expected: '('")
        token, literal = self._peek()
        if token == ")":
            self._take()
            return {""}
        if token not in ("identifier", ","):
            raise SelectorError(f"found '{literal}', expected: ',', ')' or identifier")
        values = self._identifiers()
        if self._take()[0] != ")":
            raise SelectorError(f"found '{literal}', expected: ')'")
        return values

    def _identifiers(self) -> set[str]:
        values: set[str] = set()
        while True:
            token, literal = self._take()
            following, following_literal = self._peek()
            if token == "identifier":
                values.add(literal)
                if following == ")":
                    return values
                if following != ",":
                    raise SelectorError(f"found '{following_literal}', expected: ',' or ')'")
            elif token == ",":
                if not values or following in (")", ","):
                    values.add("")
                if following == ")":
                    return values
            else:
                raise SelectorError(f"found '{literal}', expected: ',', or identifier")

    def _exact_value(self) -> set[str]:
        token, literal = self._peek()
        if token in (_END, ",") and literal in ("", ","):
            return {""}
        self._take()
        if token != "identifier":
            raise SelectorError(f"found '{literal}', expected: identifier")
        return {literal}


def _checked(requirement: Requirement) -> Requirement:
    """Judge values as upstream's NewRequirement does; several faults are one bracketed list."""
    faults: list[FieldError] = []
    if requirement.operator in ("gt", "lt"):
        faults.extend(
            FieldError.invalid(f"values[{index}]", value, "for 'Gt', 'Lt' operators, the value must be an integer")
            for index, value in enumerate(requirement.values)
            if parse_label_integer(value) is None
        )
    for index, value in enumerate(requirement.values):
        if errors := label_value_errors(value):
            faults.append(FieldError.invalid(f"values[{index}][{requirement.key}]", value, "; ".join(errors)))
    if faults:
        texts = [str(fault) for fault in faults]
        raise SelectorError(texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]")
    return requirement


def parse_label_selector(text: str) -> LabelSelector:
    """Parse `a=b,c in (d,e),!f`. Raises SelectorError."""
    if not text:
        return EVERYTHING
    return LabelSelector(tuple(sorted(_Parser(text).parse(), key=lambda requirement: requirement.key)))


_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def selector_from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """Convert a metav1.LabelSelector. None selects nothing, an empty one everything. Raises SelectorError."""
    if selector is None:
        return NOTHING
    requirements = [Requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        requirements.append(Requirement(expression["key"], operator, tuple(expression.get("values") or ())))
    return LabelSelector(tuple(sorted(requirements, key=lambda requirement: requirement.key)))


def selector_from_labels(labels: Mapping[str, str] | None) -> LabelSelector:
    """Convert a plain map of labels (Service, ReplicationController); empty selects everything."""
    return LabelSelector(tuple(Requirement(key, "=", (value,)) for key, value in sorted((labels or {}).items())))


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One term of a field selector; `operator` is = or !=."""

    field: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All requirements must hold; a field that an object does not have is the empty string."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the fields satisfy every requirement."""
        return all(
            (fields.get(requirement.field, "") == requirement.value) == (requirement.operator == "=")
            for requirement in self.requirements
        )

    def find_exact(self, field: str) -> str | None:
        """Return the value the selector requires of a field, or None."""
        return next(
            (term.value for term in self.requirements if term.field == field and term.operator == "="),
            None,
        )

    @property
    def is_empty(self) -> bool:
        """Whether everything matches."""
        return not self.requirements

    def __str__(self) -> str:
        return ",".join(f"{term.field}{term.operator}{escape_field_value(term.value)}" for term in self.requirements)


def escape_field_value(value: str) -> str:
    """Protect backslash, comma and equals sign of a value in a field selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def parse_field_selector(text: str) -> FieldSelector:
    r"""Parse `a=b,c!=d,e==f`; values escape with `\`. Raises SelectorError."""
    requirements = []
    for term in sorted(_split_terms(text)):
        if not term:
            continue
        match = re.match(r"(.*?)(!=|==|=)(.*)\Z", term, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = "!=" if match[2] == "!=" else "="
        requirements.append(FieldRequirement(match[1], operator, _unescape(match[3])))
    return FieldSelector(tuple(requirements))


def _split_terms(text: str) -> list[str]:
    terms, start, escaped = [], 0, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ",":
            terms.append(text[start:index])
            start = index + 1
    return [*terms, text[start:]]


def _unescape(value: str) -> str:
    result, escaped = [], False
    for character in value:
        if escaped:
            if character not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{character}")
            result.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            result.append(character)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(result)
