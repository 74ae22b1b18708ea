"""Subresources: what is served under an object."""

from __future__ import annotations

from control.api.errors import path_not_found


class SubresourceHandlers:
    """Finds the handler of a subresource."""

    def __init__(self, server) -> None:
        self._server = server

    async def handle(self, context, store):
        raise path_not_found()
