"""The images of the Docker Engine: finding, pulling, loading, removing, and what happens to them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from agent.runtime.docker_sdk import DockerSdk
from agent.runtime.engine_errors import pull_failure
from agent.runtime.engine_records import parse_image
from agent.runtime.engine_socket import EngineSocket, read_json_lines
from agent.runtime.image_reference import split_reference
from agent.runtime.protocol import (
    EngineUnavailableError,
    ImageNotFoundError,
    ImageRecord,
    PulledImage,
    PullProgress,
    RegistryCredentials,
    RuntimeFailure,
)
from agent.runtime.pull_progress import PullMessages

# The names of AuthConfig in the engine's API.
_LOGIN_FIELDS = {
    "username": "username",
    "password": "password",
    "identity_token": "identitytoken",
    "server": "serveraddress",
}


class DockerImages:
    """The part of `agent.runtime.protocol.Runtime` that is about images, on one engine."""

    def __init__(self, socket: EngineSocket, sdk: DockerSdk) -> None:
        self._socket = socket
        self._sdk = sdk

    async def find_image(self, reference: str) -> ImageRecord | None:
        """Return the local image of a reference or id, or None."""
        try:
            described = await self._socket.call("GET", f"/images/{reference}/json", image=True)
        except ImageNotFoundError:
            return None
        return parse_image(described)

    async def list_images(self) -> list[ImageRecord]:
        """All local images."""
        return [parse_image(row) for row in await self._socket.call("GET", "/images/json")]

    async def images_in_use(self) -> frozenset[str]:
        """Ids of the images of all containers, from their list alone: strangers' containers are not looked into."""
        rows = await self._socket.call("GET", "/containers/json", query={"all": "1"})
        return frozenset(str(row["ImageID"]) for row in rows)

    async def pull_image(
        self,
        reference: str,
        credentials: Sequence[RegistryCredentials] = (),
        on_progress: Callable[[PullProgress], None] = lambda progress: None,
    ) -> PulledImage:
        """Pull with each login in turn until one is accepted: the credentials, then the host's; without any if there
        are none. A pull that is cancelled is given up by the engine too.
        """
        failure: RuntimeFailure | None = None
        for login, authentication in await self._logins(reference, credentials):
            try:
                await self._pull(reference, authentication, on_progress)
            except EngineUnavailableError:
                raise
            except RuntimeFailure as error:
                failure = error
                continue
            image = await self.find_image(reference)
            if image is None:
                raise RuntimeFailure(f"cannot find image {reference} after it was pulled", reason="ErrImagePull")
            return PulledImage(image=image, login=login)
        assert failure is not None
        raise pull_failure(str(failure)) from failure

    async def _logins(
        self, reference: str, credentials: Sequence[RegistryCredentials]
    ) -> list[tuple[RegistryCredentials | None, Mapping[str, Any] | None]]:
        """Each with its AuthConfig of the engine's API; the host's is none of the credentials."""
        logins: list[tuple[RegistryCredentials | None, Mapping[str, Any] | None]] = [
            (one, {field: getattr(one, name) for name, field in _LOGIN_FIELDS.items()}) for one in credentials
        ]
        of_host = await self._sdk.host_login(split_reference(reference)[0])
        return [*logins, (None, of_host)] if of_host is not None else logins or [(None, None)]

    async def _pull(
        self, reference: str, login: Mapping[str, Any] | None, on_progress: Callable[[PullProgress], None]
    ) -> None:
        repository, tag = split_reference(reference)
        query = {"fromImage": repository, "tag": tag}
        headers = {} if login is None else {"X-Registry-Auth": _encode_login(login)}
        response = await self._socket.open("POST", "/images/create", query=query, headers=headers, header_timeout=None)
        messages = PullMessages()
        try:
            async for line in read_json_lines(response):
                if "error" in line:
                    raise RuntimeFailure(str(line["error"]))
                messages.add(line)
                on_progress(messages.progress())
        except (OSError, asyncio.IncompleteReadError) as error:
            raise EngineUnavailableError(f"lost the pull of {reference}: {error}") from error
        finally:
            response.writer.close()

    async def load_image(self, archive: bytes) -> None:
        """Import a `docker save` archive."""
        await self._sdk.load_image(archive)

    async def remove_image(self, reference: str) -> None:
        """Remove a tag or image; succeeds if it is gone."""
        with contextlib.suppress(ImageNotFoundError):
            await self._socket.call("DELETE", f"/images/{reference}", image=True)

    async def image_events(self) -> AsyncIterator[str]:
        """Yield what happens to images (pull, tag, untag, delete, …) until the stream breaks."""
        async with contextlib.aclosing(self._event_lines({"type": ["image"]})) as lines:
            async for line in lines:
                yield str(line.get("Action") or "")

    async def _event_lines(self, filters: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The engine's events until the stream breaks (EngineUnavailableError).

        The engine replays what happened since this call, so that nothing falls between opening and subscribing.
        """
        query = {"since": f"{time.time():.9f}", "filters": json.dumps(filters)}
        response = await self._socket.open("GET", "/events", query=query)
        try:
            async for line in read_json_lines(response):
                yield line
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise EngineUnavailableError(f"lost the engine's events: {error}") from error
        finally:
            response.writer.close()
        raise EngineUnavailableError("lost the engine's events: the engine closed the stream")


def _encode_login(login: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(dict(login)).encode()).decode()
