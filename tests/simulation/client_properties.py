"""What every client of the API is promised, checked at every client: reads, acknowledged writes, watches.

`JudgedTransport` stands between a client and the network, `judged_endpoint` between the API server and the parts of its
own process. Both hand what they see to `ClientProperties`, which compares it with the history.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from control.api.errors import ApiError
from control.api.exchange import ApiEndpoint, ApiRequest, ApiResponse, WatchEvent
from control.api.objects import Object
from control.client.transport import Query, ServerUnavailableError, Transport
from control.storage.protocol import ChangeType
from tests.simulation.history import Commit, History, kind_of_collection, split_path
from tests.simulation.judge import Judge
from tests.simulation.trace import Trace

Matches = Callable[[Object | None, str], bool]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and how new the truth was when it was sent."""

    client: str
    method: str
    path: str
    query: Query
    revision: int
    key: str
    key_revision: int


class ClientProperties:
    """The promises. Each check is named after its promise."""

    def __init__(self, history: History, judge: Judge, trace: Trace) -> None:
        self._history = history
        self._judge = judge
        self._trace = trace
        self._open: dict[WatchProperties, None] = {}

    def ask(self, client: str, method: str, path: str, query: Query) -> Asked:
        """A request is sent."""
        _, key, _ = split_path(path)
        return Asked(client, method, path, query, self._history.revision, key, self._history.latest(key))

    def note_answer(self, asked: Asked, answer: Object) -> None:
        """A request was answered with success."""
        if asked.method == "GET":
            self._check_read(asked, answer)
            return
        self._trace.write(asked.client, f"{asked.method} {asked.path} -> {_version(answer) or 'done'}")
        self._check_write(asked, answer)

    def note_refusal(self, asked: Asked, error: Exception) -> None:
        """A request was answered with an error, or not at all."""
        text = f"{error.code} {error.reason}" if isinstance(error, ApiError) else str(error)
        self._trace.write(asked.client, f"{asked.method} {asked.path} -> {text}")

    def watch(self, client: str, path: str, query: Query) -> WatchProperties:
        """A watch is opened."""
        opened = WatchProperties(self._history, self._judge, client, path, dict(query))
        self._open[opened] = None
        return opened

    def close(self, watch: WatchProperties) -> None:
        """A watch has ended."""
        self._open.pop(watch, None)

    def unsent_events(self) -> list[str]:
        """Open watches that have not shown something that was committed long ago."""
        return [text for watch in self._open if (text := watch.unsent())]

    def _check_read(self, asked: Asked, answer: Object) -> None:
        version = _version(answer)
        if not version:
            return
        if asked.key:
            fresh = version >= asked.key_revision
        else:
            fresh = version >= asked.revision or dict(asked.query).get("resourceVersion") == "0"
        message = f"{asked.client} got {asked.path} at {version}, asked at {asked.key_revision or asked.revision}"
        self._judge.require(fresh, "reads_never_go_back", message)

    def _check_write(self, asked: Asked, answer: Object) -> None:
        kind, _, subresource = split_path(asked.path)
        metadata = answer.get("metadata") or {}
        if kind is None or asked.method == "DELETE" or not metadata.get("uid") or subresource not in ("", "status"):
            return
        name = f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]
        written = self._history.was_written(kind.storage_prefix + name, int(metadata["resourceVersion"]))
        message = f"{asked.client}: {asked.method} {asked.path} was acknowledged at {metadata['resourceVersion']}"
        self._judge.require(written, "acknowledged_means_on_disk", message)


