"""Resource quantities: exact arithmetic and upstream's canonical text (k8s.io/apimachinery/pkg/api/resource).

A quantity is held as a whole number of nano-units, the finest step upstream keeps, together with the format it was
written in. Parsing rounds away from zero to that step: who asks for a little gets a little, never nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

FORMAT_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NUMERIC_WRONG = "unable to parse numeric part of quantity"
SUFFIX_WRONG = "unable to parse quantity's suffix"

NANOS_PER_UNIT = 10**9
_NANOS_PER_MILLI = 10**6
_MAX_BINARY = 2**63 - 1
# Longer exponents say nothing about a cluster and would only burn memory.
_EXPONENT_MAX = 512
# Quantities of up to this many digits take upstream's int64 path, which keeps texts that look canonical.
_FAST_DIGITS = 18

_SHAPE = re.compile(r"([+-]?)([0-9]*)(\.[0-9]*)?([eEinumkKMGTP]*[-+]?[0-9]*)\Z")
_DECIMAL_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SUFFIX_OF_DECIMAL = {exponent: suffix for suffix, exponent in _DECIMAL_SUFFIXES.items()}
_SUFFIX_OF_BINARY = {exponent: suffix for suffix, exponent in _BINARY_SUFFIXES.items()}
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)\Z")


class QuantityError(ValueError):
    """A text that is no quantity; the message is upstream's."""


class QuantityFormat(Enum):
    """How a quantity was written, and is written again."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True, order=False)
class Quantity:
    """An exact amount. `text` is the text it was parsed from where upstream would print that text again."""

    nanos: int
    format: QuantityFormat = QuantityFormat.DECIMAL_SI
    text: str = ""

    @property
    def value(self) -> int:
        """Whole units, rounded away from zero."""
        return _divide_away_from_zero(self.nanos, NANOS_PER_UNIT)

    @property
    def milli_value(self) -> int:
        """Thousandths, rounded away from zero."""
        return _divide_away_from_zero(self.nanos, _NANOS_PER_MILLI)

    @property
    def is_whole(self) -> bool:
        """Whether the amount has no fraction of a unit."""
        return self.nanos % NANOS_PER_UNIT == 0

    def plus(self, other: Quantity) -> Quantity:
        """Sum; the format is ours unless we are zero."""
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def minus(self, other: Quantity) -> Quantity:
        """Difference; the format is ours unless we are zero."""
        return Quantity(self.nanos - other.nanos, self.format if self.nanos else other.format)

    def rounded_to_milli(self) -> Quantity:
        """The same amount rounded away from zero to thousandths, as upstream's defaulting of resource lists does."""
        if self.nanos % _NANOS_PER_MILLI == 0:
            return self
        return Quantity(self.milli_value * _NANOS_PER_MILLI, self.format)

    def __str__(self) -> str:
        return format_quantity(self)


