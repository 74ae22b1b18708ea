"""`python -m tests.fakes.serve --port 0`: an API server without controllers, for experiments.

Prints its URL and the directory with ca.crt, admin.crt and admin.key, then serves until it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from control.auth.authenticator import parse_token_file
from control.storage.protocol import Storage
from tests.fakes.api_server import running_api_server


async def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM."""
    storage: Storage | None = None
    if arguments.sqlite:
        from control.storage.sqlite import SqliteStorage

        storage = await SqliteStorage.open(Path(arguments.sqlite))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_api_server(
        storage=storage,
        port=arguments.port,
        static_tokens=arguments.tokens,
        profile=arguments.profile,
    ) as server:
        print(f"{server.url} {server.keys.directory}", flush=True)
        await stop.wait()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token-auth-file")
    parser.add_argument("--profile", default="upstream")
    parser.add_argument("--sqlite", help="keep the state in this file")
    arguments = parser.parse_args()
    file = arguments.token_auth_file
    arguments.tokens = parse_token_file(Path(file).read_text()) if file else {}
    try:
        import uvloop
    except ImportError:
        asyncio.run(run(arguments))
    else:
        uvloop.run(run(arguments))


if __name__ == "__main__":
    main()
