"""Whether a text is a cron schedule, and if not why, in the words of the parser upstream uses (robfig/cron v3)."""

from __future__ import annotations

import re
import zoneinfo

from control.api.errors import quote

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
#: A number of so many digits is below 2^63.
_DIGITS_MAX = 18
_DURATION_UNITS = ("ns", "us", "µs", "μs", "ms", "s", "m", "h")
_DURATION_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]*")
_DURATION_UNIT = re.compile(r"[^.0-9]+")


def schedule_problem(text: str) -> str:
    """Empty for a valid schedule."""
    if text.startswith(("TZ=", "CRON_TZ=")):
        zone, _, text = text.partition(" ")
        zone, text = zone.partition("=")[2], text.strip()
        for problem in time_zone_errors(zone):
            return f"provided bad location {zone}: {problem}"
    if text.startswith("@"):
        return _descriptor_problem(text)
    fields = text.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for field, (low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            problem = _range_problem(part, low, high, names) if part else ""
            if problem:
                return problem
    return ""


def time_zone_errors(name: str) -> list[str]:
    """Why a name is no time zone; the empty one and UTC need no file."""
    if name in ("", "UTC", "Local"):
        return []
    if ".." in name or name[0] in "/\\":
        return ["time: invalid location name"]
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return [f"unknown time zone {name}"]
    return []


def _descriptor_problem(text: str) -> str:
    if text in _DESCRIPTORS:
        return ""
    if text.startswith("@every "):
        problem = _duration_problem(text.removeprefix("@every "))
        return f"failed to parse duration {text}: {problem}" if problem else ""
    return f"unrecognized descriptor: {text}"


def _duration_problem(text: str) -> str:
    invalid, rest = f"time: invalid duration {quote(text)}", text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return ""
    if not rest:
        return invalid
    while rest:
        number = _DURATION_NUMBER.match(rest)
        if number is None or number[0] == ".":
            return invalid
        rest = rest[number.end() :]
        unit = _DURATION_UNIT.match(rest)
        if unit is None:
            return f"time: missing unit in duration {quote(text)}"
        if unit[0] not in _DURATION_UNITS:
            return f"time: unknown unit {quote(unit[0])} in duration {quote(text)}"
        rest = rest[unit.end() :]
    return ""


def _range_problem(text: str, low: int, high: int, names: dict[str, int]) -> str:
    span, *steps = text.split("/")
    bounds = span.split("-")
    if len(steps) > 1:
        return f"too many slashes: {text}"
    if len(bounds) > 2:
        return f"too many hyphens: {text}"
    values = [low, high]
    if bounds[0] not in ("*", "?"):
        parsed = [_number(bound, names) for bound in bounds]
        for item in parsed:
            if isinstance(item, str):
                return item
        numbers = [int(item) for item in parsed]
        values = [numbers[0], numbers[-1] if len(numbers) > 1 or not steps else high]
    step: int | str = _number(steps[0], {}) if steps else 1
    if isinstance(step, str):
        return step
    return _bounds_problem(text, values, low, high, step)


def _bounds_problem(text: str, values: list[int], low: int, high: int, step: int) -> str:
    start, end = values
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {text}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {text}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {text}"
    return f"step of range should be a positive number: {text}" if step == 0 else ""


def _number(text: str, names: dict[str, int]) -> int | str:
    named = names.get(text.lower())
    if named is not None:
        return named
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isascii() or not digits.isdigit():
        return f"failed to parse int from {text}: strconv.Atoi: parsing {quote(text)}: invalid syntax"
    if len(digits.lstrip("0")) > _DIGITS_MAX:
        return f"failed to parse int from {text}: strconv.Atoi: parsing {quote(text)}: value out of range"
    number = int(text)
    return number if number >= 0 else f"negative number ({number}) not allowed: {text}"
