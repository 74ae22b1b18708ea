"""What goes over the engine's socket, against a peer that keeps what it is sent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from agent.runtime.engine_socket import EngineSocket


async def test_a_number_beyond_64_bits_is_left_to_the_engine_to_refuse(tmp_path: Path) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.decode().lower().splitlines() if line.startswith("content-length:"))
        received.append(await reader.readexactly(int(length.partition(":")[2])))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "socket")
    engine = EngineSocket(f"unix://{tmp_path / 'socket'}")
    body = {"HostConfig": {"Memory": 1 << 70}}

    await engine.call("POST", "/containers/create", body=body)

    assert [json.loads(content) for content in received] == [body]
    engine.close()
    server.close()
