"""The HTTPS listener over real sockets on loopback, with a node agent that the test plays."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest

from control.auth.pki import CertificateAuthority, KeyPair, make_ca
from tests.fakes.api_server import RunningApiServer, running_api_server
from tests.unit.apiserver.api_calls import ApiCalls, config_map, pod

Agent = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def https() -> AsyncIterator[RunningApiServer]:
    async with running_api_server(profile="upstream") as running:
        account = {"metadata": {"name": "default"}}
        path = "/api/v1/namespaces/default/serviceaccounts"
        await ApiCalls(running.endpoint).call("POST", path, account, expect=201)
        yield running


async def connect(server: RunningApiServer, *, with_certificate: bool = True) -> Connection:
    context = server.client_ssl_context(with_certificate=with_certificate)
    return await asyncio.open_connection("127.0.0.1", server.port, ssl=context)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(first.split()[1]), headers, body


async def ask(connection: Connection, text: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    reader, writer = connection
    writer.write(f"{text} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return await read_answer(reader)


async def test_client_certificate_is_the_identity(https: RunningApiServer) -> None:
    connection = await connect(https)
    for _ in range(2):  # one connection, several requests
        status, headers, body = await ask(connection, "GET /api/v1/namespaces/default")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert orjson.loads(body)["metadata"]["name"] == "default"
    connection[1].close()


async def test_connection_without_certificate_is_anonymous(https: RunningApiServer) -> None:
    connection = await connect(https, with_certificate=False)
    status, _, body = await ask(connection, "GET /api/v1/namespaces/default")
    assert status == 403
    assert 'User "system:anonymous" cannot get resource "namespaces"' in orjson.loads(body)["message"]
    connection[1].close()


async def test_pipelined_requests_are_answered_in_order(https: RunningApiServer) -> None:
    reader, writer = await connect(https)
    names = ["default", "kube-system", "kube-public"]
    writer.write(b"".join(f"GET /api/v1/namespaces/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for name in names))
    seen = [orjson.loads((await read_answer(reader))[2])["metadata"]["name"] for _ in names]
    assert seen == names
    writer.close()


async def test_body_over_the_limit_is_refused_and_the_connection_lives_on(https: RunningApiServer) -> None:
    connection = await connect(https)
    path = "POST /api/v1/namespaces/default/configmaps"
    status, _, body = await ask(connection, path, b"x" * (4 * 1024 * 1024))
    assert (status, orjson.loads(body)["reason"]) == (413, "RequestEntityTooLarge")
    assert (await ask(connection, "GET /version"))[0] == 200
    connection[1].close()


async def test_garbage_is_a_bad_request(https: RunningApiServer) -> None:
    reader, writer = await connect(https)
    writer.write(b"NONSENSE\r\n\r\n")
    assert (await read_answer(reader))[0] == 400
    writer.close()


async def test_head_without_end_is_refused(https: RunningApiServer) -> None:
    reader, writer = await connect(https)
    writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"x" * 1024 * 1024 + b"\r\n\r\n")
    assert (await read_answer(reader))[0] == 431
    assert await reader.read() == b""
    writer.close()


async def test_client_that_waits_for_leave_to_send_its_body_gets_it(https: RunningApiServer) -> None:
    reader, writer = await connect(https)
    body = orjson.dumps(config_map("asked"))
    head = f"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read_answer(reader))[0] == 201
    writer.close()


async def test_connection_closes_when_the_client_asks_for_it(https: RunningApiServer) -> None:
    reader, writer = await connect(https)
    writer.write(b"HEAD /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = (await asyncio.wait_for(reader.read(), 60)).lower()
    assert answer.startswith(b"http/1.1 200 ok")
    assert b"connection: close" in answer
    assert answer.endswith(b"\r\n\r\n")
    writer.close()


async def test_large_answers_are_compressed_for_those_who_can_read_it(https: RunningApiServer) -> None:
    calls = ApiCalls(https.endpoint)
    large = {**config_map("large"), "data": {"a": "x" * 300_000}}
    await calls.call("POST", "/api/v1/namespaces/default/configmaps", large, expect=201)
    response = await calls.send(
        "GET", "/api/v1/namespaces/default/configmaps/large", headers={"accept-encoding": "gzip"}
    )
    assert ("Content-Encoding", "gzip") in response.headers
    assert response.body is not None
    assert len(response.body) < 10_000


async def test_watch_streams_events_as_they_happen_and_ends_at_its_timeout(https: RunningApiServer) -> None:
    reader, writer = await connect(https)
    path = "/api/v1/namespaces/default/configmaps"
    version = https.storage.revision
    writer.write(f"GET {path}?watch=1&resourceVersion={version}&timeoutSeconds=5 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    assert b"transfer-encoding: chunked" in head
    await ApiCalls(https.endpoint).call("POST", path, config_map("w"), expect=201)
    size = int(await asyncio.wait_for(reader.readline(), 60), 16)
    event = orjson.loads(await reader.readexactly(size))
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "w")
    assert (await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 60)).endswith(b"0\r\n\r\n")
    writer.close()


@asynccontextmanager
async def agent_of_pod(
    server: RunningApiServer, handler: Agent, *, authority: CertificateAuthority | None = None
) -> AsyncIterator[None]:
    """A node `n1` with a Pod `p`, whose agent is `handler` behind mutual TLS; its certificate is of the authority."""
    directory = server.keys.directory
    issuer = authority or server.keys.authority
    pair: KeyPair = issuer.issue_serving("n1", ["127.0.0.1"], now=server.server.clock.now())
    (directory / "n1.crt").write_bytes(pair.certificate_pem)
    (directory / "n1.key").write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "n1.crt", directory / "n1.key")
    context.load_verify_locations(cadata=server.ca_pem)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    calls = ApiCalls(server.endpoint)
    await calls.call("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}}, expect=201)
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await calls.patch("/api/v1/nodes/n1/status", {"status": status})
    await calls.call("POST", "/api/v1/namespaces/default/pods", pod("p", nodeName="n1"), expect=201)
    try:
        yield
    finally:
        listener.close()


async def test_log_is_fetched_from_the_agent(https: RunningApiServer) -> None:
    asked: list[bytes] = []

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"6\r\nfirst\n\r\n7\r\nsecond\n\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with agent_of_pod(https, agent):
        calls = ApiCalls(https.endpoint)
        # A flag without a value is set, as upstream reads it.
        query = {"tailLines": "2", "previous": "", "follow": "0", "timestamps": "False"}
        response = await calls.send("GET", "/api/v1/namespaces/default/pods/p/log", query=query)
        assert response.stream is not None
        assert b"".join([chunk async for chunk in response.stream]) == b"first\nsecond\n"
    assert asked[0].startswith(b"GET /containerLogs/default/p/c?previous=true&tailLines=2 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"stream": "All", "tailLines": "-1"}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"limitBytes": "0"}, "limitBytes: Invalid value: 0: must be greater than 0"),
        (
            {"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"},
            "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        ({"stream": "Out"}, 'stream: Unsupported value: "Out": supported values: "All", "Stderr", "Stdout"'),
        (
            {"stream": "Stdout", "tailLines": "1"},
            "[]: Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
        ),
    ],
)
async def test_options_of_a_log_are_judged_before_its_node_is_asked(
    https: RunningApiServer, query: dict[str, str], message: str
) -> None:
    path = "/api/v1/namespaces/default/pods/p/log"
    response = await ApiCalls(https.endpoint).send("GET", path, query=query)
    status = orjson.loads(response.body)
    assert response.status == status["code"] == 422
    assert status["message"] == f'PodLogOptions "p" is invalid: {message}'


async def test_log_of_an_agent_with_a_strange_certificate_is_fetched_only_on_request(https: RunningApiServer) -> None:
    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nline")
            await writer.drain()
        writer.close()

    strange = CertificateAuthority(make_ca("somebody", now=https.server.clock.now()))
    async with agent_of_pod(https, agent, authority=strange):
        calls, path = ApiCalls(https.endpoint), "/api/v1/namespaces/default/pods/p/log"
        status = await calls.call("GET", path, expect=500)
        assert "certificate verify failed" in status["message"]
        response = await calls.send("GET", path, query={"insecureSkipTLSVerifyBackend": "true"})
        assert response.stream is not None
        assert b"".join([chunk async for chunk in response.stream]) == b"line"


async def test_unreachable_agent_is_a_clear_error(https: RunningApiServer) -> None:
    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with agent_of_pod(https, agent):
        pass
    calls = ApiCalls(https.endpoint)
    status = await calls.call("GET", "/api/v1/namespaces/default/pods/p/log", expect=500)
    refused = r"dial tcp 127\.0\.0\.1:(\d+): connect: connection refused"
    found = re.fullmatch(rf'Get "https://127\.0\.0\.1:(\d+)/containerLogs/default/p/c": {refused}', status["message"])
    assert found
    assert found[1] == found[2]
    assert "reason" not in status


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (
            400,
            'previous terminated container "c" in pod "p" not found',
            {"message": 'previous terminated container "c" in pod "p" not found', "reason": "BadRequest"},
        ),
        (
            404,
            'pod "p" not found',
            {
                "message": "the server could not find the requested resource ( pods/log p)",
                "reason": "NotFound",
                "details": {"name": "p", "kind": "pods/log"},
            },
        ),
        (
            500,
            "the disk is gone",
            {
                "message": "Internal error occurred: the disk is gone",
                "reason": "InternalError",
                "details": {"causes": [{"message": "the disk is gone"}]},
            },
        ),
        (
            503,
            "busy",
            {
                "message": "the server is currently unable to handle the request ( pods/log p)",
                "reason": "ServiceUnavailable",
                "details": {"name": "p", "kind": "pods/log"},
            },
        ),
    ],
)
async def test_a_refusal_of_the_agent_becomes_a_status(
    https: RunningApiServer, code: int, text: str, expected: dict[str, object]
) -> None:
    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {code} Refused\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n"
        writer.write((head + text).encode())
        await writer.drain()
        writer.close()

    async with agent_of_pod(https, agent):
        status = await ApiCalls(https.endpoint).call("GET", "/api/v1/namespaces/default/pods/p/log", expect=code)
    plain = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
    assert status == plain | expected


async def echo_agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts any upgrade, says hello, then echoes."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello")
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


UPGRADE = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_exec_is_spliced_to_the_agent(https: RunningApiServer, method: str) -> None:
    async with agent_of_pod(https, echo_agent):
        reader, writer = await connect(https)
        path = "/api/v1/namespaces/default/pods/p/exec?command=ls&stdout=true"
        length = b"Content-Length: 0\r\n" if method == "POST" else b""
        writer.write(f"{method} {path} HTTP/1.1\r\n".encode() + UPGRADE + length + b"\r\nearly")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert await asyncio.wait_for(reader.readexactly(10), 60) == b"helloearly"
        payload = bytes(range(256)) * 8192  # 2 MiB, more than any buffer on the way

        async def send() -> None:
            writer.write(payload)
            await writer.drain()

        sender = asyncio.ensure_future(send())
        assert await asyncio.wait_for(reader.readexactly(len(payload)), 60) == payload
        await sender
        writer.close()


async def test_end_of_the_agent_ends_the_client(https: RunningApiServer) -> None:
    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nbye")
        await writer.drain()
        writer.close()

    async with agent_of_pod(https, agent):
        reader, writer = await connect(https)
        path = "/api/v1/namespaces/default/pods/p/portforward"
        writer.write(f"POST {path} HTTP/1.1\r\n".encode() + UPGRADE + b"Content-Length: 0\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"bye")
        writer.close()


async def test_refused_upgrade_is_an_ordinary_answer(https: RunningApiServer) -> None:
    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nContent-Type: text/plain\r\n\r\nno!")
        await writer.drain()
        writer.close()

    async with agent_of_pod(https, agent):
        reader, writer = await connect(https)
        path = "/api/v1/namespaces/default/pods/p/attach"
        writer.write(f"POST {path} HTTP/1.1\r\n".encode() + UPGRADE + b"Content-Length: 0\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 60)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"no!" in answer
        writer.close()


async def test_upgrade_without_permission_never_reaches_the_agent(https: RunningApiServer) -> None:
    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("the agent was asked")

    async with agent_of_pod(https, agent):
        reader, writer = await connect(https, with_certificate=False)
        path = "/api/v1/namespaces/default/pods/p/exec"
        writer.write(f"POST {path} HTTP/1.1\r\n".encode() + UPGRADE + b"Content-Length: 0\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 403 ")
        writer.close()
