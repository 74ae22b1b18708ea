"""Plain HTTP to a real API server: requests, patches of every kind and watches, without kubectl's own opinions."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

from kubernetes import config

from tests.cluster import Cluster

Object = dict[str, Any]

#: well below what an API server lets a connection rest
IDLE_SECONDS_MAX = 60.0

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class RefusedRequestError(AssertionError):
    """The API server answered with another status than expected; `code` is the one it gave."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class HttpApi:
    """The administrator's connection to a cluster; one request at a time."""

    def __init__(self, cluster: Cluster) -> None:
        settings = config.new_client_from_config(config_file=str(cluster.directory / "kubeconfig")).configuration
        self.address: str = urlsplit(settings.host).netloc
        self.tls = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        self.tls.load_cert_chain(settings.cert_file, settings.key_file)
        self._connection = self._connect()
        self._used_at = time.monotonic()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def request(
        self, method: str, path: str, body: Any = None, *, type: str = "application/json", **query: str
    ) -> tuple[int, Object]:
        """Send a request; returns the status and the decoded body."""
        encoded = None if body is None else json.dumps(body)
        self._send(method, _url(path, query), encoded, {"Content-Type": type})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def _send(self, *request: Any) -> None:
        """Send a request; on a new connection when the old one rested so long that the server may be closing it."""
        now = time.monotonic()
        if now - self._used_at > IDLE_SECONDS_MAX:
            self._connection.close()
        self._used_at = now
        self._connection.request(*request)

    def expect(self, status: int, method: str, path: str, body: Any = None, **options: str) -> Object:
        """Send a request whose answer must have this status; returns the decoded body. Raises RefusedRequestError."""
        got, answer = self.request(method, path, body, **options)
        if got != status:
            raise RefusedRequestError(got, f"{method} {path}: {got} {answer}")
        return answer

    def get(self, path: str, **query: str) -> Object:
        """Read an object or a list."""
        return self.expect(200, "GET", path, **query)

    def text(self, path: str, **query: str) -> str:
        """Read what is no object, as a log is not."""
        self._send("GET", _url(path, query))
        answer = self._connection.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, (path, answer.status, body)
        return body

    def items(self, path: str, selector: str) -> list[Object]:
        """The objects of a collection that have these labels; all if the selector is empty."""
        items: list[Object] = self.get(path, labelSelector=selector)["items"]
        return items

    def create(self, path: str, body: Object, **query: str) -> Object:
        """Create an object in a collection."""
        return self.expect(201, "POST", path, body, **query)

    def update(self, path: str, body: Object) -> Object:
        """Replace an object."""
        return self.expect(200, "PUT", path, body)

    def patch(self, path: str, body: Any, type: str = STRATEGIC_MERGE_PATCH, **query: str) -> Object:
        """Patch an object."""
        return self.expect(200, "PATCH", path, body, type=type, **query)

    def delete(self, path: str, **query: str) -> Object:
        """Delete an object or, with a selector, those of a collection."""
        return self.expect(200, "DELETE", path, **query)

    @contextmanager
    def watch(self, path: str, selector: str, version: str = "") -> Iterator[Iterator[tuple[str, Object]]]:
        """Types and objects of the events on what has these labels, over a connection of its own.

        From the resourceVersion on, or from now on.
        """
        connection = self._connect()
        try:
            version = version or self.get(path, labelSelector=selector)["metadata"]["resourceVersion"]
            query = {"watch": "1", "labelSelector": selector, "resourceVersion": version}
            connection.request("GET", _url(path, query))
            answer = connection.getresponse()
            assert answer.status == 200
            yield ((event["type"], event["object"]) for event in map(json.loads, answer))
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPSConnection:
        host, _, port = self.address.rpartition(":")
        return http.client.HTTPSConnection(host, int(port), context=self.tls, timeout=60)


def _url(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
