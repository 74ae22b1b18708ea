"""The API server under load: GET, CREATE, LIST of 1,000 Pods, 100 watchers.

The load comes from a process of its own (`python -m benchmarks.api_server`), so that it shares no event loop with
anybody, over raw TLS sockets, so that the client costs as little of the machine as it can.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from benchmarks.cluster_start import BenchmarkCluster
from benchmarks.figures import Figure, limit_row, rate_row

CLIENTS = (1, 8, 32)
LISTED_PODS = 1000
WATCHERS = 100
WAIT_SECONDS_MAX = 30.0
LATENCY_WRITES = 30
RATE_WRITERS = 8
NAMESPACE = "benchmark-api"

P = TypeVar("P", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFigures:
    """Requests per second by number of clients; milliseconds; events per second over all watchers."""

    create: dict[str, float]
    get: dict[str, float]
    list_pods: float
    watch_ms: float
    watch_events: float


def measure_api(cluster: BenchmarkCluster, *, seconds: float) -> ApiFigures:
    """Run the load process against a cluster."""
    config = cluster.directory.load()
    assert config is not None
    arguments = [config.host, str(config.port), str(cluster.directory.pki), str(seconds)]
    command = [sys.executable, "-m", "benchmarks.api_server", *arguments]
    finished = subprocess.run(command, env=cluster.environment, check=True, stdout=subprocess.PIPE)
    return ApiFigures(**json.loads(finished.stdout))


def api_rows(figures: ApiFigures) -> list[Figure]:
    """Rows of the table."""
    rows = []
    for verb, rates, (clients, minimum) in (
        ("CREATE", figures.create, ("8", 1500)),
        ("GET", figures.get, ("32", 8000)),
    ):
        for number, rate in rates.items():
            name = f"ConfigMap {verb}, {number} client{'s' * (number != '1')}"
            rows.append(
                rate_row(name, "req/s", rate, minimum)
                if number == clients
                else Figure(name=name, unit="req/s", ours=rate)
            )
    return [
        *rows,
        rate_row(f"LIST of {LISTED_PODS} Pods, 8 clients", "req/s", figures.list_pods, 300),
        limit_row(f"{WATCHERS} watchers: write → last receipt", "ms", figures.watch_ms, 6),
        rate_row(f"{WATCHERS} watchers", "events/s", figures.watch_events, 60_000),
    ]


class Caller(asyncio.Protocol):
    """A client that sends the next request as soon as an answer is complete, while there is one."""

    def __init__(self, next_request: Callable[[], bytes | None]) -> None:
        self.answers = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next_request = next_request
        self._received = bytearray()
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def begin(self) -> None:
        """Send the first request."""
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count the answer once its body is there."""
        if self._missing:
            self._missing -= len(data)
        else:
            self._received += data
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._missing = end + 4 + self._check_head(bytes(self._received[:end])) - len(self._received)
        if self._missing == 0:
            self._received.clear()
            self.answers += 1
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """An end before the last answer is a failure."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def _check_head(self, head: bytes) -> int:
        status = int(head[9:12])
        if status >= 300:
            raise AssertionError(f"the server answered {status}")
        return next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))

    def _send(self) -> None:
        request = self._next_request()
        if request is not None:
            self._transport.write(request)
        elif not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class Tally:
    """What all watchers have received, and a wait for an amount of it."""

    events: int = 0
    last_seconds: float = 0.0
    _wanted: int = 0
    _reached: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, events: int) -> None:
        """Note events that arrived."""
        self.events += events
        self.last_seconds = time.perf_counter()
        if self.events >= self._wanted:
            self._reached.set()

    async def until(self, events: int) -> None:
        """Return when so many events have arrived. Raises TimeoutError."""
        self._wanted = events
        self._reached.clear()
        if self.events < events:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self._reached.wait()


class Listener(asyncio.Protocol):
    """A watcher."""

    def __init__(self, path: str, host: str, tally: Tally) -> None:
        self._tally = tally
        self._request = encode("GET", path, host)
        self._has_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the watch."""
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count objects: each event has one newline that follows its closing brace."""
        if not self._has_head:
            self._has_head = True
            data = data.partition(b"\r\n\r\n")[2]
        events = data.count(b"}\n")
        if events:
            self._tally.add(events)


def encode(method: str, path: str, host: str, body: dict[str, Any] | None = None) -> bytes:
    """The bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


