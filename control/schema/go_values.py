"""Error texts of Go's standard library for values that clients get wrong: times, base64, JSON syntax."""

from __future__ import annotations

import re

_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
#: Elements of the layout, each with what matches it at the current place.
_ELEMENTS = (
    ("2006", re.compile(r"\d{4}", re.ASCII)),
    ("-", re.compile("-")),
    ("01", re.compile(r"\d\d", re.ASCII)),
    ("-", re.compile("-")),
    ("02", re.compile(r"\d\d", re.ASCII)),
    ("T", re.compile("T")),
    ("15", re.compile(r"\d\d?", re.ASCII)),
    (":", re.compile(":")),
    ("04", re.compile(r"\d\d", re.ASCII)),
    (":", re.compile(":")),
    ("05", re.compile(r"\d\d(?:[.,]\d+)?", re.ASCII)),
    ("Z07:00", re.compile(r"Z|[+-]\d\d:\d\d", re.ASCII)),
)
_LIMITS = {"01": ("month", 1, 12), "15": ("hour", 0, 23), "04": ("minute", 0, 59), "05": ("second", 0, 59)}
_BASE64_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def time_problem(text: str, *, micro: bool = False) -> str:
    """Say as Go's time.Parse what is wrong with a text that is no RFC 3339 time."""
    layout = _MICRO_LAYOUT if micro else _LAYOUT
    start = f'parsing time "{text}"'
    rest = text
    for element, pattern in _ELEMENTS:
        match = pattern.match(rest)
        if match is None:
            return f'{start} as "{layout}": cannot parse "{rest}" as "{element}"'
        if element in _LIMITS:
            word, low, high = _LIMITS[element]
            if not low <= int(float(match[0].replace(",", "."))) <= high:
                return f"{start}: {word} out of range"
        rest = rest[match.end() :]
    if rest:
        return f'{start}: extra text: "{rest}"'
    return f"{start}: day out of range"


def base64_problem(text: str) -> str:
    """Say as Go's base64.StdEncoding where a text stops being base64; empty if it never does."""
    quantum = 0
    position = 0
    length = len(text)
    while position < length:
        character = text[position]
        if character in "\r\n":
            position += 1
        elif character in _BASE64_ALPHABET:
            quantum = (quantum + 1) % 4
            position += 1
        elif character == "=" and quantum >= 2:
            return _padding_problem(text, position, quantum)
        else:
            return f"illegal base64 data at input byte {position}"
    if quantum:
        return f"illegal base64 data at input byte {length - quantum}"
    return ""


def _padding_problem(text: str, position: int, quantum: int) -> str:
    """Judge what follows the first padding character, which stands at `position` after `quantum` characters."""
    position += 1
    if quantum == 2:
        while position < len(text) and text[position] in "\r\n":
            position += 1
        if position == len(text):
            return f"illegal base64 data at input byte {len(text)}"
        if text[position] != "=":
            return f"illegal base64 data at input byte {position}"
        position += 1
    while position < len(text) and text[position] in "\r\n":
        position += 1
    return "" if position == len(text) else f"illegal base64 data at input byte {position}"
