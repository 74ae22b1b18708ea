"""From two readings of a node to what it and its containers use per second. Pure.

As metrics-server: processor time is the difference of two points, memory is that of the newer one. A container that is
younger than the older reading is measured from its own start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from control.api.objects import Object
from control.api.quantity import Quantity, format_bytes, format_quantity
from control.apiserver.extensions.resource_metrics.samples import Point, Reading

#: A rate over less time than this says nothing.
WINDOW_SECONDS_MIN = 0.5
_NANOS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Nanoseconds of processor time per second over the `window_seconds` that end at `time`, and memory at its end."""

    time: float
    window_seconds: float
    cpu_nanos: int
    memory_bytes: int

    def quantities(self) -> Object:
        """The usage as resource quantities."""
        return {"cpu": format_quantity(Quantity(self.cpu_nanos)), "memory": format_bytes(self.memory_bytes)}


def node_usage(older: Reading, newer: Reading) -> Usage | None:
    """What the node uses; None if its pages do not say."""
    return _usage(older.node, newer.node)


def pod_usage(older: Reading, newer: Reading, namespace: str, name: str) -> dict[str, Usage]:
    """What each container of a Pod uses, by name; empty if that is not known of every one that runs."""
    found = {}
    for key, point in newer.containers.items():
        if key[:2] == (namespace, name) and point.is_complete:
            usage = _usage(older.containers.get(key), point)
            if usage is None:
                return {}
            found[key[2]] = usage
    return found


def _usage(older: Point | None, newer: Point) -> Usage | None:
    since = _starting_point(older, newer)
    if since is None or newer.cpu_seconds is None or newer.memory_bytes is None:
        return None
    time, cpu_seconds = since
    window = newer.time - time
    if window < WINDOW_SECONDS_MIN:
        return None
    return Usage(
        time=newer.time,
        window_seconds=window,
        cpu_nanos=max(0, round((newer.cpu_seconds - cpu_seconds) / window * _NANOS)),
        memory_bytes=newer.memory_bytes,
    )


def _starting_point(older: Point | None, newer: Point) -> tuple[float, float] | None:
    """Time and counter to measure from: the older point, or the start of a counter that began after it."""
    is_new = older is None or (newer.started_at is not None and newer.started_at > older.time)
    if is_new:
        return None if newer.started_at is None else (newer.started_at, 0.0)
    assert older is not None
    if older.cpu_seconds is None or (newer.cpu_seconds or 0.0) < older.cpu_seconds:
        return None
    return older.time, older.cpu_seconds


def earliest(usages: Sequence[Usage]) -> Usage:
    """The one that ends first: it stands for the whole Pod, as in metrics-server."""
    return min(usages, key=lambda usage: usage.time)


def container_metrics(usages: Mapping[str, Usage], order: Sequence[str]) -> list[Object]:
    """The containers of a PodMetrics, in the order of the Pod's."""
    position = {name: index for index, name in enumerate(order)}
    names = sorted(usages, key=lambda name: (position.get(name, len(position)), name))
    return [{"name": name, "usage": usages[name].quantities()} for name in names]
