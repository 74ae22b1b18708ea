"""Warning headers (RFC 7234) as upstream writes them (endpoints/filters/warning.go): bounded, one a text."""

from __future__ import annotations

from collections.abc import Sequence

#: What the texts of one answer may add up to; beyond it each is cut.
TOTAL_CHARACTERS_MAX = 4096
CUT_CHARACTERS_MAX = 256


def warning_headers(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The headers of an answer. Texts that are too much together are cut, and left out once the cut ones are."""
    if sum(map(len, texts)) <= TOTAL_CHARACTERS_MAX:
        return [_header(text) for text in texts]
    headers = []
    written = 0
    for text in texts:
        if written >= TOTAL_CHARACTERS_MAX:
            break
        shown = text[:CUT_CHARACTERS_MAX]
        written += len(shown)
        headers.append(_header(shown))
    return headers


def _header(text: str) -> tuple[str, str]:
    # A header holds no control characters: they become blanks.
    shown = "".join(" " if _is_control(char) else char for char in text).replace("\\", "\\\\").replace('"', '\\"')
    return "Warning", f'299 - "{shown}"'


def _is_control(char: str) -> bool:
    return char < " " or "\x7f" <= char <= "\x9f"
