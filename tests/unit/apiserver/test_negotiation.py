from __future__ import annotations

import pytest

from control.apiserver.go_json import describe_syntax_error
from control.apiserver.negotiation import PLAIN_JSON, choose_object_media, encode_yaml, wants_pretty
from control.apiserver.yaml_encoding import YamlError, load_yaml


@pytest.mark.parametrize(
    ("accept", "media_type", "transformation"),
    [
        ("", "application/json", ""),
        ("*/*", "application/json", ""),
        ("application/vnd.kubernetes.protobuf,application/json", "application/json", ""),
        ("text/html, application/json;q=0.8", "application/json", ""),
        ("application/yaml", "application/yaml", ""),
        ("application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf", ""),
        ("application/json;q=0.1, application/yaml", "application/yaml", ""),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "application/json", "Table"),
        ("application/json;as=Nonsense;v=v1;g=meta.k8s.io,application/json", "application/json", ""),
    ],
)
def test_best_served_representation_is_chosen(accept: str, media_type: str, transformation: str) -> None:
    choice = choose_object_media(accept)
    assert choice is not None
    assert (choice.media_type, choice.transformation) == (media_type, transformation)


@pytest.mark.parametrize("accept", ["text/csv", "application/*"])
def test_nothing_is_chosen_if_nothing_is_served(accept: str) -> None:
    assert choose_object_media(accept) is None


def test_plain_json_is_one_object_so_that_the_fast_path_can_compare_identity() -> None:
    assert choose_object_media("application/json") is PLAIN_JSON


def test_yaml_quotes_what_would_read_as_something_else() -> None:
    text = encode_yaml({"b": "yes", "a": "1", "c": "x\ny\n", "d": {}, "e": ["z"]}).decode()
    assert text == 'a: "1"\nb: "yes"\nc: |\n  x\n  y\nd: {}\ne:\n- z\n'


def test_yaml_keeps_times_as_text_and_reports_duplicate_keys() -> None:
    value, duplicates = load_yaml(b"a: 2020-01-01T00:00:00Z\nb: 1\nb: 2\n")
    assert value == {"a": "2020-01-01T00:00:00Z", "b": 2}
    assert duplicates == [(3, "b")]


def test_yaml_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(YamlError, match="mapping values are not allowed in this context"):
        load_yaml(b"a: b: c")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a": ', "unexpected end of JSON input"),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (b"nope", "invalid character 'o' in literal null (expecting 'u')"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1}x', "invalid character 'x' after top-level value"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b'"\\q"', "invalid character 'q' in string escape code"),
    ],
)
def test_json_errors_are_worded_as_go_does(text: bytes, words: str) -> None:
    assert describe_syntax_error(text) == words


@pytest.mark.parametrize(
    ("parameter", "user_agent", "expected"),
    [
        ("", "kubectl/v1.36", False),
        ("", "curl/8.0", True),
        ("", "Mozilla/5.0 (X11)", True),
        ("false", "curl/8.0", False),
        ("0", "curl/8.0", False),
        ("true", "kubectl/v1.36", True),
        ("1", "", True),
        ("yes", "", False),
    ],
)
def test_people_read_indented_answers(parameter: str, user_agent: str, expected: bool) -> None:
    assert wants_pretty(parameter, user_agent) is expected
