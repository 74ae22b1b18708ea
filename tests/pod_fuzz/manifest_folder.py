"""A folder of manifests in memory; what its files mean is decided by the agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from agent.static_pods.manifest import read_manifest
from control.api.clock import Clock
from control.api.objects import Object

NODE_NAME = "node-1"


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
