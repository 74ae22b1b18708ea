"""`LocalTransport`: requests to an API server in the same process. No socket and no encoding, but the whole pipeline:
authorization, admission and validation see the user this transport was made for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, cast

import orjson

from control.api.errors import ApiError
from control.api.exchange import ApiEndpoint, ApiRequest, ApiResponse, User, WatchEvent
from control.api.objects import Object
from control.client.transport import Query


class LocalTransport:
    """A `Transport` that calls an `ApiEndpoint` as `user`. Answers are decoded and read-only."""

    def __init__(self, endpoint: ApiEndpoint, user: User, *, user_agent: str = "podling") -> None:
        self._endpoint = endpoint
        self._user = user
        self._user_agent = user_agent

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: Object | list[Object] | None = None,
    ) -> Object:
        """Answer one request in process. The body is copied: it may hold parts of cached objects."""
        response = await self._call(method, path, query=query, headers=headers, body=body)
        if response.stream is not None:  # another server's answer, passed on
            response.body = b"".join([chunk async for chunk in response.stream])
        decoded = _decoded(response)
        if response.status >= 400:
            raise ApiError.from_status(decoded, code=response.status)
        return decoded

    async def watch(self, path: str, *, query: Query = ()) -> AsyncIterator[list[WatchEvent]]:
        """Watch in process; an ERROR event rises as ApiError."""
        response = await self._call("GET", path, query=query, headers=None, body=None)
        if response.status >= 400:
            raise ApiError.from_status(_decoded(response), code=response.status)
        if response.events is None:
            raise TypeError(f"the endpoint answered a watch of {path} without events")
        async with aclosing(cast(Any, response.events)) as batches:
            async for batch in batches:
                for event in batch:
                    if event.type == "ERROR":
                        raise ApiError.from_status(event.object, code=500)
                yield batch

    async def close(self) -> None:
        """Nothing is held."""

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Query,
        headers: Mapping[str, str] | None,
        body: Object | list[Object] | None,
    ) -> ApiResponse:
        sent = {"accept": "application/json", "user-agent": self._user_agent}
        if body is not None:
            sent["content-type"] = "application/json"
        sent.update(headers or {})
        return await self._endpoint(
            ApiRequest(
                method=method,
                path=path,
                query=query,
                headers=sent,
                body=b"" if body is None else orjson.loads(orjson.dumps(body)),  # a copy: faster than walking it
                user=self._user,
                in_process=True,
            )
        )


def _decoded(response: ApiResponse) -> Object:
    if response.object is not None:
        return response.object
    return cast(Object, orjson.loads(response.body)) if response.body else {}
