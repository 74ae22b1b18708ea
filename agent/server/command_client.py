"""The client's side of exec and attach, whatever protocol it speaks, and the Status that ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from agent.runtime.protocol import ExecStream, RuntimeFailure

STDIN, STDOUT, STDERR, ERROR, RESIZE = 0, 1, 2, 3, 4

Status = Mapping[str, Any]
SUCCESS: Status = {"metadata": {}, "status": "Success"}


class CommandClient(Protocol):
    """One client that is connected to one command."""

    async def feed(self, command: ExecStream) -> None:
        """Carry the client's input and terminal sizes to the command. Returns when the client has gone."""
        ...

    async def send(self, channel: int, content: bytes) -> None:
        """Send output (STDOUT or STDERR) at the client's pace. Raises ConnectionError."""
        ...

    async def finish(self, status: Status) -> None:
        """Report the outcome and end the connection. Raises ConnectionError."""
        ...

    async def close(self) -> None:
        """End the connection as it is; may follow `finish`."""
        ...


def exit_status(code: int) -> Status:
    """The outcome of a command that ran to its end."""
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure_status(message: str) -> Status:
    """The outcome of what could not be done at all."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


def encode_status(status: Status, protocol: str) -> bytes:
    """How a protocol words the outcome: JSON since v4, before that the error's text and nothing for success."""
    if protocol.startswith(("v4.", "v5.")):
        return orjson.dumps(status)
    return b"" if status["status"] == "Success" else str(status["message"]).encode()


async def resize(command: ExecStream, payload: bytes) -> None:
    """Set the terminal's size from a client's message; what is no size is ignored."""
    with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError, ValueError, RuntimeFailure):
        size = orjson.loads(payload)
        width, height = int(size["Width"]), int(size["Height"])
        if width > 0 and height > 0:
            await command.resize(width, height)
