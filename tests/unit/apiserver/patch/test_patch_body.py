"""Malformed patches, and what strict readers mind, in upstream's words."""

from __future__ import annotations

import pytest

from control.api.errors import ApiError
from control.apiserver.patch.patch_body import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, read_patch_body
from control.schema.structural import Schema

ANY_OBJECT = "Go value of type map[string]interface {}"
DECODING = "error decoding patch: "


@pytest.mark.parametrize(
    ("media_type", "body", "strict_message", "lenient_message"),
    [
        (
            JSON_PATCH,
            b"{}",
            f"{DECODING}json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch",
        ),
        (
            JSON_PATCH,
            b"[1]",
            f"{DECODING}json: cannot unmarshal number into Go value of type handlers.jsonPatchOp",
            "json: cannot unmarshal number into Go value of type jsonpatch.Operation",
        ),
        (JSON_PATCH, b"[", f"{DECODING}unexpected end of JSON input", "unexpected end of JSON input"),
        (
            JSON_PATCH,
            b'[{"op": 1}]',
            f"{DECODING}json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
            "the server rejected our request due to an error in our request",
        ),
        (MERGE_PATCH, b'"x"', f"{DECODING}json: cannot unmarshal string into {ANY_OBJECT}", "Invalid JSON Patch"),
        (MERGE_PATCH, b"{", f"{DECODING}unexpected end of JSON input", "Invalid JSON Patch"),
        (MERGE_PATCH, b"null", "Invalid JSON Patch", "Invalid JSON Patch"),
        (
            STRATEGIC_MERGE_PATCH,
            b"[]",
            f"json: cannot unmarshal array into {ANY_OBJECT}",
            f"json: cannot unmarshal array into {ANY_OBJECT}",
        ),
        (STRATEGIC_MERGE_PATCH, b"{", "unexpected end of JSON input", "unexpected end of JSON input"),
    ],
)
def test_a_malformed_patch_is_refused(media_type: str, body: bytes, strict_message: str, lenient_message: str) -> None:
    for is_strict, message in ((True, strict_message), (False, lenient_message)):
        patch = read_patch_body(body, media_type, is_strict=is_strict)
        with pytest.raises(ApiError) as caught:
            patch.apply({"a": 1}, Schema())
        assert caught.value.message == message


@pytest.mark.parametrize(
    ("media_type", "body", "errors"),
    [
        (
            JSON_PATCH,
            b'[{"op":"add","path":"/a","value":1,"foo":1},{"op":"add","op":"add","path":"/b","value":1}]',
            ('json patch duplicate field "[1].op"', 'json patch unknown field "[0].foo"'),
        ),
        (MERGE_PATCH, b'{"a":{"b":1,"b":2},"a":{}}', ('duplicate field "a.b"', 'duplicate field "a"')),
        (STRATEGIC_MERGE_PATCH, b'{"a":[{"b":1,"b":2}]}', ('duplicate field "a[0].b"',)),
        (MERGE_PATCH, b'{"a":"\\": \\": ","b":1}', ()),
    ],
)
def test_fields_a_strict_reader_minds(media_type: str, body: bytes, errors: tuple[str, ...]) -> None:
    assert read_patch_body(body, media_type, is_strict=True).strict_errors == errors
    assert read_patch_body(body, media_type, is_strict=False).strict_errors == ()


def test_a_patch_that_is_null_changes_nothing() -> None:
    for media_type in (JSON_PATCH, STRATEGIC_MERGE_PATCH):
        assert read_patch_body(b"null", media_type, is_strict=True).apply({"a": 1}, Schema()) == {"a": 1}


def test_a_list_takes_the_place_of_the_document() -> None:
    assert read_patch_body(b"[1]", MERGE_PATCH, is_strict=False).apply({"a": 1}, Schema()) == [1]


def test_whole_numbers_are_integers_in_a_strategic_merge_patch_alone() -> None:
    assert read_patch_body(b'{"a":[2.0]}', STRATEGIC_MERGE_PATCH, is_strict=True).value == {"a": [2]}
    assert isinstance(read_patch_body(b'{"a":2.0}', MERGE_PATCH, is_strict=True).value["a"], float)
