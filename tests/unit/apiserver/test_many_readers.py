"""Many watches, slow readers, long lists and too many requests at once: nobody waits for anybody else."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

from control.api.exchange import ApiRequest, User
from control.apiserver.cache import watcher as watcher_module
from control.apiserver.cache.encoding import encode_for_storage
from control.apiserver.filters.priority import READING_MAX
from control.apiserver.http_protocol import PIECE_BYTES
from control.apiserver.serving import HttpsServer, serve
from tests.fakes.api_server import RunningApiServer
from tests.unit.apiserver.api_calls import ApiCalls, config_map

MAPS = "/api/v1/namespaces/default/configmaps"
WATCHES = 1000
TOKEN = "secret-of-the-test"
READER = User(name="reader", groups=("system:authenticated",))
BINDING = {
    "metadata": {"name": "reader"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}],
}


@pytest.fixture
def many_files() -> Iterator[None]:
    """A connection is a file on both sides."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


@pytest.fixture
async def listener(server: RunningApiServer, many_files: None) -> AsyncIterator[HttpsServer]:
    """The server's pipeline behind a socket without TLS, which would be most of the test's time."""

    async def as_admin(request: ApiRequest) -> Any:
        return await server.endpoint(
            ApiRequest(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                body=request.body,
                user=User(name="admin", groups=("system:masters",)),
            )
        )

    listening = await serve(as_admin, host="127.0.0.1", port=0, ssl_context=None)
    yield listening
    await listening.close()


@contextlib.asynccontextmanager
async def opened(listener: HttpsServer, target: str, **options: int) -> AsyncIterator[asyncio.StreamReader]:
    """Ask for a target; yields what reads the answer, its head read already."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, **options)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        yield reader
    finally:
        writer.transport.abort()


async def read_event(reader: asyncio.StreamReader) -> Any:
    """The next event of a watch whose chunks have one each."""
    size = int(await reader.readline(), 16)
    chunk = await reader.readexactly(size + 2)
    return orjson.loads(chunk)


async def test_a_thousand_watches_see_an_event(listener: HttpsServer, api: ApiCalls) -> None:
    async with contextlib.AsyncExitStack() as stack:
        target = f"{MAPS}?watch=1&resourceVersion=0&fieldSelector=metadata.name%3Dseen"
        readers = [await stack.enter_async_context(opened(listener, target)) for _ in range(WATCHES)]
        await api.call("POST", MAPS, config_map("seen"), expect=201)
        events = await asyncio.gather(*(read_event(reader) for reader in readers))
    assert {(event["type"], event["object"]["metadata"]["name"]) for event in events} == {("ADDED", "seen")}


async def test_a_reader_that_never_reads_holds_nobody_up(
    listener: HttpsServer, api: ApiCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "BUFFER_EVENTS_MAX", 50)
    made = await api.call("POST", MAPS, config_map("big"), expect=201)
    target = f"{MAPS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}"
    async with opened(listener, target, limit=1024) as slow, opened(listener, target) as quick:
        for number in range(200):
            patch = {"data": {"a": f"{number:03}" + "x" * 100_000}}
            await api.patch(f"{MAPS}/big", patch)
            event = await read_event(quick)
            assert event["object"]["data"]["a"][:3] == f"{number:03}"
        # Cut off: what was sent before is whole, then the stream ends as at a time-out and the client resumes.
        received = b""
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += await slow.read(1 << 20)
    assert received.count(b'"type":"MODIFIED"') < 200


async def test_a_watch_that_was_cut_off_ends_its_stream(listener: HttpsServer, api: ApiCalls) -> None:
    made = await api.call("POST", MAPS, config_map("a"), expect=201)
    target = f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={made['metadata']['resourceVersion']}"
    async with opened(listener, target) as reader:
        assert await reader.readline() == b"0\r\n"


async def fill(server: RunningApiServer, count: int) -> None:
    """Put objects into the store: creating as many through the pipeline would be most of the test's time."""
    for number in range(count):
        name = f"m{number:05}"
        obj = {**config_map(name), "metadata": {"name": name, "namespace": "default", "uid": str(number)}}
        await server.storage.create(f"/core/configmaps/default/{name}", encode_for_storage(obj))


async def test_ten_thousand_objects_are_listed_whole_and_in_pages(server: RunningApiServer, api: ApiCalls) -> None:
    await fill(server, 10_000)
    whole = await api.call("GET", MAPS)
    names = [item["metadata"]["name"] for item in whole["items"]]
    assert names == sorted(names)
    assert len(names) == 10_000
    paged: list[str] = []
    query = {"limit": "3000"}
    while True:
        page = await api.call("GET", MAPS, query=query)
        paged += [item["metadata"]["name"] for item in page["items"]]
        assert page["metadata"].get("remainingItemCount", 0) == 10_000 - len(paged)
        if not page["metadata"].get("continue"):
            break
        query = {"limit": "3000", "continue": page["metadata"]["continue"]}
    assert paged == names


async def test_a_long_list_arrives_in_pieces_and_others_get_their_turn(
    server: RunningApiServer, listener: HttpsServer, api: ApiCalls
) -> None:
    await fill(server, 20_000)
    expected = (await api.send("GET", MAPS)).body
    assert expected is not None
    assert len(expected) > 4 * PIECE_BYTES
    async with opened(listener, MAPS, limit=1024) as slow:
        async with opened(listener, f"{MAPS}/m00000") as other:
            assert b"m00000" in await other.read(200)
        assert await slow.readexactly(len(expected)) == expected


async def test_more_requests_than_allowed_are_told_to_come_back(server: RunningApiServer, api: ApiCalls) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    await api.call("POST", path, BINDING, expect=201)
    reader = ApiCalls(server.endpoint, READER)
    gate = asyncio.Event()
    waiting = [asyncio.create_task(_hold(server, gate)) for _ in range(READING_MAX)]
    await asyncio.sleep(0)
    answers = await asyncio.gather(*(reader.send("GET", MAPS) for _ in range(1000 - READING_MAX)))
    assert {response.status for response in answers} == {429}
    assert all(("Retry-After", "1") in response.headers for response in answers)
    status = orjson.loads(answers[0].body or b"")
    assert (status["reason"], status["details"]) == ("TooManyRequests", {"retryAfterSeconds": 1})
    assert (await api.send("GET", MAPS)).status == 200  # administrators are exempt
    gate.set()
    await asyncio.gather(*waiting)
    assert (await reader.send("GET", MAPS)).status == 200


async def _hold(server: RunningApiServer, gate: asyncio.Event) -> None:
    """A request in flight that takes as long as the test wants: its place, without the work."""
    in_flight = server.server._in_flight.in_flight
    in_flight[True] += 1
    await gate.wait()
    in_flight[True] -= 1


@pytest.mark.parametrize(
    ("accept", "query"),
    [
        ("application/json;as=Table;g=meta.k8s.io;v=v1", {}),
        ("application/vnd.kubernetes.protobuf", {}),
        ("application/json", {"labelSelector": "a!=b"}),
    ],
)
async def test_others_get_their_turn_while_many_objects_are_looked_into(
    server: RunningApiServer, api: ApiCalls, accept: str, query: dict[str, str]
) -> None:
    await fill(server, 10_000)
    listing = asyncio.create_task(api.send("GET", MAPS, query=query, headers={"accept": accept}))
    turns = 0
    while not listing.done():
        await api.call("GET", f"{MAPS}/m00000")
        turns += 1
        await asyncio.sleep(0)
    assert (await listing).status == 200
    assert turns > 5
