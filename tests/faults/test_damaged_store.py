"""A cluster whose store is damaged says so, and comes back from a snapshot that was taken while it ran."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from control.api.builtin_kinds import CONFIG_MAPS, NAMESPACES
from control.api.errors import ApiError
from control.cli.main import app
from control.client.client import Client
from control.storage.snapshot import REVISION_STEP
from tests.faults.control_process import ControlProcess, control_process


def config_map(name: str, text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}}


def podling(root: Path, *arguments: str) -> str:
    """Run a command on the cluster `faults`; returns what it printed. Raises AssertionError if it fails."""
    result = CliRunner().invoke(app, [*arguments, "--name", "faults", "--data-dir", str(root)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"podling: {result.exception}"
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """Where the control plane of the cluster `faults` below `tmp_path` keeps its files."""
    place = tmp_path / "clusters" / "faults"
    place.mkdir(parents=True)
    return place


def truncate(store: Path) -> None:
    os.truncate(store, store.stat().st_size // 2)


def overwrite(store: Path) -> None:
    content = store.read_bytes()
    store.write_bytes(content[:8192] + b"\xa5" * 8192 + content[16384:])


def scratch_log(store: Path) -> None:
    shutil.copy(store, Path(f"{store}-wal"))


@pytest.mark.parametrize("damage", [truncate, overwrite, scratch_log])
async def test_a_damaged_store_is_refused_with_advice_and_a_snapshot_brings_it_back(
    cluster: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    snapshot = tmp_path / "saved"
    async with control_process(cluster) as process:
        client = process.connect()
        for number in range(40):
            await client.create(CONFIG_MAPS, config_map(f"m{number}", "before" * 100), namespace="default")
        assert "Saved " in await asyncio.to_thread(podling, tmp_path, "snapshot", "save", str(snapshot))
        assert "is using it" in await asyncio.to_thread(podling, tmp_path, "snapshot", "restore", str(snapshot))
        later = await client.create(CONFIG_MAPS, config_map("later", "x"), namespace="default")
        await client.close()
        assert await process.kill(signal.SIGTERM) == 0

        damage(process.directory.store_file)
        with pytest.raises(AssertionError, match=r"podling: cannot open .*`podling snapshot restore FILE`"):
            await process.start()
        assert "Restored " in await asyncio.to_thread(podling, tmp_path, "snapshot", "restore", str(snapshot))
        await process.start()
        await judge_restored(process, later)


async def judge_restored(process: ControlProcess, later: dict[str, Any]) -> None:
    """What was saved is there, what came later is not, and nobody can take the one for the other."""
    client = process.connect()
    seen = int(later["metadata"]["resourceVersion"])
    listed = await client.list(CONFIG_MAPS, namespace="default")
    names = {item["metadata"]["name"] for item in listed["items"]}
    assert {f"m{number}" for number in range(40)} <= names
    assert "later" not in names
    assert int(listed["metadata"]["resourceVersion"]) >= REVISION_STEP
    again = await client.create(CONFIG_MAPS, config_map("later", "y"), namespace="default")
    assert int(again["metadata"]["resourceVersion"]) > seen + REVISION_STEP // 2
    assert await watch_error(client, str(seen)) == 410
    await client.close()


async def watch_error(client: Client, resource_version: str) -> int:
    try:
        async for _ in client.watch(NAMESPACES, resource_version=resource_version):
            return 0
    except ApiError as error:
        return error.code
    return 0
