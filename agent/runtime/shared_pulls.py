"""Pulls under way: one per image and login, whoever wants it; so many at once; given up when they get nowhere, and when
nobody wants them any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from agent.runtime.image_reference import qualified_reference
from agent.runtime.protocol import (
    ImageRecord,
    PulledImage,
    PullProgress,
    RegistryCredentials,
    Runtime,
    RuntimeFailure,
)
from control.api.clock import Clock
from control.api.durations import format_duration

# Whoever replaces a Pod that was deleted while it pulled goes on with its pull.
LINGER_SECONDS = 10.0

Credentials = tuple[RegistryCredentials, ...]
PullKey = tuple[str, Credentials]


class PullRecord(Protocol):
    """Remembers which images Podling pulled."""

    async def add(self, reference: str, image: ImageRecord, *, was_absent: bool) -> None:
        """A pull has ended; `was_absent` says that the engine did not have the image before."""
        ...


class CredentialRecords(Protocol):
    """Remembers with whose credentials images were pulled."""

    def is_for_all(self, reference: str, image: ImageRecord) -> bool:
        """Whether every Pod may use an image that is there."""
        ...

    async def must_pull(self, reference: str, image: ImageRecord, credentials: Sequence[RegistryCredentials]) -> bool:
        """Whether a Pod with these credentials has to pull an image that is there."""
        ...

    def pulling(self, reference: str, credentials: Sequence[RegistryCredentials]) -> AbstractAsyncContextManager[None]:
        """Around a pull."""
        ...

    async def add(self, reference: str, image: ImageRecord, login: RegistryCredentials | None) -> None:
        """A pull has brought an image by that login of a Pod; by the host's or by none if it is None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PullLimits:
    """`parallel_max` pulls at once (0: as many as there are); none that gets nowhere for the deadline (0: for ever)."""

    parallel_max: int = 0
    progress_seconds_max: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    """An image, and how long its pull took once it was its turn."""

    image: ImageRecord
    seconds: float


@dataclass(slots=True)
class SharedPull:
    """One pull. `progress` is None before the engine has said anything, `began` None while it waits for its turn."""

    waiters: int = 0
    began: float | None = None
    alive_at: float = 0.0
    progress: PullProgress | None = None


class SharedPulls:
    """All pulls of a node."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        pulled: PullRecord,
        credential_records: CredentialRecords,
        clock: Clock,
        limits: PullLimits,
    ) -> None:
        self._runtime = runtime
        self._pulled = pulled
        self._credential_records = credential_records
        self._clock = clock
        self._limits = limits
        self._pulls: dict[PullKey, tuple[SharedPull, asyncio.Task[PullResult]]] = {}
        self._slots = asyncio.Semaphore(limits.parallel_max) if limits.parallel_max else contextlib.nullcontext()
        self._abandoning: set[asyncio.Task[None]] = set()

    async def pull(
        self,
        reference: str,
        credentials: Credentials,
        watch: Callable[[SharedPull], Awaitable[None]],
    ) -> PullResult:
        """Join the pull of the image, or begin it; `watch` may look at it and is cancelled at its end."""
        key = (reference, credentials)
        pull, task = self._pulls.get(key) or self._begin(key)
        watching = asyncio.ensure_future(watch(pull))
        pull.waiters += 1
        try:
            return await asyncio.shield(task)
        finally:
            watching.cancel()
            pull.waiters -= 1
            if not pull.waiters and not task.done():
                self._abandon(key, pull, task)

    async def close(self) -> None:
        """Give up all pulls."""
        tasks: list[asyncio.Task[Any]] = [*(task for _, task in self._pulls.values()), *self._abandoning]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: PullKey) -> tuple[SharedPull, asyncio.Task[PullResult]]:
        pull = SharedPull()
        task = asyncio.ensure_future(self._run(pull, *key))
        self._pulls[key] = pull, task
        task.add_done_callback(lambda done: self._forget(key, pull, done))
        return pull, task

    def _forget(self, key: PullKey, pull: SharedPull, done: asyncio.Task[PullResult] | None = None) -> None:
        if key in self._pulls and self._pulls[key][0] is pull:
            del self._pulls[key]
        if done is not None and not done.cancelled():
            done.exception()  # nobody may be left to see it

    def _abandon(self, key: PullKey, pull: SharedPull, task: asyncio.Task[PullResult]) -> None:
        """Give it up after a while, unless somebody wants it by then."""

        async def wait() -> None:
            await self._clock.sleep(LINGER_SECONDS)
            if not pull.waiters:
                self._forget(key, pull)
                task.cancel()

        waiting = asyncio.ensure_future(wait())
        self._abandoning.add(waiting)
        waiting.add_done_callback(self._abandoning.discard)

    async def _run(self, pull: SharedPull, reference: str, credentials: Credentials) -> PullResult:
        async with self._slots:
            began = pull.began = pull.alive_at = self._clock.monotonic()

            def hear(progress: PullProgress) -> None:
                pull.progress, pull.alive_at = progress, self._clock.monotonic()

            before = {image.id for image in await self._runtime.list_images()}
            async with self._credential_records.pulling(reference, credentials):
                pulling = asyncio.ensure_future(
                    self._runtime.pull_image(qualified_reference(reference), credentials, hear)
                )
                pulled = await self._watch_over(pull, pulling, reference)
                image = pulled.image
                await self._credential_records.add(reference, image, pulled.login)
            await self._pulled.add(reference, image, was_absent=image.id not in before)
            return PullResult(image=image, seconds=self._clock.monotonic() - began)

    async def _watch_over(self, pull: SharedPull, pulling: asyncio.Task[PulledImage], reference: str) -> PulledImage:
        """Wait for the end; cancel it when the deadline passes without a sign of life."""
        deadline = self._limits.progress_seconds_max
        try:
            while deadline and not pulling.done():
                left = deadline - (self._clock.monotonic() - pull.alive_at)
                if pull.progress is not None and pull.progress.is_queued:
                    left = deadline  # other pulls of the engine are before it
                if left <= 0:
                    raise RuntimeFailure(
                        f"cannot pull {reference}: no progress for {format_duration(deadline)}", reason="ErrImagePull"
                    )
                await self._wait(pulling, left)
            return await pulling
        finally:
            pulling.cancel()

    async def _wait(self, pulling: asyncio.Task[PulledImage], seconds: float) -> None:
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            waiting: set[asyncio.Future[Any]] = {pulling, timer}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
