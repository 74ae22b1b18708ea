from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.selectors import (
    EVERYTHING,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
    selector_from_labels,
    selector_from_object,
)

LABELS = {"app": "web", "tier": "front", "size": "12", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app!=web", False),
        ("missing!=web", True),
        ("app in (web,api)", True),
        ("app in (api)", False),
        ("app notin (api)", True),
        ("missing notin (api)", True),
        ("app,tier", True),
        ("!app", False),
        ("!missing", True),
        ("size>11", True),
        ("size>12", False),
        ("size<13", True),
        ("app>1", False),
        ("empty=", True),
        ("empty in ()", True),
        ("app = web , tier in ( front )", True),
        ("missing", False),
    ],
)
def test_label_selector_matches(text: str, expected: bool) -> None:
    assert parse_label_selector(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("app=a b", "found 'b', expected: ',' or 'end of string'"),
        ("app=>x", "unable to parse requirement: found '>', expected: identifier"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'"),
        ("a in (x,=)", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        (
            "n>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be"
            " an integer",
        ),
    ],
)
def test_bad_label_selector_has_upstreams_text(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_label_selector(text)
    assert str(caught.value) == message


def test_bad_key_and_value_name_their_place() -> None:
    with pytest.raises(SelectorError, match=r'^unable to parse requirement: <nil>: Invalid value: "a/b/c": a valid'):
        parse_label_selector("a/b/c=x")
    with pytest.raises(SelectorError, match=r'^unable to parse requirement: values\[0\]\[a\]: Invalid value: "\$": '):
        parse_label_selector("a=$")


words = st.text("abz09", min_size=1, max_size=5)
terms = st.one_of(
    words,
    words.map(lambda key: f"!{key}"),
    st.builds(lambda key, operator, value: f"{key}{operator}{value}", words, st.sampled_from(["=", "==", "!="]), words),
    st.builds(
        lambda key, operator, values: f"{key} {operator} ({','.join(values)})",
        words,
        st.sampled_from(["in", "notin"]),
        st.lists(words, min_size=1, max_size=3),
    ),
)


@given(st.lists(terms, max_size=4), st.dictionaries(words, words, max_size=4))
def test_printed_selector_parses_to_the_same_decision(parts: list[str], labels: dict[str, str]) -> None:
    selector = parse_label_selector(",".join(parts))
    assert str(parse_label_selector(str(selector))) == str(selector)
    assert parse_label_selector(str(selector)).matches(labels) == selector.matches(labels)
    assert selector.matches(labels) == all(parse_label_selector(part).matches(labels) for part in parts)


@given(st.text("ab=!,() <>inot", max_size=15))
def test_any_text_parses_or_raises_selector_error(text: str) -> None:
    try:
        parse_label_selector(text).matches(LABELS)
    except SelectorError:
        pass


def test_object_selector_none_matches_nothing_and_empty_matches_all() -> None:
    assert not selector_from_object(None).matches(LABELS)
    assert selector_from_object({}).matches({})
    selector = selector_from_object(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front", "back"]},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches(LABELS)
    assert not selector.matches({**LABELS, "gone": ""})
    assert str(selector) == "app=web,!gone,tier in (back,front)"


def test_object_selector_with_unknown_operator_is_refused() -> None:
    with pytest.raises(SelectorError, match='"Gt" is not a valid label selector operator'):
        selector_from_object({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]})


def test_find_exact_of_labels() -> None:
    assert parse_label_selector("a=b,c in (d),e in (f,g)").find_exact("a") == "b"
    assert parse_label_selector("a=b,c in (d)").find_exact("c") == "d"
    assert parse_label_selector("e in (f,g)").find_exact("e") is None
    assert selector_from_labels({"x": "y"}).find_exact("x") == "y"
    assert EVERYTHING.is_empty


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("", {}, True),
        ("metadata.name=a", {"metadata.name": "a"}, True),
        ("metadata.name==a,spec.nodeName!=n", {"metadata.name": "a", "spec.nodeName": "m"}, True),
        ("spec.nodeName=", {}, True),
        ("spec.nodeName!=", {}, False),
        (r"a=x\,y\=z\\", {"a": "x,y=z\\"}, True),
    ],
)
def test_field_selector_matches(text: str, fields: dict[str, str], expected: bool) -> None:
    assert parse_field_selector(text).matches(fields) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("a=b,x in (a)", "invalid selector: 'a=b,x in (a)'; can't understand 'x in (a)'"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_bad_field_selector_has_upstreams_text(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_field_selector(text)
    assert str(caught.value) == message


@given(st.text(max_size=10))
def test_field_values_survive_printing(value: str) -> None:
    from control.api.selectors import FieldRequirement, FieldSelector

    selector = FieldSelector((FieldRequirement("f", "=", value),))
    assert parse_field_selector(str(selector)) == selector
    assert selector.find_exact("f") == value