class Load:
    """Connections to one server as its administrator."""

    def __init__(self, host: str, port: int, pki: Path) -> None:
        self.host, self._port = host, port
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self.created = 0

    async def connect(self, make: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Open a connection."""
        return await asyncio.get_running_loop().create_connection(make, self.host, self._port, ssl=self._context)

    async def run(self, clients: int, next_request: Callable[[], bytes | None]) -> int:
        """Send requests over so many connections until there are none; returns how many."""
        pairs = [await self.connect(lambda: Caller(next_request)) for _ in range(clients)]
        callers = [caller for _, caller in pairs]
        for caller in callers:
            caller.begin()
        await asyncio.gather(*(caller.done for caller in callers))
        for transport, _ in pairs:
            transport.close()
        return sum(caller.answers for caller in callers)

    async def rate(self, clients: int, seconds: float, make_request: Callable[[], bytes]) -> float:
        """Requests per second over a while that begins with the first request."""
        begin = 0.0

        def next_request() -> bytes | None:
            nonlocal begin
            now = time.perf_counter()
            begin = begin or now
            return make_request() if now - begin < seconds else None

        answers = await self.run(clients, next_request)
        return answers / (time.perf_counter() - begin)

    async def send(self, *requests: bytes) -> None:
        """Send each of the requests once."""
        waiting = list(requests)
        await self.run(min(8, len(waiting)), lambda: waiting.pop() if waiting else None)

    @asynccontextmanager
    async def watchers(self, path: str) -> AsyncIterator[Tally]:
        """Open watches; the tally begins after what they show at first."""
        tally = Tally()
        pairs = [await self.connect(lambda: Listener(path, self.host, tally)) for _ in range(WATCHERS)]
        await asyncio.sleep(0.5)
        tally.events = 0
        try:
            yield tally
        finally:
            for transport, _ in pairs:
                transport.abort()

    def create_config_map(self) -> bytes:
        """A request that creates a ConfigMap with a new name."""
        metadata = {"name": f"c{self.created}"}
        self.created += 1
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
        return encode("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", self.host, body)

    def create_pod(self, number: int) -> bytes:
        """A request that creates a Pod which no scheduler takes."""
        container = {"name": "main", "image": "nginx"}
        spec = {"schedulerName": "none", "automountServiceAccountToken": False, "containers": [container]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, "spec": spec}
        return encode("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", self.host, body)


async def measure(load: Load, seconds: float) -> ApiFigures:
    """All figures."""
    space = f"/api/v1/namespaces/{NAMESPACE}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await load.send(encode("POST", "/api/v1/namespaces", load.host, namespace))
    await asyncio.sleep(1)  # its ServiceAccount appears
    await load.send(load.create_config_map())
    watch_ms, watch_events = await _measure_watches(load, seconds)
    get = encode("GET", f"{space}/configmaps/c0", load.host)
    get_rates = {str(clients): await load.rate(clients, seconds, lambda: get) for clients in CLIENTS}
    create_rates = {str(clients): await load.rate(clients, seconds, load.create_config_map) for clients in CLIENTS}
    await load.send(*(load.create_pod(number) for number in range(LISTED_PODS)))
    pods = encode("GET", f"{space}/pods", load.host)
    list_rate = await load.rate(8, seconds, lambda: pods)
    await load.send(encode("DELETE", f"/api/v1/namespaces/{NAMESPACE}", load.host))
    return ApiFigures(
        create=create_rates, get=get_rates, list_pods=list_rate, watch_ms=watch_ms, watch_events=watch_events
    )


async def _measure_watches(load: Load, seconds: float) -> tuple[float, float]:
    """Median milliseconds from a write until all have it; events per second while a few clients write."""
    async with load.watchers(f"/api/v1/namespaces/{NAMESPACE}/configmaps?watch=true&resourceVersion=0") as tally:
        delays = []
        for _ in range(LATENCY_WRITES):
            delays.append(await _measure_delay(load, tally))
        before, created, begin = tally.events, load.created, time.perf_counter()
        await load.rate(RATE_WRITERS, seconds, load.create_config_map)
        await tally.until(before + (load.created - created) * WATCHERS)
        return statistics.median(delays), (tally.events - before) / (tally.last_seconds - begin)


async def _measure_delay(load: Load, tally: Tally) -> float:
    """Milliseconds from a write to its last receipt; the connection is open before."""
    requests = [load.create_config_map()]
    transport, writer = await load.connect(lambda: Caller(lambda: requests.pop() if requests else None))
    wanted = tally.events + WATCHERS
    begin = time.perf_counter()
    writer.begin()
    await tally.until(wanted)
    milliseconds = (tally.last_seconds - begin) * 1000
    await writer.done
    transport.close()
    return milliseconds


def main() -> None:
    """The load process: host, port, directory of keys, seconds per figure."""
    import uvloop

    host, port, pki, seconds = sys.argv[1:]
    load = Load(host, int(port), Path(pki))
    print(json.dumps(asdict(uvloop.run(measure(load, float(seconds))))))


if __name__ == "__main__":
    main()
