"""A node of fakes with static Pods: their manifests stand in memory, what they mean is decided by the agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.static_pods.manifest import read_manifest
from agent.static_pods.mirror_pods import MirrorPods
from agent.static_pods.static_pods import StaticPods
from control.api.clock import Clock, FakeClock
from control.api.objects import Object
from control.client.informer import EventHandler
from tests.fakes.agent_node import HollowNode

NODE_NAME = "node-1"
NODE: Object = {"kind": "Node", "metadata": {"name": NODE_NAME, "uid": "uid-of-node"}}


class ManifestFolder:
    """Stands for `agent.static_pods.manifest_directory.ManifestDirectory`, with contents by file name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._contents: dict[str, bytes] = {}
        self._changed = asyncio.Event()

    async def read(self) -> list[Object]:
        """The Pods of all files."""
        return [pod for name in sorted(self._contents) if (pod := self.find(name)) is not None]

    async def run(self, on_pods: Callable[[list[Object]], None]) -> None:
        """Tell of all Pods whenever a file has changed, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            on_pods(await self.read())

    def find(self, name: str) -> Object | None:
        """The Pod that a file means, if there is that file."""
        content = self._contents.get(name)
        return None if content is None else read_manifest(content, f"/manifests/{name}", NODE_NAME, self._clock.now())

    def write(self, name: str, pod: Object | None) -> None:
        """Write a file, or remove it."""
        self._contents.pop(name, None)
        if pod is not None:
            self._contents[name] = json.dumps(pod).encode()
        self._changed.set()


class StaticPodNode(HollowNode):
    """Runs what its manifests say, beside the Pods of the API."""

    def __init__(self, directory: Path, *, clock: FakeClock | None = None) -> None:
        super().__init__(directory, clock=clock)
        self.manifests = ManifestFolder(self.clock)
        self.before_adoption = self._begin_static_pods

    def _mirror_handler(self) -> EventHandler:
        """As the agent: static Pods have workers of their own kind, and their mirrors a keeper."""
        self.mirrors = MirrorPods(self.client, self.reporter, node=lambda: NODE, clock=self.clock)
        services = replace(self.worker_services, reporter=self.mirrors)
        folder: Any = self.manifests
        self.static = StaticPods(
            folder, workers=self.workers, services=services, mirrors=self.mirrors, clock=self.clock
        )
        return self.mirrors.on_pod_change

    async def _begin_static_pods(self) -> None:
        await self.static.start()
        self._tasks += [asyncio.ensure_future(work) for work in (self.static.run(), self.mirrors.run())]
