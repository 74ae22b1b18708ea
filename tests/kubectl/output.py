"""What kubectl prints, in a form to compare with."""

from __future__ import annotations


def lines(text: str) -> list[str]:
    """The lines without the padding of tables and without empty ones."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
