"""Requests to the API as a client library sends them, one resource at a time, without a process for each."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from kubernetes import config

from tests.cluster import Cluster
from tests.conformance.batch import Object

JSON, MERGE, STRATEGIC = (f"application/{name}json" for name in ("", "merge-patch+", "strategic-merge-patch+"))
TIMEOUT_SECONDS = 60


class RefusedRequestError(AssertionError):
    """The API server answered with an error; `code` is its status, the message its text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Rest:
    """A connection to a cluster by its kubeconfig."""

    def __init__(self, cluster: Cluster) -> None:
        settings = config.new_client_from_config(config_file=str(cluster.directory / "kubeconfig")).configuration
        self._url = settings.host
        self._context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        self._context.load_cert_chain(settings.cert_file, settings.key_file)

    def open(self, method: str, path: str, body: Object | None = None, content_type: str = JSON) -> Any:
        """Send a request; returns the response, to be read or closed. Raises RefusedRequestError."""
        headers = {"Accept": JSON, "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data=data, headers=headers, method=method)
        try:
            return urllib.request.urlopen(request, context=self._context, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                raise RefusedRequestError(error.code, error.read().decode()) from None

    def call(self, method: str, path: str, body: Object | None = None, content_type: str = JSON) -> Object:
        """Send a request; returns the object of the answer."""
        with self.open(method, path, body, content_type) as response:
            answer: Object = json.load(response)
        return answer


class Resource:
    """The objects of one resource at a path such as `/api/v1/namespaces/x/pods`."""

    def __init__(self, rest: Rest, path: str) -> None:
        self._rest = rest
        self._path = path

    def create(self, body: Object) -> Object:
        """POST."""
        return self._rest.call("POST", self._path, body)

    def get(self, name: str, part: str = "") -> Object:
        """GET, of the object or of one of its subresources (`status`)."""
        return self._rest.call("GET", self._object(name, part))

    def list(self, selector: str = "") -> list[Object]:
        """The objects that the label selector selects."""
        items: list[Object] = self._rest.call("GET", self._selection(selector))["items"]
        return items

    def patch(self, name: str, patch: Object, part: str = "", *, content_type: str = STRATEGIC) -> Object:
        """PATCH."""
        return self._rest.call("PATCH", self._object(name, part), patch, content_type)

    def update(self, body: Object, part: str = "") -> Object:
        """PUT."""
        return self._rest.call("PUT", self._object(body["metadata"]["name"], part), body)

    def log(self, name: str, container: str = "") -> str:
        """What a container of a Pod has printed."""
        query = f"?container={container}" if container else ""
        with self._rest.open("GET", self._object(name, "log") + query) as response:
            text: str = response.read().decode()
        return text

    def delete(self, name: str) -> None:
        """DELETE."""
        self._rest.call("DELETE", self._object(name))

    def delete_collection(self, selector: str) -> None:
        """DELETE of all that the label selector selects."""
        self._rest.call("DELETE", self._selection(selector))

    def watch(self, selector: str) -> Iterator[Object]:
        """The events of a watch that is open when this returns."""
        response = self._rest.open("GET", self._selection(selector, watch="true", timeoutSeconds="30"))

        def events() -> Iterator[Object]:
            with response:
                yield from (json.loads(line) for line in response)

        return events()

    def _object(self, name: str, part: str = "") -> str:
        return "/".join(item for item in (self._path, name, part) if item)

    def _selection(self, selector: str, **query: str) -> str:
        return f"{self._path}?{urllib.parse.urlencode({'labelSelector': selector, **query})}"
