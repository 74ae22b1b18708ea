"""The store cannot write: writes are refused with a Status, reads go on, and nothing is left of what failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from control.api.clock import FakeClock
from control.apiserver.own_loop import RETRY_SECONDS
from control.storage.sqlite import SqliteStorage
from tests.fakes.api_server import running_api_server
from tests.unit.apiserver.api_calls import ApiCalls, config_map

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"


@pytest.fixture
async def storage(tmp_path: Path) -> SqliteStorage:
    return await SqliteStorage.open(tmp_path / "s.db")


@pytest.fixture
async def api(storage: SqliteStorage) -> AsyncIterator[ApiCalls]:
    async with running_api_server(storage=storage, https=False, profile="upstream") as running:
        yield ApiCalls(running.endpoint)


def set_read_only(storage: SqliteStorage, is_read_only: bool) -> None:
    """Let SQLite refuse writes as it does when the file system was remounted read-only."""
    storage._connection.execute(f"PRAGMA query_only={int(is_read_only)}")


def service(name: str, cluster_ip: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"clusterIP": cluster_ip, "ports": [{"port": 80}]}}


async def test_writes_are_503_and_reads_go_on_until_the_store_can_write_again(
    api: ApiCalls, storage: SqliteStorage
) -> None:
    before = await api.call("POST", MAPS, config_map("kept"), expect=201)
    watch = await api.send("GET", MAPS, query={"watch": "1", "resourceVersion": before["metadata"]["resourceVersion"]})
    assert watch.stream is not None
    first = asyncio.ensure_future(anext(aiter(watch.stream)))
    set_read_only(storage, True)
    patch = {"data": {"a": "2"}}
    for status in (
        await api.call("POST", MAPS, config_map("new"), expect=503),
        await api.patch(f"{MAPS}/kept", patch, expect=503),
        await api.call("PUT", f"{MAPS}/kept", {**before, **patch}, expect=503),
        await api.call("DELETE", f"{MAPS}/kept", expect=503),
    ):
        assert (status["kind"], status["status"], status["reason"]) == ("Status", "Failure", "ServiceUnavailable")
        assert "cannot write" in status["message"]
        assert "readonly" in status["message"]
    assert await api.call("GET", f"{MAPS}/kept") == before
    listed = await api.call("GET", MAPS)
    exact = {"resourceVersion": listed["metadata"]["resourceVersion"], "resourceVersionMatch": "Exact"}
    assert (await api.call("GET", MAPS, query=exact))["items"] == listed["items"]
    assert not first.done()

    set_read_only(storage, False)
    made = await api.call("POST", MAPS, config_map("new"), expect=201)
    assert int(made["metadata"]["resourceVersion"]) > int(listed["metadata"]["resourceVersion"])
    assert orjson.loads(await first)["object"]["metadata"]["name"] == "new"


async def test_what_a_failed_write_had_allocated_is_free_again(api: ApiCalls, storage: SqliteStorage) -> None:
    set_read_only(storage, True)
    await api.call("POST", SERVICES, service("a", "10.96.7.7"), expect=503)
    set_read_only(storage, False)
    await api.call("POST", SERVICES, service("b", "10.96.7.7"), expect=201)
    status = await api.call("POST", SERVICES, service("c", "10.96.7.7"), expect=422)
    assert "provided IP is already allocated" in status["message"]


async def test_the_servers_own_work_is_done_when_the_store_can_write_again(
    storage: SqliteStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """No change wakes it then: a disk that has room again is none."""
    clock = FakeClock()
    async with running_api_server(storage=storage, clock=clock, https=False, profile="upstream") as running:
        set_read_only(storage, True)
        api = ApiCalls(running.endpoint)
        path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/exempt"
        while "Could not update a status" not in caplog.text:  # noqa: ASYNC110 - nothing but the log tells
            await asyncio.sleep(0.01)
        set_read_only(storage, False)
        while not ((await api.call("GET", path)).get("status") or {}).get("conditions"):
            await clock.advance(RETRY_SECONDS)
            await asyncio.sleep(0.01)


async def test_readiness_does_not_depend_on_writes(api: ApiCalls, storage: SqliteStorage) -> None:
    set_read_only(storage, True)
    response = await api.send("GET", "/readyz")
    assert (response.status, response.body) == (200, b"ok")
