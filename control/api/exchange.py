"""The records that cross the boundary between a client and the API server, on a socket or in process.

The HTTP shell makes an `ApiRequest` of what it read and writes an `ApiResponse` as it stands; the in-process client
makes the same records without a socket. Everything between the two is one pipeline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from control.api.objects import Object
from control.api.records import record

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An authenticated identity (authentication.k8s.io UserInfo)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@record(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """A request as it entered.

    `headers` have lower-case names. `user` is set by the in-process transport only; on a socket the authentication
    filter finds it from `headers` and `peer_certificate` (DER). `in_process` asks for decoded answers: `body` may then
    be an object, and responses carry `object` or `events` instead of encoded bytes.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Object = b""
    user: User | None = None
    peer_certificate: bytes | None = None
    peer_address: str = ""
    in_process: bool = False


@record(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """One event of a watch: type is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR. `object` is read-only."""

    type: str
    object: Object


class RawConnection(Protocol):
    """A connection that has left HTTP: bytes in both directions, after an upgrade was accepted."""

    @property
    def reader(self) -> asyncio.StreamReader:
        """What the peer sends."""
        ...

    @property
    def writer(self) -> asyncio.StreamWriter:
        """Where to write; `drain` keeps to the peer's pace."""
        ...


@dataclass(slots=True, kw_only=True)
class ApiResponse:
    """What the pipeline answered.

    Exactly one of `body` (encoded), `object` (decoded, in-process; read-only), `stream` (encoded chunks, e.g. a watch
    or a log), `events` (in-process watch, in batches) and `take_over` (an accepted upgrade: gets the raw connection,
    writes the answer's head itself, and returns when both sides are done) is set.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = None
    object: Object | None = None
    stream: AsyncIterator[bytes] | None = None
    events: AsyncIterator[list[WatchEvent]] | None = None
    take_over: Callable[[RawConnection], Awaitable[None]] | None = None


class ApiEndpoint(Protocol):
    """The API server seen as a function. Never raises for a bad request: errors are responses."""

    async def __call__(self, request: ApiRequest) -> ApiResponse:
        """Answer one request."""
        ...
