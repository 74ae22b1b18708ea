# ruff: noqa: E501
"""Whatever bytes arrive on a connection, what is answered is HTTP, nothing fails inside, and the server goes on."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from control.api.exchange import ApiRequest, ApiResponse
from control.apiserver.http_protocol import HEAD_BYTES_MAX, QUERY_PARAMETERS_MAX, HttpProtocol, OpenConnections
from control.apiserver.request_body import BODY_BYTES_MAX

LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Connection(asyncio.Transport):
    """A transport that keeps what is written; `exchange` plays the client."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.answered = b""
        self._is_closing = False
        self._clients = OpenConnections()
        self._protocol = HttpProtocol(server.endpoint, self._clients)
        self._protocol.connection_made(self)

    async def exchange(self, *chunks: bytes) -> bytes:
        """Deliver chunks as long as the server reads; returns all that it answers, by when it is idle again."""
        for chunk in chunks:
            if not self._is_closing:
                self._protocol.data_received(chunk)
                await asyncio.sleep(0)
        while self._clients.tasks:
            await asyncio.gather(*self._clients.tasks)
        self._protocol.connection_lost(None)
        return self.answered

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self._is_closing
        self.answered += data

    def close(self) -> None:
        self._is_closing = True

    abort = close

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        """Everything is delivered all the same."""

    resume_reading = pause_reading


class Server:
    """An endpoint that answers with the path it was asked for."""

    def __init__(self) -> None:
        self.requests: list[ApiRequest] = []

    async def endpoint(self, request: ApiRequest) -> ApiResponse:
        self.requests.append(request)
        await asyncio.sleep(0)
        return ApiResponse(body=request.path.encode())


class Answers:
    """What a client's parser makes of the bytes. Raises httptools.HttpParserError if they are not HTTP."""

    def __init__(self, answered: bytes) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(answered)

    def on_message_begin(self) -> None:
        self.bodies.append(b"")

    def on_body(self, body: bytes) -> None:
        self.bodies[-1] += body

    def on_message_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())


METHODS = st.sampled_from(
    [b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"CONNECT", b"PRI", b"G\x00T", b""]
)
TARGETS = st.sampled_from(
    [b"/a", b"/%41%", b"/%zz", b"/%00", b"/\xff", b"*", b"http://h/p?q=1", b"http://[::1", b"//", b"?", b"a", b"", b"/a#b", b"/?a=%ff&&=&;"]
)  # fmt: skip
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.", b"", b"ICY"])
HEADERS = st.sampled_from(
    [
        b"Host: x", b"Host:", b": x", b"A", b"A : b", b" folded", b"A: \xff\x00", b"A\x00: b", b"Connection: close",
        b"Content-Length: 3", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 3, 3",
        b"Content-Length: x", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, x",
        b"Expect: 100-continue", b"Expect: x", b"Upgrade: websocket", b"Connection: upgrade", b"Upgrade: h2c",
        b"Connection: keep-alive", b"Accept: a", b"Accept: b", b"Impersonate-Group: a", b"Impersonate-Group: b",
    ]
)  # fmt: skip
BODIES = st.sampled_from(
    [b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"3\r\nab", b"0\r\n\r\n"]
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])


@st.composite
def nearly_requests(draw: st.DrawFn) -> bytes:
    end = draw(ENDS)
    line = b" ".join((draw(METHODS), draw(TARGETS), draw(VERSIONS)))
    return end.join((line, *draw(st.lists(HEADERS, max_size=4)), b"", b"")) + draw(BODIES)


BYTES = st.binary(max_size=40) | nearly_requests()


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(BYTES, min_size=1, max_size=4), cuts=st.lists(st.integers(0, 400), max_size=4))
@example(pieces=[b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01"], cuts=[])
@example(pieces=[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], cuts=[3])
def test_bytes_of_any_kind_are_answered_in_http_or_not_at_all(pieces: list[bytes], cuts: list[int]) -> None:
    server = Server()
    sent = b"".join(pieces)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]

    async def scenario() -> bytes:
        return await Connection(server).exchange(*(sent[start:end] for start, end in pairwise(bounds)))

    answered = asyncio.run(scenario())
    if answered and not any(request.headers.get("upgrade") for request in server.requests):
        assert set(Answers(answered).statuses) <= {100, 200, 400, 431}


async def exchange(*chunks: bytes) -> tuple[Server, Answers]:
    server = Server()
    return server, Answers(await Connection(server).exchange(*chunks))


async def test_what_was_asked_before_the_garbage_is_answered() -> None:
    _, answers = await exchange(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n\x00garbage\r\n\r\n")
    assert answers.statuses == [200, 400]
    assert answers.bodies == [b"/a", b"400 Bad Request"]


async def test_a_byte_at_a_time_is_a_request() -> None:
    _, answers = await exchange(*(bytes([byte]) for byte in LAST))
    assert answers.bodies == [b"/last"]


HEADER_LINES = {
    "one long header": b"A: " + b"x" * HEAD_BYTES_MAX + b"\r\n",
    "one header again and again": b"A: b\r\n" * (HEAD_BYTES_MAX // 6 + 1),
    "empty headers without end": b"a:\r\n" * (HEAD_BYTES_MAX // 4),
    "many different headers": b"".join(b"h%d: b\r\n" % number for number in range(HEAD_BYTES_MAX // 8)),
}


@pytest.mark.parametrize("title", HEADER_LINES)
async def test_a_head_over_a_mebibyte_is_refused(title: str) -> None:
    lines = b"GET /a HTTP/1.1\r\n" + HEADER_LINES[title]
    server, answers = await exchange(lines + b"\r\n")
    assert (answers.statuses, server.requests) == ([431], [])
    assert answers.bodies == [b"431 Request Header Fields Too Large"]


async def test_a_header_that_is_repeated_100000_times_is_joined_at_once() -> None:
    server, answers = await exchange(b"GET /a HTTP/1.1\r\n" + b"a: b\r\n" * 100_000 + b"Connection: close\r\n\r\n")
    assert answers.statuses == [200]
    assert len(server.requests[0].headers["a"]) == 3 * 100_000 - 2


async def test_a_query_of_too_many_parameters_is_refused() -> None:
    query = b"a&" * QUERY_PARAMETERS_MAX
    server, answers = await exchange(b"GET /a?" + query + b"a HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (answers.statuses, server.requests) == ([400], [])


async def test_a_body_without_end_is_not_kept() -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    server, answers = await exchange(head, *(chunk for _ in range(100)), b"0\r\n\r\n")
    assert answers.statuses == [200]
    assert len(server.requests[0].body) == BODY_BYTES_MAX + 1


async def test_a_length_and_chunks_together_are_refused() -> None:
    """Two servers that disagree on where a request ends can be made to mistake one client's for another's."""
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    server, answers = await exchange(head + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answers.statuses == [400]
    assert not server.requests
