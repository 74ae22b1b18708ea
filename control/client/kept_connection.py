"""A connection for one short exchange after the other: a request goes out, its whole answer comes back.

A protocol of its own instead of asyncio's streams, whose buffer, waiters and flow control cost a short exchange more
than all else it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import httptools


class WholeAnswer:
    """One answer, read to its end: what httptools' parser calls. Interim answers (1xx) are passed over."""

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._is_headed = False
        self.status = 0
        self.is_complete = False
        self.is_last = False

    @property
    def headers(self) -> Mapping[str, str]:
        """By names in lower case."""
        return {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, value in self._fields}

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._pieces)

    def feed(self, content: bytes) -> None:
        """Take in what has arrived. Raises OSError for what is no answer."""
        assert self._parser is not None
        try:
            self._parser.feed_data(content)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ConnectionResetError(f"the server did not answer in HTTP: {error}") from error

    def end(self) -> None:
        """The connection has ended, which is the end of a body that says no length. Raises OSError if it is none."""
        if not self._is_headed or not self.headers.keys().isdisjoint(("content-length", "transfer-encoding")):
            raise ConnectionResetError("the answer broke off")
        self.is_complete = self.is_last = True

    def release(self) -> None:
        """Part from the parser, which holds this object, so that neither waits for the garbage collector."""
        self._parser = None

    # --- what the parser calls ----------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        self._is_headed = self.status >= 200

    def on_body(self, content: bytes) -> None:
        self._pieces.append(content)

    def on_message_complete(self) -> None:
        if not self._is_headed:
            self._fields.clear()
            return
        assert self._parser is not None
        self.is_complete = True
        self.is_last = not self._parser.should_keep_alive()


class KeptConnection(asyncio.Protocol):
    """Exchanges one request at a time; closes itself after the last answer, a failure, and when nobody waits."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: WholeAnswer | None = None
        self._answered: asyncio.Future[WholeAnswer] | None = None

    @property
    def is_closing(self) -> bool:
        """True when there can be no further exchange."""
        return self._transport is None or self._transport.is_closing()

    async def exchange(self, request: bytes, seconds_max: float) -> WholeAnswer:
        """Send a request and read its whole answer. Raises OSError, TimeoutError among them."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        loop = asyncio.get_running_loop()
        answer = self._answer = WholeAnswer()
        answered: asyncio.Future[WholeAnswer] = loop.create_future()
        self._answered = answered
        deadline = loop.call_later(seconds_max, self._fail, TimeoutError)
        self._transport.write(request)
        try:
            return await answered
        finally:
            deadline.cancel()
            answer.release()
            self._answer = self._answered = None
            if not answer.is_complete or answer.is_last:
                self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _fail(self, error: OSError | type[OSError]) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
        self.close()

    # --- what the transport calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, content: bytes) -> None:
        answer, answered = self._answer, self._answered
        if answer is None or answered is None or answered.done():
            self.close()  # what nobody asked for would be taken for the next answer
            return
        try:
            answer.feed(content)
        except OSError as error:
            self._fail(error)
            return
        if answer.is_complete:
            answered.set_result(answer)

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is None or self._answered is None or self._answered.done():
            return
        try:
            if error is not None:
                raise ConnectionResetError(f"the connection broke: {error}") from error
            self._answer.end()
        except OSError as failure:
            self._fail(failure)
        else:
            self._answered.set_result(self._answer)