def _divide_away_from_zero(number: int, divisor: int) -> int:
    return -(-number // divisor) if number >= 0 else number // divisor


@lru_cache(maxsize=8192)
def parse_quantity(text: str) -> Quantity:
    """Parse `500m`, `1.5Gi`, `2e3`. Raises QuantityError with upstream's words."""
    if not text:
        raise QuantityError(FORMAT_WRONG)
    match = _SHAPE.match(text)
    if match is None:
        raise QuantityError(FORMAT_WRONG)
    sign, whole, fraction, suffix = match[1], match[2].lstrip("0"), (match[3] or "")[1:], match[4]
    if not match[2] and not fraction and (match[3] or suffix):
        # Upstream reads a missing number in front of a suffix as an error of its number parser.
        raise QuantityError(NUMERIC_WRONG if _is_suffix(suffix) else SUFFIX_WRONG)
    format_, base, exponent = _interpret_suffix(suffix)
    digits = int((whole + fraction) or "0")
    if base == 2:
        nanos = _divide_up(digits * 2**exponent * NANOS_PER_UNIT, 10 ** len(fraction))
        nanos = min(nanos, _MAX_BINARY * NANOS_PER_UNIT)
        if 0 < nanos < NANOS_PER_UNIT:
            format_ = QuantityFormat.DECIMAL_SI
    else:
        scale = exponent - len(fraction) + 9
        nanos = digits * 10**scale if scale >= 0 else _divide_up(digits, 10**-scale)
    keeps_text = _keeps_text(whole, fraction, base, exponent)
    return Quantity(-nanos if sign == "-" else nanos, format_, text if keeps_text and nanos else "")


def _divide_up(number: int, divisor: int) -> int:
    return -(-number // divisor)


def _is_suffix(suffix: str) -> bool:
    return suffix in _DECIMAL_SUFFIXES or suffix in _BINARY_SUFFIXES or _EXPONENT.match(suffix) is not None


def _interpret_suffix(suffix: str) -> tuple[QuantityFormat, int, int]:
    if (decimal := _DECIMAL_SUFFIXES.get(suffix)) is not None:
        return QuantityFormat.DECIMAL_SI, 10, decimal
    if (binary := _BINARY_SUFFIXES.get(suffix)) is not None:
        return QuantityFormat.BINARY_SI, 2, binary
    match = _EXPONENT.match(suffix)
    if match is None or len(match[1]) > 6 or abs(int(match[1])) > _EXPONENT_MAX:
        raise QuantityError(SUFFIX_WRONG)
    return QuantityFormat.DECIMAL_EXPONENT, 10, int(match[1])


def _keeps_text(whole: str, fraction: str, base: int, exponent: int) -> bool:
    """Whether upstream's parser takes the text for canonical and prints it unchanged (quantity.go, ParseQuantity)."""
    number = whole or "0"
    if base == 2:
        precision = 15 - len(number) - int(exponent * 3 / 10) - 1
        return not fraction and precision >= 0 and int(number) & 0x07 != 0
    scale = exponent - len(fraction)
    shifted = number + fraction
    if len(shifted) > _FAST_DIGITS or scale < -9:
        return False
    return scale % 3 == 0 and not shifted.endswith("000") and shifted[0] != "0"


def format_quantity(quantity: Quantity) -> str:
    """Write the canonical text: no fraction, the largest suffix that keeps the number whole."""
    if quantity.nanos == 0:
        return "0"
    if quantity.text:
        return quantity.text
    units, rest = divmod(quantity.nanos, NANOS_PER_UNIT)
    if quantity.format is QuantityFormat.BINARY_SI and rest == 0 and not -1024 < units < 1024:
        exponent = 0
        while units % 1024 == 0 and exponent < 60:
            units //= 1024
            exponent += 10
        return f"{units}{_SUFFIX_OF_BINARY.get(exponent, '')}"
    number, exponent = quantity.nanos, -9
    while number % 1000 == 0 and (exponent < 18 or quantity.format is QuantityFormat.DECIMAL_EXPONENT):
        number //= 1000
        exponent += 3
    if quantity.format is QuantityFormat.DECIMAL_EXPONENT:
        return f"{number}e{exponent}" if exponent else str(number)
    return f"{number}{_SUFFIX_OF_DECIMAL[exponent]}"


def canonical_quantity(text: str) -> str:
    """Return the canonical text of a quantity. Raises QuantityError."""
    return format_quantity(parse_quantity(text))


def quantity_value(text: str) -> int:
    """Whole units of a quantity, rounded up (away from zero). Raises QuantityError."""
    return parse_quantity(text).value


def cpu_millis(text: str) -> int:
    """Thousandths of a quantity, rounded up (away from zero). Raises QuantityError."""
    return parse_quantity(text).milli_value


def format_millis(millis: int) -> str:
    """Write an amount given in thousandths as DecimalSI: 1500 is `1500m`, 2000 is `2`."""
    return format_quantity(Quantity(millis * _NANOS_PER_MILLI))


def format_bytes(count: int) -> str:
    """Write a whole amount as BinarySI: 1073741824 is `1Gi`."""
    return format_quantity(Quantity(count * NANOS_PER_UNIT, QuantityFormat.BINARY_SI))


def format_count(count: int) -> str:
    """Write a whole amount as DecimalSI: 12000 is `12k`."""
    return format_quantity(Quantity(count * NANOS_PER_UNIT))
