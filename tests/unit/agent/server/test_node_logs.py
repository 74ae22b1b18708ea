"""`/logs/`: the machine's log files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web

from agent.server.node_logs import NodeLogs
from agent.server.pod_lookup import LookupFailure


@pytest_asyncio.fixture
async def session(tmp_path: Path) -> AsyncIterator[ClientSession]:
    root = tmp_path / "log"
    (root / "pods").mkdir(parents=True)
    (root / "a b").mkdir()
    os.mkfifo(root / "pipe")
    (root / "sys<log>").write_text("one\ntwo\n")
    (tmp_path / "engine.log").write_text("of a container\n")
    (root / "pods" / "0.log").symlink_to(tmp_path / "engine.log")
    logs = NodeLogs(root)

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await logs.handle(request)
        except LookupFailure as failure:
            return web.Response(status=failure.status, text=failure.message)

    app = web.Application()
    app.add_routes([web.get("/logs", handle), web.get("/logs/{path:.*}", handle)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    async with ClientSession(f"http://{host}:{port}") as client:
        yield client
    await runner.cleanup()


async def test_a_directory_is_a_page_of_links(session: ClientSession) -> None:
    async with session.get("/logs/") as answer:
        assert answer.content_type == "text/html"
        page = await answer.text()
    assert '<a href="pods/">pods/</a>\n<a href="sys%3Clog%3E">sys&lt;log&gt;</a>\n' in page


async def test_files_are_served_whole_in_part_and_through_links(session: ClientSession) -> None:
    async with session.get("/logs/sys%3Clog%3E") as answer:
        assert await answer.text() == "one\ntwo\n"
    async with session.get("/logs/sys%3Clog%3E", headers={"Range": "bytes=4-6"}) as answer:
        assert (answer.status, await answer.text()) == (206, "two")
    async with session.get("/logs/pods/0.log") as answer:
        assert await answer.text() == "of a container\n"


@pytest.mark.parametrize(("path", "location"), [("/logs", "logs/"), ("/logs/pods", "pods/"), ("/logs/a%20b", "a%20b/")])
async def test_a_directory_ends_in_a_slash(session: ClientSession, path: str, location: str) -> None:
    async with session.get(path, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, location)


@pytest.mark.parametrize(("path", "status"), [("/logs/none", 404), ("/logs/pipe", 404), ("/logs/..%2fengine.log", 400)])
async def test_nothing_else_is_served(session: ClientSession, path: str, status: int) -> None:
    from yarl import URL

    async with session.get(URL(path, encoded=True)) as answer:
        assert answer.status == status
