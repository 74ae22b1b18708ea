"""A socket in front of the Docker Engine that refuses calls, loses their answers, or cuts the stream of events."""

from __future__ import annotations

import random
import re
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ENGINE_SOCKET = "/var/run/docker.sock"
CHUNK_BYTES = 1 << 16
REFUSAL = b'{"message":"no luck today"}'
REFUSED = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(REFUSAL), REFUSAL)
)


class EngineProxy:
    """Serves one exchange a connection. What goes wrong is decided by (method, path) as each request comes in."""

    def __init__(self, directory: Path) -> None:
        """Makes its socket in the directory, whose path has to be short."""
        self.host = f"unix://{directory}/engine.sock"
        #: Requests that are answered with 500, and those that are carried out and never answered.
        self.refuses: Callable[[str, str], bool] = lambda method, path: False
        self.forgets: Callable[[str, str], bool] = lambda method, path: False
        self.refused: list[str] = []
        self.forgotten: list[str] = []
        self._streams: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{directory}/engine.sock")
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def behave(self) -> None:
        """End all faults."""
        self.refuses = self.forgets = lambda method, path: False

    def open_streams(self) -> int:
        """How many streams of events are open."""
        return len(self._streams)

    def cut_events(self) -> None:
        """Close the streams of events that are open."""
        for stream in list(self._streams):
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.socket(socket.AF_UNIX) as engine:
            head, rest = _read_head(client)
            if not head:
                return
            method, path = head.split(b" ", 2)[:2]
            request = method.decode(), re.sub(r"^/v[\d.]+", "", path.decode().partition("?")[0])
            if self.refuses(*request):
                self.refused.append(" ".join(request))
                _read_body(client, head, rest)
                client.sendall(REFUSED)
                return
            engine.connect(ENGINE_SOCKET)
            engine.sendall(_closing(head) + rest)
            if self.forgets(*request):
                self.forgotten.append(" ".join(request))
                engine.sendall(_read_body(client, head, rest))
                while engine.recv(CHUNK_BYTES):
                    """The engine has carried it out when it closes."""
                return
            if request[1] == "/events":
                self._streams.add(client)
            try:
                _splice(client, engine)
            finally:
                self._streams.discard(client)


def sometimes(share: float, choices: random.Random) -> Callable[[str, str], bool]:
    """A fault that meets so large a share of all requests; the stream of events is spared."""
    return lambda method, path: path != "/events" and choices.random() < share


def exactly(method: str, pattern: str, times: int) -> Callable[[str, str], bool]:
    """A fault that meets the first requests of one kind."""
    left = [times]

    def meets(asked: str, path: str) -> bool:
        if asked != method or not re.fullmatch(pattern, path) or not left[0]:
            return False
        left[0] -= 1
        return True

    return meets


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """The request's head and what came with it; empty when the client has closed."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = client.recv(CHUNK_BYTES)
        if not chunk:
            return b"", b""
        received += chunk
    head, _, rest = received.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _read_body(client: socket.socket, head: bytes, rest: bytes) -> bytes:
    """What is missing of the body. A socket closed with unread bytes would lose the answer too."""
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    missing = int(found[1]) - len(rest) if found else 0
    body = b""
    while len(body) < missing and (chunk := client.recv(CHUNK_BYTES)):
        body += chunk
    return body


def _closing(head: bytes) -> bytes:
    """The head, asking the engine to close after its answer; a request to switch protocols stays as it is."""
    if re.search(rb"\r\nupgrade:", head, re.IGNORECASE):
        return head
    kept = re.sub(rb"\r\nconnection:[^\r]*", b"", head, flags=re.IGNORECASE)
    return kept.removesuffix(b"\r\n\r\n") + b"\r\nConnection: close\r\n\r\n"


def _splice(client: socket.socket, engine: socket.socket) -> None:
    """Carry bytes both ways until the engine closes; the client's end of sending is passed on."""
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, engine)
        selector.register(engine, selectors.EVENT_READ, client)
        while True:
            for key, _ in selector.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                chunk = source.recv(CHUNK_BYTES)
                if chunk:
                    target.sendall(chunk)
                elif source is engine:
                    return
                else:
                    selector.unregister(client)
                    engine.shutdown(socket.SHUT_WR)
