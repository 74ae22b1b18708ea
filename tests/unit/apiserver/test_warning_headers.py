from __future__ import annotations

from control.apiserver.warning_headers import CUT_CHARACTERS_MAX, TOTAL_CHARACTERS_MAX, warning_headers


def test_texts_are_quoted_and_control_characters_are_blanks() -> None:
    assert warning_headers(['a "b" \\ c\n\td\x7f', "é"]) == [
        ("Warning", '299 - "a \\"b\\" \\\\ c  d "'),
        ("Warning", '299 - "é"'),
    ]


def test_texts_within_the_limit_are_whole() -> None:
    texts = ["x" * TOTAL_CHARACTERS_MAX]
    assert warning_headers(texts) == [("Warning", f'299 - "{texts[0]}"')]


def test_texts_beyond_the_limit_are_cut_and_then_left_out() -> None:
    texts = [f"{number:04}" + "x" * 1000 for number in range(30)]
    headers = warning_headers(texts)
    assert len(headers) == TOTAL_CHARACTERS_MAX // CUT_CHARACTERS_MAX
    assert headers[1] == ("Warning", f'299 - "{texts[1][:CUT_CHARACTERS_MAX]}"')
