"""Prometheus' text format. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class MetricFamily:
    """All samples of one name."""

    name: str
    type: str
    help: str
    samples: list[tuple[str, Mapping[str, str], float, datetime | None]] = field(default_factory=list)

    def add(
        self,
        value: float,
        labels: Mapping[str, str] | None = None,
        time: datetime | None = None,
        *,
        suffix: str = "",
    ) -> None:
        """Add a sample; one with a time says when it was taken, one without is as of the answer. Histograms have
        samples of several names: `_bucket`, `_sum`, `_count`."""
        self.samples.append((f"{self.name}{suffix}", labels or {}, value, time))


def single_sample(
    name: str, type: str, help: str, value: float, labels: Mapping[str, str] | None = None
) -> MetricFamily:
    """A family of one sample."""
    family = MetricFamily(name, type, help)
    family.add(value, labels)
    return family


def format_metrics(families: Iterable[MetricFamily]) -> str:
    """Write the families that have samples."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
            lines += [_line(*sample) for sample in family.samples]
    return "\n".join(lines) + "\n"


def _line(name: str, labels: Mapping[str, str], value: float, time: datetime | None) -> str:
    shown = ",".join(f'{key}="{_escape(text)}"' for key, text in sorted(labels.items()))
    stamp = "" if time is None else f" {int(time.timestamp() * 1000)}"
    return f"{name}{{{shown}}} {_number(value)}{stamp}" if shown else f"{name} {_number(value)}{stamp}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
