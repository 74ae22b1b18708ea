"""The pages about usage: `/stats/summary`, `/metrics`, and what is below it; sampled when asked."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import orjson
from aiohttp import web

from agent.pods.probe_tally import ProbeTally
from agent.usage.cadvisor_metrics import cadvisor_metrics
from agent.usage.own_metrics import own_metrics
from agent.usage.probe_metrics import probe_metrics
from agent.usage.prometheus import CONTENT_TYPE, MetricFamily, format_metrics
from agent.usage.resource_metrics import resource_metrics
from agent.usage.samples import NodeSample, UsageSampler
from agent.usage.summary import summary_of
from control.api.objects import Object


class UsagePages:
    """The handlers."""

    def __init__(self, sampler: UsageSampler, probes: ProbeTally) -> None:
        self._sampler = sampler
        self._probes = probes

    async def summary(self, request: web.Request) -> web.Response:
        """The kubelet's summary, as far as the engine knows it."""
        only = request.query.get("only_cpu_and_memory", "").lower() in ("1", "true", "t")
        sample = await self._sampler.sample(with_files=not only, with_claims=not only)
        # Sizes of logs are read from the disk.
        body = await asyncio.to_thread(_encode_summary, sample, only)
        return web.Response(body=body, content_type="application/json")

    async def metrics(self, request: web.Request) -> web.Response:
        """What the agent says of itself."""
        return _text(own_metrics(await self._sampler.sample(with_claims=True)))

    async def resource_metrics(self, request: web.Request) -> web.Response:
        """Processor time and memory, for metrics-server."""
        return _text(resource_metrics(await self._sampler.sample()))

    async def cadvisor_metrics(self, request: web.Request) -> web.Response:
        """What dashboards ask for."""
        return _text(cadvisor_metrics(await self._sampler.sample()))

    async def probe_metrics(self, request: web.Request) -> web.Response:
        """How often the probes of containers succeeded and failed."""
        return _text(probe_metrics(self._probes))


def _encode_summary(sample: NodeSample, only_cpu_and_memory: bool) -> bytes:
    summary: Object = summary_of(sample, only_cpu_and_memory=only_cpu_and_memory, log_bytes=_log_bytes)
    return orjson.dumps(summary)


def _text(families: list[MetricFamily]) -> web.Response:
    return web.Response(body=format_metrics(families).encode(), headers={"Content-Type": CONTENT_TYPE})


def _log_bytes(log_path: str) -> int:
    """What a container's log takes on the disk, with its rotated predecessors."""
    total, path = 0, Path(log_path)
    with suppress(OSError):
        for entry in os.scandir(path.parent):
            if entry.name.startswith(path.name):
                total += entry.stat().st_size
    return total
