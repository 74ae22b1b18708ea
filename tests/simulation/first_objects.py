"""What a cluster's disk holds after its first start, made once: most seeds begin there and save the making."""

from __future__ import annotations

import asyncio
import functools
from random import Random

from control.apiserver.app import ApiServer, ApiServerConfig
from control.storage.memory import MemoryStorage
from tests.simulation.determinism import determinism
from tests.simulation.loop import HostClock, VirtualLoop


def fill(storage: MemoryStorage) -> None:
    """Write everything that the API server makes at its first start."""
    for key, value in first_objects():
        try:
            storage.create(key, value).send(None)
        except StopIteration:
            continue


@functools.cache
def first_objects() -> tuple[tuple[str, bytes], ...]:
    """Keys and values in the order of their writing."""
    with determinism(0):
        return _make()


def _make() -> tuple[tuple[str, bytes], ...]:
    loop = VirtualLoop()
    storage = MemoryStorage(clock=HostClock(loop))
    server = ApiServer(config=ApiServerConfig(), storage=storage, random=Random(0), clock=HostClock(loop))

    async def start() -> None:
        await server.start()
        await server.stop()
        await asyncio.sleep(0)

    try:
        loop.run_until_complete(start())
    finally:
        loop.close()
    listed = sorted(storage._entries.items(), key=lambda item: item[1].revision)
    return tuple((key, entry.value) for key, entry in listed)
