"""Which images of the engine Podling pulled: those it may remove. A small file in the node's state directory.

Several nodes and clusters share an engine, and people use it too; an image belongs to the node whose pull brought it.
The engine keeps no labels for images that are there, hence the file. When it is lost, or a node is deleted, nothing is
removed that should have stayed: images without an entry are their owner's.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection
from pathlib import Path

from agent.runtime.image_reference import familiar_reference
from agent.runtime.protocol import ImageRecord
from control.private_file import write_private_file

logger = logging.getLogger(__name__)

FILE_NAME = "pulled-images.json"


class PulledImages:
    """Ids of images, each with the tags it was pulled by."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._tags = _read(self._path)

    def includes(self, image: ImageRecord) -> bool:
        """Whether Podling pulled it, and nobody gave it a name since."""
        return image.id in self._tags and set(image.tags) <= self._tags[image.id]

    async def add(self, reference: str, image: ImageRecord, *, was_absent: bool) -> None:
        """A pull has ended: with an image that was absent before, or with another name for one that Podling pulled."""
        if not was_absent and image.id not in self._tags:
            return
        tags = {familiar_reference(reference)} & set(image.tags)
        known = self._tags.get(image.id)
        if known is None or not tags <= known:
            self._tags[image.id] = tags | (known or set())
            await self._write()

    async def keep(self, image_ids: Collection[str]) -> None:
        """Forget images that the engine has no more: whoever pulls them again owns them."""
        gone = self._tags.keys() - set(image_ids)
        for image_id in gone:
            del self._tags[image_id]
        if gone:
            await self._write()

    async def _write(self) -> None:
        content = json.dumps({image_id: sorted(tags) for image_id, tags in sorted(self._tags.items())}, indent=1)
        try:
            await asyncio.to_thread(write_private_file, self._path, content.encode())
        except OSError as error:
            logger.warning("Cannot note which images were pulled error=%s", error)


def _read(path: Path) -> dict[str, set[str]]:
    try:
        return {str(image_id): set(map(str, tags)) for image_id, tags in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        logger.warning("Cannot read which images were pulled: none of them is removed error=%s", error)
        return {}
