"""Is there a Docker Engine that can be used? If not: why not, and what mends it, in one line."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from dataclasses import asdict

from agent.runtime.engine_address import engine_address, engine_socket_path
from agent.runtime.protocol import EngineInfo, EngineUnavailableError, Runtime, RuntimeFailure

API_VERSION_MIN = (1, 41)


class EngineProblemError(Exception):
    """The engine cannot be used; the text says why and what to do."""


async def check_engine(runtime: Runtime) -> EngineInfo:
    """Return what the engine is. Raises EngineProblemError."""
    try:
        info = await runtime.info()
    except EngineUnavailableError as error:
        raise EngineProblemError(explain_unreachable(str(error))) from error
    except RuntimeFailure as error:
        raise EngineProblemError(f"the Docker Engine refuses requests: {error}") from error
    if not info.offers_api(*API_VERSION_MIN):
        needed = ".".join(map(str, API_VERSION_MIN))
        raise EngineProblemError(
            f"the Docker Engine is too old: its API is {info.api_version}, Podling needs {needed}; "
            "install Docker 20.10 or newer"
        )
    return info


async def describe_engine() -> str:
    """JSON that says what the engine is and how Pods would be wired. Raises EngineProblemError."""
    from agent.network.pod_network import native_obstacle, observe_agent
    from agent.runtime.docker_runtime import DockerRuntime

    runtime = DockerRuntime()
    try:
        info = await check_engine(runtime)
    finally:
        await runtime.close()
    obstacle = native_obstacle(observe_agent(), info)
    return json.dumps({**asdict(info), "network": "native" if not obstacle else "", "nativeObstacle": obstacle})


def explain_unreachable(cause: str) -> str:
    """Why the engine does not answer, found out on the host."""
    address = engine_address()
    path = engine_socket_path(address)
    if path is None:
        return f"cannot reach the Docker Engine at {address} (DOCKER_HOST): {cause}"
    if not os.path.exists(path):
        if shutil.which("dockerd") is None and shutil.which("docker") is None:
            return f"Docker is not installed; {_install_hint()}"
        return f"the Docker Engine is not running ({path} does not exist); {_start_hint()}"
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except PermissionError:
        return f"no permission on {path}; run podling as root, which wiring Pods needs as well"
    except OSError as error:
        return f"the Docker Engine is not running ({path}: {error.strerror}); {_start_hint()}"
    finally:
        connection.close()
    return f"the Docker Engine does not answer on {path}: {cause}"


def _install_hint() -> str:
    if sys.platform == "darwin":
        return "install Docker Desktop, Colima or OrbStack"
    return "install it, on Debian and Ubuntu: sudo apt-get install docker.io"


def _start_hint() -> str:
    if sys.platform == "darwin":
        return "start Docker Desktop (or: colima start)"
    if os.path.isdir("/run/systemd/system"):
        return "start it: sudo systemctl start docker"
    return "start it: sudo dockerd &"
