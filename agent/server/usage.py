"""The pages about usage: `/stats/summary`, `/metrics`, and what is below it; sampled when asked."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import orjson
from aiohttp import web

from agent.node.eviction.pod_usage import FileUsage
from agent.pods.probe_tally import ProbeTally
from agent.usage.cadvisor_metrics import cadvisor_metrics
from agent.usage.own_figures import OwnFigures, figure_metrics
from agent.usage.own_metrics import own_metrics
from agent.usage.own_process import process_metrics, read_own_process
from agent.usage.probe_metrics import probe_metrics
from agent.usage.prometheus import CONTENT_TYPE, MetricFamily, format_metrics
from agent.usage.resource_metrics import resource_metrics
from agent.usage.samples import NodeSample, UsageSampler
from agent.usage.summary import summary_of
from control.api.objects import Object


class UsagePages:
    """The handlers."""

    def __init__(self, sampler: UsageSampler, probes: ProbeTally, figures: OwnFigures, *, engine_version: str) -> None:
        self._sampler = sampler
        self._probes = probes
        self._figures = figures
        self._engine_version = engine_version

    async def summary(self, request: web.Request) -> web.Response:
        """The kubelet's summary, as far as the engine knows it."""
        only = request.query.get("only_cpu_and_memory", "").lower() in ("1", "true", "t")
        sample = await self._sampler.sample(with_files=not only, with_claims=not only)
        # Sizes of logs are read from the disk.
        body = await asyncio.to_thread(_encode_summary, sample, only)
        return web.Response(body=body, content_type="application/json")

    async def metrics(self, request: web.Request) -> web.Response:
        """What the agent says of itself."""
        pods = await self._sampler.sample_claims()
        process = await asyncio.to_thread(read_own_process)
        return _text(
            [*own_metrics(self._sampler.node_name, pods), *figure_metrics(self._figures), *process_metrics(process)]
        )

    async def resource_metrics(self, request: web.Request) -> web.Response:
        """Processor time and memory, for metrics-server."""
        return _text(resource_metrics(await self._sampler.sample()))

    async def cadvisor_metrics(self, request: web.Request) -> web.Response:
        """What dashboards ask for."""
        sample = await self._sampler.sample(with_files=True, with_open_files=True)
        return _text(cadvisor_metrics(sample, version=self._engine_version))

    async def probe_metrics(self, request: web.Request) -> web.Response:
        """How often the probes of containers succeeded and failed."""
        return _text(probe_metrics(self._probes))


def _encode_summary(sample: NodeSample, only_cpu_and_memory: bool) -> bytes:
    summary: Object = summary_of(sample, only_cpu_and_memory=only_cpu_and_memory, log_files=_log_files)
    return orjson.dumps(summary)


def _text(families: list[MetricFamily]) -> web.Response:
    return web.Response(body=format_metrics(families).encode(), headers={"Content-Type": CONTENT_TYPE})


def _log_files(log_path: str) -> FileUsage:
    """What a container's log takes on the disk, with its rotated predecessors."""
    used_bytes, inodes, path = 0, 0, Path(log_path)
    with suppress(OSError):
        for entry in os.scandir(path.parent):
            if entry.name.startswith(path.name):
                used_bytes += entry.stat().st_size
                inodes += 1
    return FileUsage(used_bytes=used_bytes, inodes=inodes)
