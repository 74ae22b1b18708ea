"""Continue tokens: upstream's form, upstream's words for what is wrong with one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.errors import ApiError
from control.apiserver.cache.continue_token import decode_continue, encode_continue, expired_continue

INVALID = "invalid continue token: continue key is not valid: "
VERSION = "(version meta.k8s.io/v1)"


@given(st.from_regex(r"[a-z0-9.-]{1,20}(/[a-z0-9][a-z0-9.-]{0,20})?", fullmatch=True), st.integers(1, 2**62))
def test_a_token_leads_right_behind_the_last_key(key: str, revision: int) -> None:
    if key.startswith(".") or "/." in key:
        return
    assert decode_continue(encode_continue(key, revision)) == (key + "\0", revision)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("garbage", INVALID + "invalid character '\\u0081' looking for beginning of value"),
        ("bm9wZQ", INVALID + "invalid character 'o' in literal null (expecting 'u')"),
        ("a!b", INVALID + "illegal base64 data at input byte 1"),
        ("", INVALID + "unexpected end of JSON input"),
        ("W10", INVALID + "json: cannot unmarshal array into Go value of type storage.continueToken"),
        ("e30", INVALID + "server does not recognize this encoded version "),
        (
            "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJzdGFydCI6ImEifQ",
            INVALID + f"incorrect encoded start resourceVersion {VERSION}",
        ),
        ("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0", INVALID + f"encoded start key empty {VERSION}"),
        (encode_continue("../x", 1), INVALID + "../x\0"),
    ],
)
def test_a_bad_token_is_refused_in_upstreams_words(token: str, message: str) -> None:
    with pytest.raises(ApiError) as error:
        decode_continue(token)
    assert (error.value.code, error.value.message) == (400, message)


def test_an_expired_token_comes_with_one_for_the_rest() -> None:
    status = expired_continue("next").to_status()
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["metadata"] == {"continue": "next"}
    assert status["message"].startswith("The provided continue parameter is too old to display a consistent list")
