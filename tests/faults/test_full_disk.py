"""The disk of the cluster's state is full: writes are refused, reads go on, nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.cli.api_probe import ApiProbe
from control.cli.supervisor_client import ask
from control.config import ClusterDirectory
from tests.cluster import Cluster, run

# Mounting needs the rights that real nodes need.
pytestmark = pytest.mark.docker

DISK_BYTES = 24 << 20
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster without nodes whose data directory is a small file system."""
    made = Cluster(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "podling-test", str(data)])
    try:
        made.up("--nodes", "0")
        yield made
    finally:
        (data / "filler").unlink(missing_ok=True)
        made.delete()
        run(["umount", "--lazy", str(data)])


def probe_of(cluster: Cluster) -> ApiProbe:
    directory = ClusterDirectory(cluster.state)
    config = directory.load()
    assert config is not None
    return ApiProbe(directory, config)


def create(api: ApiProbe, name: str) -> int:
    """Create a ConfigMap of 100 kB; returns the status."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": "x" * 100_000}}
    answer = api.send("POST", CONFIG_MAPS, body)
    return answer[0] if answer is not None else 0


def test_a_full_disk_refuses_writes_and_loses_nothing(cramped: Cluster) -> None:
    api = probe_of(cramped)
    filler = cramped.directory / "data" / "filler"
    free = os.statvfs(filler.parent)
    filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - (2 << 20))))
    acknowledged: set[str] = set()
    status = 201
    while status == 201 and len(acknowledged) < 100:
        if (status := create(api, f"kept-{len(acknowledged)}")) == 201:
            acknowledged.add(f"kept-{len(acknowledged)}")
    assert acknowledged
    assert status == 503
    answer = api.get(CONFIG_MAPS)
    assert answer is not None
    assert acknowledged <= {item["metadata"]["name"] for item in answer[1]["items"]}

    processes = ask(ClusterDirectory(cramped.state), "status")
    assert processes is not None
    [control] = [item for item in processes["processes"] if item["name"] == "control"]
    assert control["restarts"] == 0
    filler.unlink()
    assert create(api, "after") == 201
    os.kill(control["pid"], signal.SIGKILL)
    api.close()
    cramped.up("--nodes", "0")
    names = {item["metadata"]["name"] for item in cramped.get("configmaps")["items"]}
    assert acknowledged | {"after"} <= names
