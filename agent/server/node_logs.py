"""GET /logs/: the files below the machine's /var/log, as a file server shows them.

Upstream: the kubelet's log server, which is Go's http.FileServer.
"""

from __future__ import annotations

import asyncio
import stat
from html import escape
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from aiohttp import web

from agent.server.pod_lookup import LookupFailure

LOG_ROOT = Path("/var/log")


class NodeLogs:
    """The handler. Links are followed: those of containers lead to the engine's files."""

    def __init__(self, root: Path = LOG_ROOT) -> None:
        self._root = root

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """A file, or the names in a directory."""
        name = request.match_info.get("path", "")
        if ".." in PurePosixPath(name).parts or "\0" in name:
            raise LookupFailure(400, "invalid URL path")
        path = self._root / name.strip("/")
        try:
            if not await asyncio.to_thread(path.is_dir):
                await asyncio.to_thread(_check_file, path)
                return web.FileResponse(path)
            if request.path.endswith("/"):
                return _listing(await asyncio.to_thread(_names, path))
        except PermissionError as error:
            raise LookupFailure(403, "403 Forbidden") from error
        except OSError as error:
            raise LookupFailure(404, "404 page not found") from error
        return web.Response(status=301, headers={"Location": f"{quote(request.path.rsplit('/', 1)[-1])}/"})


def _check_file(path: Path) -> None:
    """Raises OSError for what cannot be served: a file that may not be read, and pipes, which would never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise FileNotFoundError(path)
    path.open("rb").close()


def _names(directory: Path) -> list[str]:
    return sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in directory.iterdir())


def _listing(names: list[str]) -> web.Response:
    links = "".join(f'<a href="{quote(name)}">{escape(name)}</a>\n' for name in names)
    page = f'<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n{links}</pre>\n'
    return web.Response(text=page, content_type="text/html")
