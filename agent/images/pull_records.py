"""Remembers with whose credentials images were pulled, in the node's state directory: a Pod that lacks them has to pull
an image that is there once more, so that the registry may refuse it.

One file per image, so that a damaged one concerns no other: its image has to be pulled again by everybody. A pull that
may need credentials is noted before it begins: an image that has come while the agent died is nobody's yet.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.images.credential_records import PullAccess, Verification, access_by
from agent.runtime.image_reference import familiar_reference, repository_name
from agent.runtime.protocol import ImageRecord, RegistryCredentials, SecretReference
from control.private_file import write_private_file

logger = logging.getLogger(__name__)

PULLED, PULLING = "pulled", "pulling"

Accesses = dict[str, PullAccess]


class PullRecords:
    """Implements `agent.runtime.shared_pulls.CredentialRecords`. One per node."""

    def __init__(self, directory: Path, verification: Verification) -> None:
        self._directory = directory / "image-credentials"
        self._verification = verification
        self._records: dict[str, Accesses] = {}
        self._changes: dict[str, int] = {}
        self._change = 0
        self._pulling: dict[str, int] = {}
        self._unfinished = set(_read_unfinished(self._directory / PULLING))
        for path in (self._directory / PULLED).glob("*.json"):
            image_id, accesses = _read_record(path)
            self._records[image_id] = accesses

    def is_for_all(self, reference: str, image: ImageRecord) -> bool:
        """Whether every Pod may use an image that is there."""
        accesses = self._records.get(image.id)
        was_pulled = accesses is not None or familiar_reference(reference) in self._pulling
        if not self._verification.is_required(reference, was_pulled=was_pulled):
            return True
        return (accesses or {}).get(repository_name(reference), PullAccess()).for_all

    async def must_pull(self, reference: str, image: ImageRecord, credentials: Sequence[RegistryCredentials]) -> bool:
        """Whether a Pod with these credentials has to pull an image that is there."""
        await self._settle(image)
        if self.is_for_all(reference, image):
            return False
        known = self._records.get(image.id, {}).get(repository_name(reference), PullAccess())
        shown = known.admits(credentials)
        if shown is None:
            return True
        await self._keep(image.id, repository_name(reference), shown)
        return False

    @asynccontextmanager
    async def pulling(self, reference: str, credentials: Sequence[RegistryCredentials]) -> AsyncIterator[None]:
        """Around a pull. One without credentials shows at worst that everybody may have the image: it needs no note."""
        if not credentials:
            yield
            return
        name = familiar_reference(reference)
        self._pulling[name] = self._pulling.get(name, 0) + 1
        try:
            await self._write(self._note(name), {"image": name})
            yield
        finally:
            self._pulling[name] -= 1
            if not self._pulling[name]:
                del self._pulling[name]
                await _remove(self._note(name))

    async def add(self, reference: str, image: ImageRecord, login: RegistryCredentials | None) -> None:
        """A pull has brought an image by that login of a Pod; by the host's or by none if it is None."""
        await self._keep(image.id, repository_name(reference), access_by(login))

    @property
    def change(self) -> int:
        """A number that grows with every record that is made."""
        return self._change

    async def keep(self, image_ids: Collection[str], *, as_of: int) -> None:
        """Forget images that the engine has no more, as it said when `change` was that number."""
        gone = [one for one in self._records if one not in image_ids and self._changes.get(one, 0) <= as_of]
        for image_id in gone:
            del self._records[image_id]
            self._changes.pop(image_id, None)
            await _remove(self._file(image_id))

    async def _settle(self, image: ImageRecord) -> None:
        """Take an image that came while the last agent died for one that nobody has proved a right to."""
        arrived = self._unfinished & {familiar_reference(name) for name in (*image.tags, *image.digests)}
        for name in arrived:
            self._unfinished.discard(name)
            if image.id not in self._records:
                self._records[image.id] = {}
                await self._write_record(image.id)
        for name in arrived - self._pulling.keys():
            await _remove(self._note(name))

    async def _keep(self, image_id: str, name: str, access: PullAccess) -> None:
        accesses = self._records.setdefault(image_id, {})
        known = accesses.get(name)
        accesses[name] = access if known is None else known.merged(access)
        self._change += 1
        self._changes[image_id] = self._change
        if accesses[name] != known:
            await self._write_record(image_id)

    async def _write_record(self, image_id: str) -> None:
        accesses = self._records[image_id]
        await self._write(
            self._file(image_id),
            {"image": image_id, "names": {name: _access_data(access) for name, access in sorted(accesses.items())}},
        )

    async def _write(self, path: Path, content: Any) -> None:
        try:
            await asyncio.to_thread(write_private_file, path, json.dumps(content, indent=1).encode())
        except OSError as error:
            logger.warning("Cannot note by whom an image was pulled error=%s", error)

    def _file(self, image_id: str) -> Path:
        return self._directory / PULLED / f"{image_id.replace(':', '-')}.json"

    def _note(self, name: str) -> Path:
        return self._directory / PULLING / f"{hashlib.sha256(name.encode()).hexdigest()}.json"


async def _remove(path: Path) -> None:
    try:
        await asyncio.to_thread(path.unlink, missing_ok=True)
    except OSError as error:
        logger.warning("Cannot forget by whom an image was pulled error=%s", error)


def _access_data(access: PullAccess) -> Any:
    if access.for_all:
        return {"nodePodsAccessible": True}
    secrets = [
        {"namespace": source.namespace, "name": source.name, "uid": source.uid, "credentialHash": digest}
        for source, digest in access.secrets
    ]
    return {"kubernetesSecrets": secrets}


def _read_record(path: Path) -> tuple[str, Accesses]:
    """A file that cannot be read is a record by which nobody may use the image of its name."""
    try:
        content = json.loads(path.read_text())
        return str(content["image"]), {str(name): _read_access(data) for name, data in content["names"].items()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        logger.warning("Cannot read by whom an image was pulled: it is to be pulled again error=%s", error)
        return path.stem.replace("-", ":", 1), {}


def _read_access(data: Any) -> PullAccess:
    return PullAccess(
        for_all=bool(data.get("nodePodsAccessible")),
        secrets=tuple(
            (
                SecretReference(namespace=str(one["namespace"]), name=str(one["name"]), uid=str(one["uid"])),
                str(one["credentialHash"]),
            )
            for one in data.get("kubernetesSecrets") or ()
        ),
    )


def _read_unfinished(directory: Path) -> Iterable[str]:
    for path in directory.glob("*.json"):
        try:
            yield familiar_reference(str(json.loads(path.read_text())["image"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("Cannot read which image was being pulled error=%s", error)
