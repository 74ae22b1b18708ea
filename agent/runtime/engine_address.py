"""Where the Docker Engine is: at DOCKER_HOST, as the docker command takes it, or at the usual socket."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"


def engine_address() -> str:
    """The URL of the engine that this process uses."""
    return os.environ.get("DOCKER_HOST") or DEFAULT_ADDRESS


def engine_socket_path(address: str) -> str | None:
    """The Unix socket of an engine, None for one that is reached otherwise."""
    parts = urlsplit(address)
    return parts.path if parts.scheme == "unix" else None
