"""Sizes in bytes for people to read. Pure."""

from __future__ import annotations


def format_size(count: int) -> str:
    """For people: `512 B`, `89.9 GiB`."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.1f} {unit}" if unit != "B" else f"{count} B"
