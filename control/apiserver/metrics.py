"""What the API server counts, shown by /metrics in Prometheus' text form under upstream's names.

Counting is a dict update; `prometheus_client` formats the numbers and is imported by the first scrape.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from control.apiserver.request_info import RequestInfo

#: How often the lag of the event loop is measured, and how much of the past its maximum covers.
LAG_INTERVAL_SECONDS = 1.0

RequestKey = tuple[str, str, str, str, str, str]


class ServerMetrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.requests: Counter[RequestKey] = Counter()
        self.request_seconds: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
        self.loop_lag_seconds = 0.0
        self.loop_lag_seconds_max = 0.0
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def count_request(self, info: RequestInfo, status: int, seconds: float) -> None:
        """Count one answered request."""
        verb = info.verb.upper()
        self.requests[verb, info.group, info.version, info.resource, info.subresource, str(status)] += 1
        summary = self.request_seconds[verb, info.resource]
        summary[0] += 1
        summary[1] += seconds

    def add_gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Show a number that somebody else keeps."""
        self._gauges[name] = (description, read)

    async def measure_loop_lag(self) -> None:
        """Measure for ever how late the event loop runs what is due."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL_SECONDS
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            self.loop_lag_seconds = max(0.0, loop.time() - due)
            self.loop_lag_seconds_max = max(self.loop_lag_seconds, self.loop_lag_seconds_max * 0.99)

    def to_text(self) -> bytes:
        """Format everything for a scrape."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Any]:
        """Yield metric families (the collector protocol of prometheus_client)."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

        requests = CounterMetricFamily(
            "apiserver_request_total",
            "Counter of apiserver requests broken out for each verb, group, version, resource, scope and code.",
            labels=["verb", "group", "version", "resource", "subresource", "code"],
        )
        for key, count in self.requests.items():
            requests.add_metric(key, count)
        yield requests
        seconds = SummaryMetricFamily(
            "apiserver_request_duration_seconds",
            "Response latency in seconds of requests that are no streams.",
            labels=["verb", "resource"],
        )
        for pair, (answered, total) in self.request_seconds.items():
            seconds.add_metric(pair, count_value=int(answered), sum_value=total)
        yield seconds
        yield GaugeMetricFamily("podling_event_loop_lag_seconds", "Last lag.", value=self.loop_lag_seconds)
        yield GaugeMetricFamily(
            "podling_event_loop_lag_seconds_max", "Largest recent lag, fading.", value=self.loop_lag_seconds_max
        )
        for name, (description, read) in self._gauges.items():
            yield GaugeMetricFamily(name, description, value=read())
