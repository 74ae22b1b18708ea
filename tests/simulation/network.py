"""TCP without sockets: bytes arrive in order, after a seeded while, or not at all.

Each end of a connection is an `asyncio.Transport`, so the real HTTP client and the real HTTP server run over it. The
network is a star: every place talks to the control plane. A place that is cut off loses nothing: what was sent waits,
as TCP resends, until the cut ends or keep-alive gives up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.loop import VirtualLoop
from tests.simulation.simulated_process import SimulatedProcess, end_if_dead

#: As the client sets TCP keep-alive: idle 15 s, three probes 5 s apart.
KEEP_ALIVE_SECONDS = 30.0
#: Timers of one instant have no order; messages of one connection do.
ORDER_SECONDS = 1e-7

Deliver = Callable[[], None]


class Network:
    """All connections and listeners, and what is wrong with them."""

    def __init__(self, loop: VirtualLoop, random: Random) -> None:
        self.loop = loop
        self.cut_places: set[str] = set()
        #: longest ordinary delay of a message, in seconds; a slow network has a larger one
        self.delay_seconds_max = 0.002
        self._random = random
        self._listeners: dict[tuple[str, int], Listener] = {}
        self._connections: dict[Connection, None] = {}
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        loop.network = self

    def listen(self, protocol_factory: Any, host: str, port: int) -> Listener:
        """Listen as the current process. Raises OSError if somebody else does."""
        process = SimulatedProcess.of()
        assert process is not None
        if (host, port) in self._listeners:
            raise OSError(f"address in use: {host}:{port}")
        listener = Listener(self, protocol_factory, process, (host, port))
        self._listeners[host, port] = listener
        process.on_kill.append(listener.close)
        return listener

    async def connect(self, protocol_factory: Any, host: str, port: int) -> tuple[Any, Any]:
        """Connect as the current process. Raises ConnectionRefusedError."""
        process = SimulatedProcess.of()
        assert process is not None
        await end_if_dead(process)
        await self._pass(process.place)
        listener = self._listeners.get((host, port))
        if listener is None:
            raise ConnectionRefusedError(f"nobody listens at {host}:{port}")
        connection = Connection(self, process, listener.process)
        self._connections[connection] = None
        protocol = protocol_factory()
        client, server = connection.ends
        client.use(protocol)
        server.use(listener.process.context.copy().run(listener.protocol_factory))
        return client, protocol

    def forget(self, listener: Listener) -> None:
        """Nobody listens there any more."""
        self._listeners.pop(listener.address, None)

    def drop(self, connection: Connection) -> None:
        """A connection has ended."""
        self._connections.pop(connection, None)

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def cut(self, place: str) -> None:
        """Nothing passes between a place and the control plane; its connections die unless the cut is short."""
        self.cut_places.add(place)
        for connection in self._of(place):
            connection.expire_if_cut(KEEP_ALIVE_SECONDS)

    def heal(self, place: str) -> None:
        """The place is back; what was sent meanwhile arrives."""
        self.cut_places.discard(place)
        for connection in self._of(place):
            connection.flush()
        waiting, self._waiting = self._waiting, []
        for waiter_place, future in waiting:
            if waiter_place in self.cut_places:
                self._waiting.append((waiter_place, future))
            elif not future.done():
                future.set_result(None)

    def reset(self, place: str) -> None:
        """Cut every connection of a place in two: what was on its way is lost."""
        for connection in self._of(place):
            connection.reset()

    def delay(self) -> float:
        """How long a message takes: mostly short, now and then ten times as long."""
        longest = self.delay_seconds_max * (10 if self._random.random() < 0.02 else 1)
        return 0.0001 + self._random.random() * longest

    def _of(self, place: str) -> list[Connection]:
        return [connection for connection in self._connections if connection.place == place]

    async def _pass(self, place: str) -> None:
        await asyncio.sleep(self.delay())
        while place in self.cut_places:
            future = self.loop.create_future()
            self._waiting.append((place, future))
            await future


class Listener:
    """What `create_server` returns."""

    def __init__(
        self, network: Network, protocol_factory: Any, process: SimulatedProcess, address: tuple[str, int]
    ) -> None:
        self.protocol_factory = protocol_factory
        self.process = process
        self.address = address
        self.sockets = [self]
        self._network = network

    def getsockname(self) -> tuple[str, int]:
        """Where it listens."""
        return self.address

    def close(self) -> None:
        """Listen no more."""
        self._network.forget(self)


class Connection:
    """Two ends and what is on its way between them."""

    def __init__(self, network: Network, client: SimulatedProcess, server: SimulatedProcess) -> None:
        self.network = network
        self.place = client.place
        self.ends = (End(self, client), End(self, server))
        self._stalled: list[tuple[End, Deliver]] = []
        for end in self.ends:
            end.process.on_kill.append(end.vanish)

    def other(self, end: End) -> End:
        """The peer of an end."""
        return self.ends[1] if end is self.ends[0] else self.ends[0]

    def send(self, to: End, deliver: Deliver) -> None:
        """Carry something to an end, after all that was sent to it before."""
        loop = self.network.loop
        to.arrival_seconds = max(to.arrival_seconds + ORDER_SECONDS, loop.seconds + self.network.delay())
        loop.call_at(to.arrival_seconds, self._arrive, to, deliver, context=to.process.context)

    def _arrive(self, to: End, deliver: Deliver) -> None:
        if self.place in self.network.cut_places or any(end is to for end, _ in self._stalled):
            self._stalled.append((to, deliver))
        elif to.process.is_alive:
            deliver()

    def flush(self) -> None:
        """Let what was held up arrive, in its order, and before what was sent later and is still on its way."""
        stalled, self._stalled = self._stalled, []
        for to, deliver in stalled:
            self.network.loop.call_soon(self._arrive, to, deliver, context=to.process.context)

    def expire_if_cut(self, seconds: float) -> None:
        """Let keep-alive notice a cut that lasts."""
        self.network.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        if self.place in self.network.cut_places:
            self._stalled.clear()
            for end in self.ends:
                end.lose(TimeoutError("the peer has vanished"))

    def reset(self) -> None:
        """Both ends learn that the connection is gone; nothing that is under way arrives."""
        self._stalled.clear()
        for end in self.ends:
            end.lose(ConnectionResetError("connection reset by peer"))


class End(asyncio.Transport):
    """One end of a connection, as its protocol sees it."""

    def __init__(self, connection: Connection, process: SimulatedProcess) -> None:
        super().__init__()
        self.process = process
        self.arrival_seconds = 0.0
        self._connection = connection
        self._protocol: Any = None
        self._is_closing = False
        self._is_lost = False
        self._is_paused = False
        self._held: list[bytes] = []

    def use(self, protocol: Any) -> None:
        """The protocol's `connection_made`."""
        self._protocol = protocol
        self.process.context.copy().run(protocol.connection_made, self)

    # --- asyncio.Transport --------------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The peer's address, nothing else."""
        return (self._peer.process.place, 0) if name == "peername" else default

    def set_protocol(self, protocol: Any) -> None:
        """Hand the connection to another protocol."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Who gets the bytes."""
        return self._protocol

    def is_closing(self) -> bool:
        """Whether this end was closed."""
        return self._is_closing

    def write(self, data: bytes) -> None:
        """Send bytes; a dead process sends none."""
        if self._is_closing or not self.process.is_alive:
            return
        peer, sent = self._peer, bytes(data)
        self._connection.send(peer, lambda: peer.receive(sent))

    def close(self) -> None:
        """Say that nothing more comes, and be done."""
        if self._is_closing or not self.process.is_alive:
            return
        self._is_closing = True
        self._connection.send(self._peer, self._peer.end)
        self._call_soon(self._finish, None)

    def abort(self) -> None:
        """Close at once."""
        if not self._is_closing:
            self._is_closing = True
            self._connection.send(self._peer, lambda: self._peer.lose(ConnectionResetError("connection reset by peer")))
            self._call_soon(self._finish, None)

    def pause_reading(self) -> None:
        """Hold what arrives."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Take what was held."""
        self._is_paused = False
        held, self._held = self._held, []
        for data in held:
            self._call_soon(self.receive, data)

    def is_reading(self) -> bool:
        """Whether what arrives is taken."""
        return not self._is_paused

    # --- what arrives -------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Bytes arrive. A closed end answers with a reset."""
        if self._is_paused:
            self._held.append(data)
        elif not self._is_closing:
            self._protocol.data_received(data)
        else:
            peer = self._peer
            self._connection.send(peer, lambda: peer.lose(ConnectionResetError("connection reset by peer")))

    def end(self) -> None:
        """The peer sends no more."""
        if not self._is_closing and not self._protocol.eof_received():
            self.close()

    def lose(self, error: Exception) -> None:
        """The connection is gone."""
        if self._is_lost:
            return
        self._is_closing = True
        self._call_soon(self._finish, error)

    def vanish(self) -> None:
        """The process was killed: its host tells the peer, if it can be reached."""
        if not self._is_lost:
            self._is_closing = self._is_lost = True
            peer = self._peer
            self._connection.send(peer, lambda: peer.lose(ConnectionResetError("connection reset by peer")))

    def _finish(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._connection.network.drop(self._connection)
            if self.process.is_alive:
                self._protocol.connection_lost(error)

    @property
    def _peer(self) -> End:
        return self._connection.other(self)

    def _call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self._connection.network.loop.call_soon(callback, *args, context=self.process.context)
