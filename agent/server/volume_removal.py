"""`POST /podling/volumes/{name}/removal`: the local provisioner tells the node that a volume's data is to go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
from aiohttp import web

from agent.volumes import local
from agent.volumes.protocol import VolumeError


class VolumeRemoval:
    """Removes the directories of provisioned volumes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def handle(self, request: web.Request) -> web.Response:
        """Remove; answers with a Status."""
        try:
            await asyncio.to_thread(local.remove, self._root, request.match_info["name"])
        except VolumeError as error:
            return _status(500, "Failure", str(error))
        return _status(200, "Success", "")


def _status(code: int, status: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": status, "message": message, "code": code}
    return web.Response(status=code, body=orjson.dumps(body), content_type="application/json")
