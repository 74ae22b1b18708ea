"""A control plane that comes back with 50,000 objects: seconds until the API is ready, and what it weighs then."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.api_server import POD_BYTES
from benchmarks.cluster_start import BenchmarkCluster, rss_mb
from control.api.builtin_kinds import CONFIG_MAPS, PODS
from control.api.kinds import Kind
from control.api.objects import Object
from control.apiserver.cache.encoding import encode_for_storage
from control.cli.supervisor_client import ask
from control.storage.sqlite import SqliteStorage

OBJECTS = 50_000
_NAMESPACES = 50
_GROUP = 1000


def measure_large_start(cluster: BenchmarkCluster) -> tuple[float, float]:
    """Seconds of `podling up` on a full store (half Pods, half ConfigMaps) without nodes; MB of the control plane."""
    cluster.podling("up", "--nodes", "0")
    cluster.podling("down")
    asyncio.run(_fill(cluster.directory.store_file))
    begin = time.perf_counter()
    cluster.podling("up", "--nodes", "0")
    seconds = time.perf_counter() - begin
    status = ask(cluster.directory, "status")
    assert status is not None
    return seconds, sum(rss_mb(item["pid"]) for item in status["processes"])


async def _fill(path: Path) -> None:
    storage = await SqliteStorage.open(path)
    for first in range(0, OBJECTS, _GROUP):
        await asyncio.gather(*(_create(storage, number) for number in range(first, first + _GROUP)))
    await storage.close()


async def _create(storage: SqliteStorage, number: int) -> None:
    kind = PODS if number % 2 else CONFIG_MAPS
    namespace = f"large-{number % _NAMESPACES}"
    obj = _make(kind, namespace, f"object-{number:05}")
    await storage.create(kind.storage_key(namespace, obj["metadata"]["name"]), encode_for_storage(obj))


def _make(kind: Kind, namespace: str, name: str) -> Object:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    obj: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    if kind is PODS:
        obj["spec"] = {"schedulerName": "none", "containers": [{"name": "main", "image": "nginx"}]}
        obj["status"] = {"phase": "Pending"}
    size = len(encode_for_storage(obj))
    metadata["annotations"] = {"padding": "x" * (POD_BYTES - size)}  # type: ignore[assignment]
    return obj
