"""The Docker SDK, for what it knows better than we do: what `docker login` left on this machine, with its credential
helpers, and how images are loaded. The only file that imports it, and only when first used; it runs on a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from agent.runtime.engine_errors import engine_failure
from agent.runtime.protocol import EngineUnavailableError

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_SECONDS_MAX = 120


class DockerSdk:
    """One client of the SDK on a thread of its own: it is not made for several."""

    def __init__(self, base_url: str) -> None:
        """Nothing is imported or connected before the first call."""
        self._base_url = base_url
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="docker")
        self._client: Any = None

    def close(self) -> None:
        """Release the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def load_image(self, archive: bytes) -> None:
        """Import a `docker save` archive."""
        await self._run(self._load_image, archive)

    async def host_login(self, repository: str) -> Mapping[str, Any] | None:
        """What `docker login` or a credential helper has for the repository's registry, as the engine's AuthConfig.

        The configuration is read each time: logins come and go while the agent runs. A broken helper is as no login.
        """
        return await self._run(_host_login, repository)

    async def _run(self, function: Callable[[Any], T], argument: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, argument)

    def _load_image(self, archive: bytes) -> None:
        import docker.errors
        import requests

        try:
            if self._client is None:
                self._client = docker.APIClient(self._base_url, version="auto", timeout=CALL_SECONDS_MAX)
            list(self._client.load_image(archive))
        except docker.errors.APIError as error:
            raise engine_failure(error.status_code or 500, error.explanation or str(error)) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise EngineUnavailableError(f"cannot reach the Docker Engine to load an image: {error}") from error


def _host_login(repository: str) -> Mapping[str, Any] | None:
    from docker import auth, errors

    try:
        registry, _ = auth.resolve_repository_name(repository)
        login: Mapping[str, Any] | None = auth.load_config().resolve_authconfig(registry)
    except errors.DockerException as error:
        log.warning("Cannot read the host's registry login repository=%s error=%s", repository, error)
        return None
    return login
