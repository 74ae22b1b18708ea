from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.quantity import (
    FORMAT_WRONG,
    NUMERIC_WRONG,
    SUFFIX_WRONG,
    QuantityError,
    canonical_quantity,
    cpu_millis,
    format_bytes,
    format_millis,
    format_quantity,
    parse_quantity,
    quantity_value,
)

SCALES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(1000),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0Gi", "0"),
        ("-0", "0"),
        ("0.5", "500m"),
        ("1.50", "1500m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("100000m", "100"),
        ("1000", "1k"),
        ("1024Mi", "1Gi"),
        ("1025Mi", "1025Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Mi", "512Ki"),
        ("0.1Mi", "104857600m"),
        ("512", "512"),
        ("1023", "1023"),
        ("1e9", "1e9"),
        ("1E9", "1E9"),
        ("12e2", "1200"),
        ("1e-3", "1e-3"),
        ("2147483648", "2147483648"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("0.0000000001", "1n"),
        ("-1.5", "-1500m"),
        ("9223372036854775808Ki", "9223372036854775807"),
    ],
)
def test_canonical_quantity_is_upstreams_text(text: str, canonical: str) -> None:
    assert canonical_quantity(text) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", FORMAT_WRONG),
        ("abc", FORMAT_WRONG),
        ("1 Gi", FORMAT_WRONG),
        ("1.2.3", FORMAT_WRONG),
        ("--1", SUFFIX_WRONG),
        ("1Gii", SUFFIX_WRONG),
        ("1mi", SUFFIX_WRONG),
        ("1K", SUFFIX_WRONG),
        ("1e", SUFFIX_WRONG),
        ("1e999999999", SUFFIX_WRONG),
        (".", NUMERIC_WRONG),
        ("Gi", NUMERIC_WRONG),
    ],
)
def test_parse_quantity_refuses_with_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_quantity(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "value", "millis"),
    [("1m", 1, 1), ("0.1m", 1, 1), ("1500m", 2, 1500), ("2", 2, 2000), ("-1500m", -2, -1500), ("1Ki", 1024, 1024000)],
)
def test_value_and_millis_round_away_from_zero(text: str, value: int, millis: int) -> None:
    assert (quantity_value(text), cpu_millis(text)) == (value, millis)


def test_resource_lists_round_up_to_thousandths() -> None:
    assert format_quantity(parse_quantity("1n").rounded_to_milli()) == "1m"
    assert format_quantity(parse_quantity("1500m").rounded_to_milli()) == "1500m"


def test_sums_take_the_format_of_the_first_that_is_not_zero() -> None:
    assert str(parse_quantity("0").plus(parse_quantity("1Gi"))) == "1Gi"
    assert str(parse_quantity("1Gi").plus(parse_quantity("1k"))) == "1073742824"
    assert str(parse_quantity("2").minus(parse_quantity("500m"))) == "1500m"


def test_format_helpers() -> None:
    assert (format_millis(1500), format_millis(2000), format_bytes(2**30)) == ("1500m", "2", "1Gi")


texts = st.builds(
    lambda sign, whole, fraction, suffix: f"{sign}{whole}{'.' + fraction if fraction else ''}{suffix}",
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**6),
    st.text("0123456789", max_size=4),
    st.sampled_from(list(SCALES)),
)


@given(texts)
def test_canonical_text_keeps_the_amount_and_is_stable(text: str) -> None:
    quantity = parse_quantity(text)
    again = parse_quantity(format_quantity(quantity))
    assert again.nanos == quantity.nanos
    assert format_quantity(again) == format_quantity(quantity)


@given(texts)
def test_amount_is_exact_up_to_one_nano_away_from_zero(text: str) -> None:
    suffix = next(suffix for suffix in sorted(SCALES, key=len, reverse=True) if text.endswith(suffix))
    exact = Fraction(text.removesuffix(suffix)) * SCALES[suffix] * 10**9
    exact = min(exact, Fraction((2**63 - 1) * 10**9)) if suffix.endswith("i") else exact
    nanos = parse_quantity(text).nanos
    if abs(exact) <= (2**63 - 1) * 10**9:
        assert 0 <= abs(nanos) - abs(exact) < 1


@given(st.text(max_size=12))
def test_any_text_parses_or_raises_quantity_error(text: str) -> None:
    message = ""
    try:
        format_quantity(parse_quantity(text))
    except QuantityError as error:
        message = str(error)
    assert message in ("", FORMAT_WRONG, NUMERIC_WRONG, SUFFIX_WRONG)
