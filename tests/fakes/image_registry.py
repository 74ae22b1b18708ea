"""A registry of one tiny image on the loopback, for tests of pulling; with a password if wanted."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading
import uuid
from types import TracebackType

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class ImageRegistry:
    """Serves `<address>/<any name>:1`; every other tag is unknown. Docker trusts 127.0.0.0/8 without TLS.

    The image is this registry's own: whoever pulls from another one has another image.

    Layers are sent while `may_send` is set; `asked` says that one has been asked for.
    """

    def __init__(self, *, username: str = "", password: str = "") -> None:
        expected = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode() if username else ""
        self.may_send = threading.Event()
        self.may_send.set()
        self.asked = threading.Event()
        kept = {"contents": _contents(), "expected": expected, "may_send": self.may_send, "asked": self.asked}
        handler = type("Handler", (_Handler,), kept)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """`127.0.0.1:<port>`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ImageRegistry:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.may_send.set()
        self._server.shutdown()
        self._server.server_close()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _contents() -> dict[str, tuple[str, bytes]]:
    """(type, content) by what stands at the end of the path."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        greeting = f"hi {uuid.uuid4().hex}".encode()
        entry.size = len(greeting)
        tar.addfile(entry, io.BytesIO(greeting))
    layer = gzip.compress(archive.getvalue())
    root = {"type": "layers", "diff_ids": [_digest(archive.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": root}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "size": len(config), "digest": _digest(config)},
            "layers": [{"mediaType": LAYER_TYPE, "size": len(layer), "digest": _digest(layer)}],
        }
    ).encode()
    return {
        "": ("application/json", b"{}"),
        "1": (MANIFEST_TYPE, manifest),
        _digest(manifest): (MANIFEST_TYPE, manifest),
        _digest(config): ("application/octet-stream", config),
        _digest(layer): ("application/octet-stream", layer),
    }


class _Handler(http.server.BaseHTTPRequestHandler):
    contents: dict[str, tuple[str, bytes]]
    expected: str
    may_send: threading.Event
    asked: threading.Event

    def do_GET(self) -> None:
        """A manifest or blob."""
        if "/blobs/" in self.path:
            self.asked.set()
            self.may_send.wait(60)
        unknown = ("application/json", b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        found = self.contents.get(self.path.rpartition("/")[2])
        status, (kind, body) = (200, found) if found is not None else (404, unknown)
        if self.expected and self.headers.get("Authorization") != self.expected:
            status, body = 401, b""
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if kind == MANIFEST_TYPE:
            self.send_header("Docker-Content-Digest", _digest(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        """The same without the body."""
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        """Silent."""
