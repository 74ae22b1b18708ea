"""kill -9 of the API server in a storm of writes: what was acknowledged is there, revisions only rise, watches go on.

The seed decides the instants; it is printed, and PODLING_FAULT_SEED sets it.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from control.api.builtin_kinds import CONFIG_MAPS
from control.api.errors import ApiError
from control.api.objects import Object
from control.client.client import Client, PatchType
from control.client.transport import ServerUnavailableError
from tests.faults.control_process import ControlProcess, control_process

KILLS = 22
WRITERS = 12
#: Acknowledgements between a start and the kill after it.
ACKNOWLEDGED_MAX = 250
NAMESPACE = "default"

#: The text of an object, None where there is none.
Text = str | None


@dataclass
class Ledger:
    """What one writer knows of its objects: what was acknowledged last, and what was sent and never answered."""

    acknowledged: dict[str, tuple[Text, int]] = field(default_factory=dict)
    unanswered: dict[str, Text] = field(default_factory=dict)

    def text(self, name: str) -> Text:
        return self.acknowledged.get(name, (None, 0))[0]


class Storm:
    """Writers that create, update, patch and delete objects of their own until the server is gone."""

    def __init__(self, process: ControlProcess, seed: int) -> None:
        self.process = process
        self.random = random.Random(seed)
        self.ledgers = [Ledger() for _ in range(WRITERS)]
        self.wanted = 0
        self.has_enough = asyncio.Event()
        self.revisions: set[int] = set()

    async def rage(self) -> None:
        """Write until a random number of answers has come; kill the server with more writes under way."""
        self.wanted = self.random.randrange(1, ACKNOWLEDGED_MAX)
        self.has_enough.clear()
        writers = [asyncio.create_task(self._write(number)) for number in range(WRITERS)]
        enough = asyncio.create_task(self.has_enough.wait())
        await asyncio.wait([enough, *writers], return_when=asyncio.FIRST_COMPLETED)
        await self.process.kill()
        await asyncio.gather(*writers)

    async def _write(self, number: int) -> None:
        ledger, client = self.ledgers[number], self.process.connect()
        try:
            while True:
                name = f"w{number}-{self.random.randrange(6)}"
                text = None if ledger.text(name) and self.random.random() < 0.3 else self._new_text()
                ledger.unanswered[name] = text
                revision = await self._send(client, name, ledger.text(name), text)
                assert revision not in self.revisions, f"revision {revision} was given twice"
                self.revisions.add(revision)
                del ledger.unanswered[name]
                ledger.acknowledged[name] = (text, revision)
                self.wanted -= 1
                if self.wanted <= 0:
                    self.has_enough.set()
        except ServerUnavailableError:
            return
        finally:
            await client.close()

    def _new_text(self) -> str:
        return f"{self.random.random()} " * self.random.choice([1, 10, 500])

    async def _send(self, client: Client, name: str, before: Text, text: Text) -> int:
        """One write; returns its revision."""
        if text is None:
            await client.delete(CONFIG_MAPS, name, namespace=NAMESPACE)
            # The answer of a deletion has no revision of its own: that of the next read is at least as new.
            return -len(self.revisions) - 1
        body: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}}
        if before is None:
            made = await client.create(CONFIG_MAPS, body, namespace=NAMESPACE)
        elif self.random.random() < 0.5:
            made = await client.update(CONFIG_MAPS, {**body, "metadata": {"name": name, "namespace": NAMESPACE}})
        else:
            patch = {"data": {"text": text}}
            made = await client.patch(CONFIG_MAPS, name, patch, type=PatchType.MERGE, namespace=NAMESPACE)
        return int(made["metadata"]["resourceVersion"])

    def judge(self, found: dict[str, Object]) -> None:
        """Compare with what the server holds after its restart, and take unanswered writes for what became of them."""
        for ledger in self.ledgers:
            for name in ledger.acknowledged.keys() | ledger.unanswered.keys():
                obj = found.get(name)
                text = obj["data"]["text"] if obj is not None else None
                revision = int(obj["metadata"]["resourceVersion"]) if obj is not None else 0
                known, known_revision = ledger.acknowledged.get(name, (None, 0))
                happened = name in ledger.unanswered and text == ledger.unanswered[name] != known
                assert text == known or happened, f"{name}: an acknowledged write is lost"
                if obj is not None:
                    assert revision > known_revision if happened else revision == known_revision
                ledger.acknowledged[name] = (text, revision)
            ledger.unanswered.clear()


class Follower:
    """A client that lists and watches as an informer does and remembers what it saw."""

    def __init__(self, process: ControlProcess) -> None:
        self._process = process
        self.objects: dict[str, Object] = {}
        self.revisions: list[int] = []
        self.watches = 0
        self._knows_all = False
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled, over every end of the server."""
        client = self._process.connect()
        try:
            while True:
                try:
                    await self._follow(client)
                except ServerUnavailableError:
                    await asyncio.sleep(0.02)
                except ApiError as error:
                    if error.code != 410:
                        raise
                    self._knows_all = False
        finally:
            await client.close()

    async def _follow(self, client: Client) -> None:
        if not self._knows_all:
            listed = await client.list(CONFIG_MAPS, namespace=NAMESPACE)
            self.objects = {item["metadata"]["name"]: item for item in listed["items"]}
            self.revisions.append(int(listed["metadata"]["resourceVersion"]))
            self._knows_all = True
            self._changed.set()
        revision = str(self.revisions[-1])
        self.watches += 1
        async for batch in client.watch(CONFIG_MAPS, namespace=NAMESPACE, resource_version=revision):
            for event in batch:
                metadata = event.object["metadata"]
                self.revisions.append(int(metadata["resourceVersion"]))
                self.objects[metadata["name"]] = event.object
                if event.type == "DELETED":
                    del self.objects[metadata["name"]]
            self._changed.set()

    async def until_equal(self, wanted: dict[str, Object]) -> None:
        """Return when it has seen what the server holds."""
        while {name: obj["metadata"] for name, obj in self.objects.items()} != {
            name: obj["metadata"] for name, obj in wanted.items()
        }:
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("PODLING_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"PODLING_FAULT_SEED={chosen}")
    return chosen


async def read_all(process: ControlProcess) -> tuple[dict[str, Object], int]:
    client = process.connect()
    try:
        listed = await client.list(CONFIG_MAPS, namespace=NAMESPACE)
    finally:
        await client.close()
    return {item["metadata"]["name"]: item for item in listed["items"]}, int(listed["metadata"]["resourceVersion"])


async def test_kill_9_in_a_storm_of_writes_loses_nothing_and_never_goes_back(tmp_path: Path, seed: int) -> None:
    async with control_process(tmp_path) as process:
        storm, follower = Storm(process, seed), Follower(process)
        following = asyncio.create_task(follower.run())
        newest = 0
        for _ in range(KILLS):
            await storm.rage()
            await process.start()
            found, revision = await read_all(process)
            assert revision >= max(newest, *storm.revisions, *follower.revisions)
            newest = revision
            storm.judge({name: obj for name, obj in found.items() if name.startswith("w")})
            for kind_object in found.values():
                assert int(kind_object["metadata"]["resourceVersion"]) <= revision
            seeing = asyncio.create_task(follower.until_equal(found))
            await asyncio.wait([seeing, following], return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                await following  # raises what it failed with
        following.cancel()
        assert all(before <= after for before, after in pairwise(follower.revisions))
        assert follower.watches > KILLS