class WatchProperties:
    """One watch: ordered, unique, without gaps, from the revision it was asked for on."""

    def __init__(self, history: History, judge: Judge, client: str, path: str, query: Mapping[str, str]) -> None:
        kind = kind_of_collection(path)
        assert kind is not None, path
        self._history = history
        self._judge = judge
        self._prefix = kind.storage_prefix
        self._matches = _matcher(query.get("fieldSelector", ""))
        self._seen = int(query["resourceVersion"])
        self._name = f"{client} watches {path}"

    def take(self, event: WatchEvent) -> None:
        """An event arrived."""
        revision = _version(event.object)
        expected = self._next()
        if event.type == "BOOKMARK":
            skipped = expected is not None and expected[0].revision <= revision
            self._judge.require(not skipped, "a_watch_has_no_gaps", f"{self._name}: bookmark {revision} skips events")
        else:
            self._judge.require(
                revision > self._seen,
                "a_watch_is_ordered_and_unique",
                f"{self._name}: {event.type} at {revision} after {self._seen}",
            )
            wanted = (expected[0].revision, expected[1]) if expected else None
            self._judge.require(
                wanted == (revision, event.type),
                "a_watch_has_no_gaps",
                f"{self._name}: {event.type} at {revision} came instead of {wanted}",
            )
        self._seen = revision

    def unsent(self) -> str:
        """What should have arrived by now."""
        expected = self._next()
        return f"{self._name}: {expected[1]} at {expected[0].revision} never came" if expected else ""

    def _next(self) -> tuple[Commit, str] | None:
        for commit in self._history.after(self._prefix, self._seen):
            name = commit.key.rpartition("/")[2]
            is_shown = commit.type is not ChangeType.DELETED and self._matches(commit.obj, name)
            was_shown = commit.type is not ChangeType.CREATED and self._matches(commit.previous, name)
            if is_shown:
                return commit, "MODIFIED" if was_shown else "ADDED"
            if was_shown:
                return commit, "DELETED"
        return None


def _matcher(selector: str) -> Matches:
    field, _, value = selector.partition("=")
    if field == "metadata.name":
        return lambda obj, name: name == value
    if field == "spec.nodeName":
        return lambda obj, name: obj is not None and obj["spec"].get("nodeName", "") == value
    assert not selector, selector
    return lambda obj, name: True


def _version(obj: Mapping[str, Any]) -> int:
    return int((obj.get("metadata") or {}).get("resourceVersion") or 0)


class JudgedTransport:
    """A `Transport` that shows a client's traffic to the properties."""

    def __init__(self, transport: Transport, client: str, properties: ClientProperties) -> None:
        self._transport = transport
        self._client = client
        self._properties = properties

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: Object | list[Object] | None = None,
    ) -> Object:
        """Pass a request on."""
        asked = self._properties.ask(self._client, method, path, query)
        try:
            answer = await self._transport.request(method, path, query=query, headers=headers, body=body)
        except (ApiError, ServerUnavailableError) as error:
            self._properties.note_refusal(asked, error)
            raise
        self._properties.note_answer(asked, answer)
        return answer

    async def watch(self, path: str, *, query: Query = ()) -> AsyncIterator[list[WatchEvent]]:
        """Pass a watch on."""
        judged = self._properties.watch(self._client, path, query)
        try:
            async with aclosing(cast(Any, self._transport.watch(path, query=query))) as batches:
                async for batch in batches:
                    for event in batch:
                        judged.take(event)
                    yield batch
        finally:
            self._properties.close(judged)

    async def close(self) -> None:
        """Pass it on."""
        await self._transport.close()


def judged_endpoint(
    endpoint: ApiEndpoint, client: str, properties: ClientProperties, delay: Callable[[], float]
) -> ApiEndpoint:
    """An endpoint that shows the traffic of its own process to the properties, and whose events come a little late."""

    async def judged(request: ApiRequest) -> ApiResponse:
        asked = properties.ask(client, request.method, request.path, request.query)
        response = await endpoint(request)
        if response.events is not None:
            watch = properties.watch(client, request.path, request.query)
            response.events = _taken(response.events, watch, properties, delay)
        elif response.status >= 400:
            properties.note_refusal(asked, ApiError.from_status(response.object or {}, code=response.status))
        elif response.object is not None:
            properties.note_answer(asked, response.object)
        return response

    return judged


async def _taken(
    events: AsyncIterator[list[WatchEvent]],
    watch: WatchProperties,
    properties: ClientProperties,
    delay: Callable[[], float],
) -> AsyncIterator[list[WatchEvent]]:
    try:
        async with aclosing(cast(Any, events)) as batches:
            async for batch in batches:
                await asyncio.sleep(delay())
                for event in batch:
                    if event.type != "ERROR":
                        watch.take(event)
                yield batch
    finally:
        properties.close(watch)
