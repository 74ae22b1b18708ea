"""Figures and how they are printed: one row each, ours beside the floor and the target."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured row. `floor` is the same work done by calling Docker directly; `target` says what is aimed at."""

    name: str
    unit: str
    ours: float | None
    floor: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""


def percentile(samples: Sequence[float], percent: int) -> float:
    """The value that `percent` of the samples do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def summarize(samples: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return statistics.median(samples), percentile(samples, 95)


def ratio_row(name: str, unit: str, ours: float, floor: float, ratio_max: float, note: str = "") -> Figure:
    """A row whose target is a ratio to the floor."""
    ratio = ours / floor
    return Figure(
        name=name,
        unit=unit,
        ours=ours,
        floor=floor,
        target=f"≤ {ratio_max} × raw (is {ratio:.2f})",
        met=ratio <= ratio_max,
        note=note,
    )


def limit_row(name: str, unit: str, ours: float, limit: float, note: str = "") -> Figure:
    """A row whose target is an upper limit."""
    return Figure(name=name, unit=unit, ours=ours, target=f"≤ {limit:g}", met=ours <= limit, note=note)


def rate_row(name: str, unit: str, ours: float, minimum: float, note: str = "") -> Figure:
    """A row whose target is a lower limit."""
    return Figure(name=name, unit=unit, ours=ours, target=f"≥ {minimum:g}", met=ours >= minimum, note=note)


def format_table(figures: Sequence[Figure]) -> str:
    """The rows as aligned text."""
    lines = [f"{'':2}{'':44}{'ours':>10}{'raw Docker':>12}  {'unit':<10}{'target'}"]
    for figure in figures:
        mark = {True: "✓", False: "✗", None: " "}[figure.met]
        ours = "–" if figure.ours is None else f"{figure.ours:.1f}" if figure.ours < 1000 else f"{figure.ours:.0f}"
        floor = "" if figure.floor is None else f"{figure.floor:.1f}"
        note = f"  {figure.note}" if figure.note else ""
        lines.append(f"{mark} {figure.name:<44}{ours:>10}{floor:>12}  {figure.unit:<10}{figure.target}{note}")
    return "\n".join(lines)
