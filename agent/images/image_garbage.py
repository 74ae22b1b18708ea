"""Removes images that nobody uses: when the disk fills up, when they are too old, and when eviction asks for space.

Only images that Podling pulled are ever removed, unless the policy says all, and none that any container of the engine
has, whosever it is. Names are removed one by one and never by force, so the engine has the last word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from agent.images.garbage_plan import (
    NEVER,
    DiskState,
    ImageUse,
    excess_bytes,
    find_expired,
    full_disk_message,
    rank_for_space,
)
from agent.images.pull_records import PullRecords
from agent.images.pulled_images import PulledImages
from agent.images.settings import GarbagePolicy
from agent.runtime.protocol import ImageRecord, Runtime, RuntimeFailure
from control.api.clock import Clock

logger = logging.getLogger(__name__)

COLLECT_SECONDS = 300.0  # the kubelet's ImageGCPeriod

# (type, reason, message) of an Event about the node
RecordNodeEvent = Callable[[str, str, str], None]


class ImageGarbageError(Exception):
    """Images could not be removed, or not enough of them; the text is the Event's."""


class ImageGarbage:
    """One per node. `disk` reads the engine's file system; `is_mounted` says whether an image volume shows layers."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        pulled: PulledImages,
        pull_records: PullRecords,
        policy: GarbagePolicy,
        disk: Callable[[], DiskState],
        is_mounted: Callable[[Sequence[str]], bool],
        pause_image: str,
        record: RecordNodeEvent,
        clock: Clock,
    ) -> None:
        self._runtime = runtime
        self._pulled = pulled
        self._pull_records = pull_records
        self._policy = policy
        self._disk = disk
        self._is_mounted = is_mounted
        self._pause_image = pause_image
        self._record = record
        self._clock = clock
        self._began = clock.monotonic()
        self._first_seen: dict[str, float] | None = None
        self._last_used: dict[str, float] = {}
        self._layers: dict[str, Sequence[str]] = {}
        self._collecting = asyncio.Lock()

    async def run(self) -> None:
        """Collect for ever. A first failure may be of a moment; the next in a row is an Event, as the kubelet's."""
        failed_before = False
        while True:
            try:
                await self.step()
                failed_before = False
            except (ImageGarbageError, RuntimeFailure, OSError) as error:
                logger.warning("Cannot collect images error=%s", error)
                if failed_before:
                    self._record("Warning", "ImageGCFailed", str(error))
                failed_before = True
            await self._clock.sleep(COLLECT_SECONDS)

    async def step(self) -> None:
        """Remove what is too old, and what the disk has no space for. Raises ImageGarbageError, RuntimeFailure."""
        async with self._collecting:
            uses = await self._observe()
            now = self._clock.monotonic()
            expired = find_expired(uses, self._policy, now, began=self._began)
            await self._remove(expired, bytes_wanted=None)
            gone = {image.id for image in expired}
            disk = await asyncio.to_thread(self._disk)
            if disk.capacity_bytes == 0:
                message = "invalid capacity 0 on image filesystem"
                self._record("Warning", "InvalidDiskCapacity", message)
                raise ImageGarbageError(message)
            wanted = excess_bytes(disk, self._policy)
            if wanted > 0:
                ranked = rank_for_space([use for use in uses if use.image.id not in gone], self._policy, now)
                freed = await self._remove(ranked, bytes_wanted=wanted)
                if freed < wanted:
                    message = full_disk_message(disk, freed)
                    self._record("Warning", "FreeDiskSpaceFailed", message)
                    raise ImageGarbageError(message)

    async def collect_now(self, bytes_wanted: int) -> int:
        """Remove unused images, unused longest first, until that much is free; returns how much became free.

        For eviction, before it evicts a Pod. It may be less than wanted, and 0. Raises RuntimeFailure, and
        ImageGarbageError where images could not be removed.
        """
        async with self._collecting:
            ranked = rank_for_space(await self._observe(), self._policy, self._clock.monotonic())
            return await self._remove(ranked, bytes_wanted=bytes_wanted)

    async def _observe(self) -> list[ImageUse]:
        """The images that may be removed. What is there at the first look counts as old, as with the kubelet."""
        as_of = self._pull_records.change
        images = await self._runtime.list_images()
        used = await self._runtime.images_in_use()
        present = {image.id for image in images}
        await self._pulled.keep(present)
        await self._pull_records.keep(present, as_of=as_of)
        now = self._clock.monotonic()
        seen = NEVER if self._first_seen is None else now
        known = self._first_seen or {}
        self._first_seen = {image_id: known.get(image_id, seen) for image_id in present}
        self._last_used = {image_id: at for image_id, at in self._last_used.items() if image_id in present}
        self._layers = {image_id: layers for image_id, layers in self._layers.items() if image_id in present}
        uses = []
        for image in filter(self._is_ours, images):
            in_use = image.id in used or self._is_mounted(await self._layers_of(image.id))
            if in_use:
                self._last_used[image.id] = now
            last_used = self._last_used.get(image.id, NEVER)
            first_seen = self._first_seen[image.id]
            uses.append(ImageUse(image=image, first_seen=first_seen, last_used=last_used, in_use=in_use))
        return uses

    def _is_ours(self, image: ImageRecord) -> bool:
        if self._pause_image in (image.id, *image.tags, *image.digests):
            return False
        return self._policy.all_images or self._pulled.includes(image)

    async def _layers_of(self, image_id: str) -> Sequence[str]:
        """The engine's list does not tell them; an id never changes its content, so each is asked for once."""
        if image_id not in self._layers:
            image = await self._runtime.find_image(image_id)
            self._layers[image_id] = image.layers if image is not None else ()
        return self._layers[image_id]

    async def _remove(self, images: Sequence[ImageRecord], *, bytes_wanted: int | None) -> int:
        """Remove images in their order, all of them or until enough is free. Raises ImageGarbageError at the end."""
        freed, failures = 0, []
        for image in images:
            if bytes_wanted is not None and freed >= bytes_wanted:
                break
            try:
                for name in (*image.tags, *image.digests) or (image.id,):
                    await self._runtime.remove_image(name)
            except RuntimeFailure as error:
                failures.append(str(error))
                continue
            logger.info("Removed image=%s id=%s bytes=%d", ",".join(image.tags), image.id, image.size_bytes)
            freed += image.size_bytes
        if failures:
            wanted = f"wanted to free {bytes_wanted} bytes, but " if bytes_wanted is not None else ""
            raise ImageGarbageError(
                f"{wanted}freed {freed} bytes space with errors in image deletion: {'; '.join(failures)}"
            )
        return freed
