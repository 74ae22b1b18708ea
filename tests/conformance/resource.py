"""One resource of an API, its objects by name."""

from __future__ import annotations

from typing import Any

from tests.conformance.http_api import STRATEGIC_MERGE_PATCH, HttpApi

Object = dict[str, Any]


class Resource:
    """The objects of one resource at a path such as `/api/v1/namespaces/x/pods`."""

    def __init__(self, api: HttpApi, path: str) -> None:
        self._api = api
        self.path = path

    def create(self, body: Object) -> Object:
        """POST."""
        return self._api.create(self.path, body)

    def get(self, name: str, part: str = "") -> Object:
        """GET, of the object or of one of its subresources (`status`)."""
        return self._api.get(self._object(name, part))

    def list(self, selector: str = "") -> list[Object]:
        """The objects that the label selector selects; all without one."""
        return self._api.items(self.path, selector)

    def patch(self, name: str, patch: Object, part: str = "", *, content_type: str = STRATEGIC_MERGE_PATCH) -> Object:
        """PATCH."""
        return self._api.patch(self._object(name, part), patch, content_type)

    def update(self, body: Object, part: str = "") -> Object:
        """PUT."""
        return self._api.update(self._object(body["metadata"]["name"], part), body)

    def log(self, name: str) -> str:
        """What the only container of a Pod has printed."""
        return self._api.text(self._object(name, "log"))

    def delete(self, name: str) -> None:
        """DELETE."""
        self._api.delete(self._object(name))

    def delete_collection(self, selector: str) -> None:
        """DELETE of all that the label selector selects."""
        self._api.delete(self.path, labelSelector=selector)

    def _object(self, name: str, part: str = "") -> str:
        return "/".join(item for item in (self.path, name, part) if item)
