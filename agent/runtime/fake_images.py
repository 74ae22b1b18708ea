"""The images of the fake engine: those built here, those a registry has, and what becomes of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

from agent.runtime.fake_container import FakeContainer, Program, digest, raise_late, tagged
from agent.runtime.protocol import (
    EngineUnavailableError,
    ImageNotFoundError,
    ImageRecord,
    PulledImage,
    PullProgress,
    RegistryCredentials,
    RuntimeFailure,
)


class FakeImages:
    """The part of `agent.runtime.protocol.Runtime` that is about images, in memory."""

    _containers: dict[str, FakeContainer]

    def __init__(self) -> None:
        """`registry` holds what can be pulled, `programs` how images behave, by reference.

        `passwords` are of images that need one to be pulled. `pull_gates` are pulls that hang until their future is
        done; `pull_progress` is what they report before.
        """
        self.registry: dict[str, ImageRecord] = {}
        self.programs: dict[str, Program] = {}
        self.passwords: dict[str, str] = {}
        self.pull_gates: dict[str, asyncio.Future[None]] = {}
        self.pull_progress: dict[str, Callable[[PullProgress], None]] = {}
        self.cancelled_pulls: list[str] = []
        self._images: dict[str, ImageRecord] = {}
        self._image_watchers: list[asyncio.Queue[str | None]] = []

    # --- the test's side ----------------------------------------------------------------------------------------------

    def add_image(
        self, reference: str, *, program: Program | None = None, user: str = "", size_bytes: int = 1 << 20
    ) -> ImageRecord:
        """Make an image that was built here (no digests)."""
        tag = tagged(reference)
        image = ImageRecord(id=digest(tag), tags=(tag,), size_bytes=size_bytes, config={"User": user})
        self._images[tag] = image
        if program is not None:
            self.programs[reference] = program
        self._tell("tag")
        return image

    def add_registry_image(
        self, reference: str, *, program: Program | None = None, size_bytes: int = 0, platform: str = ""
    ) -> None:
        """Make an image that can be pulled."""
        tag = tagged(reference)
        pulled = f"{tag.rpartition(':')[0]}@{digest(tag)}"
        self.registry[tag] = ImageRecord(
            id=digest(tag), tags=(tag,), digests=(pulled,), size_bytes=size_bytes, platform=platform
        )
        if program is not None:
            self.programs[reference] = program

    def break_image_events(self) -> None:
        """Break every open stream of what happens to images."""
        for queue in self._image_watchers:
            queue.put_nowait(None)

    # --- the seam -----------------------------------------------------------------------------------------------------

    async def find_image(self, reference: str) -> ImageRecord | None:
        """By reference or id."""
        self._begin("find_image", reference)
        return self._find(reference)

    async def list_images(self) -> list[ImageRecord]:
        """All local images."""
        self._begin("list_images")
        return list(self._images.values())

    async def images_in_use(self) -> frozenset[str]:
        """The images of all containers."""
        self._begin("images_in_use")
        return frozenset(container.record.image_id for container in self._containers.values())

    async def pull_image(
        self,
        reference: str,
        credentials: Sequence[RegistryCredentials] = (),
        on_progress: Callable[[PullProgress], None] = lambda progress: None,
    ) -> PulledImage:
        """From `registry`."""
        late = self._begin("pull_image", reference)
        await self._pass_gate(tagged(reference), on_progress)
        image = self.registry.get(tagged(reference))
        if image is None:
            raise ImageNotFoundError(
                f"Error response from daemon: manifest for {reference} not found: manifest unknown",
                reason="ErrImagePull",
            )
        login = self._log_in(reference, credentials)
        self._images[tagged(reference)] = image
        self._tell("pull")
        raise_late(late)
        return PulledImage(image=image, login=login)

    async def load_image(self, archive: bytes) -> None:
        """Adds an image named after the archive's hash: the fake does not read archives."""
        self._begin("load_image")
        self.add_image(f"loaded/{hashlib.sha256(archive).hexdigest()[:12]}:1")

    async def remove_image(self, reference: str) -> None:
        """Forget it, unless a container is made of it."""
        self._begin("remove_image", reference)
        image = self._find(reference)
        if image is None:
            return
        if any(container.record.image_id == image.id for container in self._containers.values()):
            raise RuntimeFailure(f"conflict: unable to remove {reference}: a container is using its referenced image")
        self._images = {tag: one for tag, one in self._images.items() if one.id != image.id}
        self._tell("delete")

    async def image_events(self) -> AsyncIterator[str]:
        """Until `break_image_events`."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._image_watchers.append(queue)
        try:
            while (action := await queue.get()) is not None:
                yield action
        finally:
            self._image_watchers.remove(queue)
        raise EngineUnavailableError("lost the engine's events: the engine closed the stream")

    # --- mechanics ----------------------------------------------------------------------------------------------------

    def _begin(self, verb: str, subject: str = "") -> Exception | None:
        raise NotImplementedError

    async def _pass_gate(self, tag: str, on_progress: Callable[[PullProgress], None]) -> None:
        """Wait as long as the test wants the pull to take."""
        gate = self.pull_gates.get(tag)
        if gate is None:
            return
        self.pull_progress[tag] = on_progress
        try:
            await asyncio.shield(gate)
        except asyncio.CancelledError:
            self.cancelled_pulls.append(tag)
            raise

    def _log_in(self, reference: str, credentials: Sequence[RegistryCredentials]) -> RegistryCredentials | None:
        """The first login that the registry lets in; it asks for none unless the image has a password."""
        password = self.passwords.get(tagged(reference))
        if password is None:
            return credentials[0] if credentials else None
        for one in credentials:
            if one.password == password:
                return one
        raise RuntimeFailure(
            f"Error response from daemon: pull access denied for {reference}, repository does not exist or may "
            "require 'docker login'",
            reason="ErrImagePull",
        )

    def _tell(self, action: str) -> None:
        for queue in self._image_watchers:
            queue.put_nowait(action)

    def _find(self, reference: str) -> ImageRecord | None:
        named = self._images.get(tagged(reference))
        return named or next((image for image in self._images.values() if image.id == reference), None)

    def _program(self, reference: str, image: ImageRecord) -> Program:
        references = (reference, tagged(reference), *image.tags)
        return next((self.programs[one] for one in references if one in self.programs), Program())
