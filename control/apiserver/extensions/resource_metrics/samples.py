"""One reading of a node's `/metrics/resource`: counters with their times. Pure.

The page is the kubelet's, so nodes may be real kubelets. What is not asked for here is skipped, whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+(-?\d+))?\s*\Z", re.ASCII)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"', re.ASCII)
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\"": '"'}


@dataclass(slots=True)
class Point:
    """Processor time so far and memory now, at a time in seconds since the epoch; None for what was not said.

    `started_at` is when the counter began to count.
    """

    time: float
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    started_at: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether both are known."""
        return self.cpu_seconds is not None and self.memory_bytes is not None


#: namespace, Pod, container
ContainerKey = tuple[str, str, str]


@dataclass(slots=True)
class Reading:
    """What one page says: of the node, and of each container."""

    node: Point
    containers: dict[ContainerKey, Point] = field(default_factory=dict)


def parse_reading(text: str, read_at: float) -> Reading:
    """Read a page. `read_at` is the time of samples that do not name their own."""
    reading = Reading(Point(read_at))
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        name, labels, value, stamp = match.groups()
        try:
            _note(reading, name, _parse_labels(labels or ""), float(value), int(stamp) / 1000 if stamp else read_at)
        except ValueError:
            continue
    return reading


def _note(reading: Reading, name: str, labels: Mapping[str, str], value: float, time: float) -> None:
    scope, _, rest = name.partition("_")
    if scope == "node":
        point = reading.node
    elif scope == "container":
        key = (labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
        point = reading.containers.setdefault(key, Point(time))
    else:
        return
    match rest:
        case "cpu_usage_seconds_total":
            point.cpu_seconds, point.time = value, time
        case "memory_working_set_bytes":
            point.memory_bytes = int(value)
        case "start_time_seconds":
            point.started_at = value


def _parse_labels(text: str) -> dict[str, str]:
    return {
        name: re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), value)
        for name, value in _LABEL.findall(text)
    }
