"""How the server ends a connection whose client does not take part."""

from __future__ import annotations

import asyncio

from control.api.exchange import ApiRequest, ApiResponse
from control.apiserver.http_protocol import HttpProtocol, OpenConnections


class TlsTransport(asyncio.Transport):
    """Closing waits for the peer; like the one of asyncio, it forgets its connection when it is closed once more."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = 0
        self.is_cut = False

    def is_closing(self) -> bool:
        return self.closed > 0

    def close(self) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.is_cut = self.closed < 2


async def never_asked(request: ApiRequest) -> ApiResponse:
    raise AssertionError(f"nobody asks for {request}")


async def test_a_connection_that_is_closing_is_cut_when_the_server_ends() -> None:
    transport = TlsTransport()
    protocol = HttpProtocol(never_asked, OpenConnections())
    protocol.connection_made(transport)

    protocol.close_when_idle()
    protocol.close_when_idle()
    assert transport.closed == 1
    protocol.abort()
    assert transport.is_cut

    protocol.connection_lost(None)
