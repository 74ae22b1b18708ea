"""Sizes for people."""

from __future__ import annotations

import pytest

from control.api.sizes import format_size


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 40, "1.0 TiB"), (1 << 60, "1024.0 PiB")]
)
def test_format_size(count: int, text: str) -> None:
    assert format_size(count) == text
