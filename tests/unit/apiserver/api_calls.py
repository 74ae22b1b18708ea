"""A short way to send requests to an endpoint as the tests of the API server do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from control.api.exchange import ApiEndpoint, ApiRequest, ApiResponse, User
from tests.fakes.api_server import ADMIN

Object = dict[str, Any]


class ApiCalls:
    """Sends requests as one user, encoded as on a socket."""

    def __init__(self, endpoint: ApiEndpoint, user: User = ADMIN) -> None:
        self._endpoint = endpoint
        self._user = user

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiResponse:
        """Send one request."""
        encoded = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return await self._endpoint(
            ApiRequest(
                method=method,
                path=path,
                query=list((query or {}).items()),
                headers={"user-agent": "test/1.0", "content-type": "application/json", **(headers or {})},
                body=encoded,
                user=self._user,
            )
        )

    async def call(self, method: str, path: str, body: Any = None, *, expect: int = 200, **options: Any) -> Any:
        """Send one request, require its status, decode its answer."""
        response = await self.send(method, path, body, **options)
        assert response.status == expect, response.body
        return orjson.loads(response.body) if response.body else None

    async def patch(self, path: str, body: Any, *, type: str = "merge-patch", expect: int = 200, **options: Any) -> Any:
        """Patch with a JSON body."""
        headers = {"content-type": f"application/{type}+json"}
        return await self.call("PATCH", path, body, expect=expect, headers=headers, **options)


def config_map(name: str, **metadata: Any) -> Object:
    """A ConfigMap with one entry."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"a": "1"},
    }


def pod(name: str, **spec: Any) -> Object:
    """A Pod without a service account token."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "automountServiceAccountToken": False,
            **spec,
        },
    }
