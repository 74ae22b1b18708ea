"""The HTTP transport against a small server: connections, errors, retries, watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from control.api.errors import ApiError, not_found
from control.api.exchange import WatchEvent
from control.api.kinds import Kind
from control.client.client import Client, PatchType
from control.client.http_transport import HttpTransport
from control.client.transport import ServerUnavailableError

PODS = Kind(group="", version="v1", kind="Pod", plural="pods", singular="pod", namespaced=True)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer, **options: Any) -> AsyncIterator[Client]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    client = Client(HttpTransport(f"http://127.0.0.1:{runner.addresses[0][1]}", **options), field_manager="me")
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def test_request_carries_identity_query_and_body() -> None:
    seen: list[tuple[str, str, dict[str, str], Any, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(
            (
                request.method,
                request.path,
                dict(request.query),
                await request.json(),
                request.headers["Authorization"] + " " + request.headers["Content-Type"],
            )
        )
        return web.json_response({"kind": "Pod"})

    async with serving(answer, token="secret") as client:
        patch = {"metadata": {"labels": {"a": "b"}}}
        answered = await client.patch(
            PODS, "p", patch, namespace="n", type=PatchType.STRATEGIC, subresource="status", field_manager="x"
        )
    assert answered == {"kind": "Pod"}
    assert seen == [
        (
            "PATCH",
            "/api/v1/namespaces/n/pods/p/status",
            {"fieldManager": "x"},
            patch,
            "Bearer secret application/strategic-merge-patch+json",
        )
    ]


async def test_status_answer_is_an_api_error() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(not_found("", "pods", "p").to_status(), status=404)

    async with serving(answer) as client:
        with pytest.raises(ApiError) as caught:
            await client.get(PODS, "p", namespace="n")
        assert (caught.value.code, caught.value.reason) == (404, "NotFound")
        assert await client.find(PODS, "p", namespace="n") is None


async def test_text_answer_is_an_api_error_with_that_text() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="bad gateway\n", status=502)

    async with serving(answer) as client:
        with pytest.raises(ApiError, match="bad gateway"):
            await client.get(PODS, "p", namespace="n")


async def test_request_to_wait_is_obeyed() -> None:
    statuses = [429, 503, 200]

    async def answer(request: web.Request) -> web.StreamResponse:
        status = statuses.pop(0)
        headers = {"Retry-After": "0"} if status != 200 else {}
        return web.json_response({"kind": "Pod"}, status=status, headers=headers)

    async with serving(answer) as client:
        assert await client.get(PODS, "p", namespace="n") == {"kind": "Pod"}
    assert statuses == []


async def test_connection_is_reused() -> None:
    peers = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response({})

    async with serving(answer) as client:
        for _ in range(5):
            await client.get(PODS, "p", namespace="n")
    assert len(peers) == 1


async def test_unreachable_server_is_no_api_error() -> None:
    client = Client(HttpTransport("http://127.0.0.1:1"))
    with pytest.raises(ServerUnavailableError, match="cannot GET http://127"):
        await client.get(PODS, "p", namespace="n")
    with pytest.raises(ServerUnavailableError):
        await anext(client.watch(PODS))
    await client.close()


async def test_slow_server_is_given_up() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.json_response({})

    async with serving(answer, request_timeout_seconds=0.05) as client:
        with pytest.raises(ServerUnavailableError):
            await client.get(PODS, "p", namespace="n")


def line(type: str, number: int, pad: int = 0) -> bytes:
    obj = {"metadata": {"name": f"p{number}", "resourceVersion": str(number)}, "pad": "x" * pad}
    return json.dumps({"type": type, "object": obj}).encode() + b"\n"


async def test_watch_yields_batches_over_any_chunking() -> None:
    parts = [line("ADDED", 1) + line("ADDED", 2), line("MODIFIED", 3, pad=300_000)[:100], b"", line("DELETED", 4)]
    parts[2] = line("MODIFIED", 3, pad=300_000)[100:]

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.query["watch"] == "true"
        assert request.query["allowWatchBookmarks"] == "true"
        response = web.StreamResponse()
        await response.prepare(request)
        for part in parts:
            await response.write(part)
            await asyncio.sleep(0.02)
        return response

    async with serving(answer) as client:
        batches: list[list[WatchEvent]] = [batch async for batch in client.watch(PODS, resource_version="0")]
    events = [event for batch in batches for event in batch]
    assert [event.type for event in events] == ["ADDED", "ADDED", "MODIFIED", "DELETED"]
    assert len(batches[0]) == 2


async def test_error_event_ends_the_watch_as_api_error() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        return web.Response(body=line("ADDED", 1) + json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")

    async with serving(answer) as client:
        with pytest.raises(ApiError) as caught:
            async for _ in client.watch(PODS):
                pass
    assert caught.value.code == 410


class Tokens:
    """Gives a new token whenever one was refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    async def get(self) -> str:
        return f"token-{len(self.refused)}"

    def reject(self, token: str) -> bool:
        self.refused.append(token)
        return True


async def test_refused_token_is_renewed_once_for_a_request_and_for_the_next_watch() -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        if len(seen) in (1, 3, 5, 6):
            return web.json_response({"kind": "Status", "reason": "Unauthorized", "code": 401}, status=401)
        return web.json_response({"kind": "Pod"})

    tokens = Tokens()
    async with serving(answer, token=tokens) as client:
        assert await client.get(PODS, "p", namespace="n") == {"kind": "Pod"}
        with pytest.raises(ApiError):
            async for _ in client.watch(PODS, resource_version="1"):
                pass
        assert await client.get(PODS, "p", namespace="n") == {"kind": "Pod"}
        with pytest.raises(ApiError) as caught:
            await client.get(PODS, "p", namespace="n")
        assert caught.value.code == 401
    assert seen == [f"Bearer token-{count}" for count in (0, 1, 1, 2, 2, 3)]


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"\r\n\r\n", b"HTTP/1.1 ok\r\n\r\n"])
async def test_a_server_that_speaks_no_http_is_unavailable(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        transport = HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ServerUnavailableError):
            await transport.request("GET", "/version")
