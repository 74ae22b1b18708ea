"""GET /stats/summary and /metrics: what the node's containers use, one sample each, taken when asked."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from agent.pods.container_cache import ContainerCache
from agent.pods.observed import ObservedContainer
from agent.runtime.protocol import Runtime, RuntimeFailure
from agent.runtime.stats import ContainerUsage, parse_usage
from agent.server.pod_lookup import PodLookup
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject
from control.api.timestamps import format_time


class UsageReports:
    """The handlers."""

    def __init__(
        self, lookup: PodLookup, cache: ContainerCache, runtime: Runtime, node_name: str, clock: Clock
    ) -> None:
        self._lookup = lookup
        self._cache = cache
        self._runtime = runtime
        self._node_name = node_name
        self._clock = clock

    async def summary(self, request: web.Request) -> web.Response:
        """The kubelet's summary, as far as the engine knows it."""
        now = format_time(self._clock.now())
        pods = []
        for pod, samples in await self._samples():
            containers = [_container_stats(container, usage, now) for container, usage in samples]
            metadata = pod["metadata"]
            reference = {name: metadata[name] for name in ("name", "namespace", "uid")}
            pods.append(
                {
                    "podRef": reference,
                    "startTime": (pod.get("status") or {}).get("startTime"),
                    "containers": containers,
                    "cpu": {"time": now, "usageCoreNanoSeconds": sum(use.cpu_nanoseconds for _, use in samples)},
                    "memory": {
                        "time": now,
                        "usageBytes": sum(use.memory_usage_bytes for _, use in samples),
                        "workingSetBytes": sum(use.memory_working_set_bytes for _, use in samples),
                    },
                }
            )
        body = orjson.dumps({"node": {"nodeName": self._node_name}, "pods": pods})
        return web.Response(body=body, content_type="application/json")

    async def metrics(self, request: web.Request) -> web.Response:
        """The resource metrics in Prometheus' text format."""
        lines = [
            "# TYPE container_cpu_usage_seconds_total counter",
            "# TYPE container_memory_working_set_bytes gauge",
        ]
        for pod, samples in await self._samples():
            metadata = pod["metadata"]
            for container, usage in samples:
                labels = (
                    f'{{container="{container.name}",namespace="{metadata["namespace"]}",pod="{metadata["name"]}"}}'
                )
                lines.append(f"container_cpu_usage_seconds_total{labels} {usage.cpu_nanoseconds / 1e9:.9f}")
                lines.append(f"container_memory_working_set_bytes{labels} {usage.memory_working_set_bytes}")
        return web.Response(text="\n".join(lines) + "\n")

    async def _samples(self) -> list[tuple[ReadOnlyObject, list[tuple[ObservedContainer, ContainerUsage]]]]:
        found = []
        for pod in self._lookup.pods():
            observed = self._cache.observe(pod["metadata"]["uid"], stopping={}, attached=())
            running = observed.running_containers()
            samples = await asyncio.gather(*(self._sample(container) for container in running))
            found.append((pod, [(one, usage) for one, usage in zip(running, samples, strict=True) if usage]))
        return found

    async def _sample(self, container: ObservedContainer) -> ContainerUsage | None:
        try:
            return parse_usage(await self._runtime.stats(container.id))
        except RuntimeFailure:
            return None


def _container_stats(container: ObservedContainer, usage: ContainerUsage, now: str) -> dict[str, Any]:
    started_at = container.record.started_at
    return {
        "name": container.name,
        "startTime": format_time(started_at) if started_at else None,
        "cpu": {"time": now, "usageCoreNanoSeconds": usage.cpu_nanoseconds},
        "memory": {
            "time": now,
            "usageBytes": usage.memory_usage_bytes,
            "workingSetBytes": usage.memory_working_set_bytes,
            "rssBytes": usage.memory_rss_bytes,
        },
    }
