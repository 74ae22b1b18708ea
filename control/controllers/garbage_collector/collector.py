"""The collector's loop: uids whose situation changed → look at owners → decide → write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.errors import ApiError
from control.api.kinds import Kind
from control.api.objects import Object
from control.client.client import Client
from control.client.queue_workers import QueueWorkers
from control.client.recent import Recent
from control.client.running import run_until
from control.client.transport import ServerUnavailableError
from control.client.work_queue import WorkQueue
from control.client.writes import Delete, Patch, Write, apply_write, describe
from control.controllers.context import ControllerContext
from control.controllers.garbage_collector.decide import (
    OwnerState,
    Verdict,
    decide_by_owners,
    decide_deleting_dependents,
    decide_orphaning,
)
from control.controllers.garbage_collector.graph import Graph, Node

logger = logging.getLogger(__name__)

WORKERS = 20
ABSENT_REMEMBERED_MAX = 500
_NEEDED_VERBS = {"list", "watch", "delete"}
#: Kinds nobody owns anything by: watching them would only cost.
_IGNORED = {("", "events"), ("events.k8s.io", "events")}


def collectable_kinds(kinds: Iterable[Kind]) -> list[Kind]:
    """The kinds to watch: one version of each that can be listed, watched and deleted."""
    chosen: dict[str, Kind] = {}
    for kind in kinds:
        if set(kind.verbs) >= _NEEDED_VERBS and (kind.group, kind.plural) not in _IGNORED:
            chosen.setdefault(kind.storage_prefix, kind)
    return list(chosen.values())


class GarbageCollector:
    """Collects over the built-in kinds."""

    def __init__(self, context: ControllerContext) -> None:
        self._client: Client = context.client_for("generic-garbage-collector")
        self._informers = context.informers
        self._queue = WorkQueue(context.clock)
        self._graph = Graph()
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._absent: Recent[str, bool] = Recent(ABSENT_REMEMBERED_MAX)
        self._workers = QueueWorkers(self._queue, context.clock, work=self._collect, note_failure=self._note_failure)
        for kind in collectable_kinds(BUILTIN_KINDS):
            self._kinds[(kind.group, kind.kind)] = kind
            self._informers.informer(kind)

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until stopped."""
        await run_until(stop, self._run())

    async def _run(self) -> None:
        for kind in list(self._kinds.values()):
            await self._informers.informer(kind).wait_synced()
        for kind in list(self._kinds.values()):
            self._watch(kind)
        await self._workers.run(WORKERS)

    def _watch(self, kind: Kind) -> None:
        def take_in(old: Object | None, new: Object | None) -> None:
            for uid in sorted(self._graph.apply(kind, old, new)):
                self._queue.add(uid)

        self._informers.informer(kind).add_handler(take_in)

    async def _collect(self, uid: str) -> None:
        node = self._graph.find(uid)
        if node is not None:
            await self._judge(node)
        self._queue.forget(uid)

    def _note_failure(self, uid: str, error: Exception) -> None:
        is_foreseen = isinstance(error, ApiError | ServerUnavailableError)
        level = logging.ERROR if not is_foreseen else logging.DEBUG if self._queue.failures(uid) else logging.INFO
        logger.log(level, "Failed to collect uid=%s error=%s", uid, error, exc_info=None if is_foreseen else error)

    async def _judge(self, node: Node) -> None:
        verdict = await self._decide(node)
        for write in verdict.writes:
            await self._apply(write)
        for uid in verdict.look_at:
            self._queue.add(uid)

    async def _decide(self, node: Node) -> Verdict:
        dependents = self._graph.dependents(node.uid)
        if node.is_orphaning:
            return decide_orphaning(node, dependents)
        if node.is_deleting_dependents:
            return decide_deleting_dependents(node, dependents)
        if node.is_deleting or not node.owners:
            return Verdict()
        states = {item["uid"]: await self._observe_owner(node, item) for item in node.owners}
        return decide_by_owners(node, states, dependents)

    async def _observe_owner(self, node: Node, reference: Mapping[str, Any]) -> OwnerState:
        """Find an owner in the graph, else ask the server: only its word makes an owner absent."""
        owner = self._graph.find(reference["uid"])
        if owner is not None:
            return OwnerState.WAITING if owner.is_deleting_dependents else OwnerState.SOLID
        if self._absent.find(reference["uid"]):
            return OwnerState.ABSENT
        group, _, _ = reference["apiVersion"].rpartition("/")
        kind = self._kinds.get((group, reference["kind"]))
        if kind is None or (kind.namespaced and not node.kind.namespaced):
            # A kind nobody knows (yet), or one that cannot own this: nothing may follow from it.
            return OwnerState.SOLID
        found = await self._client.find(kind, reference["name"], namespace=node.metadata.get("namespace"))
        if found is not None and found["metadata"]["uid"] == reference["uid"]:
            return OwnerState.SOLID
        self._absent.put(reference["uid"], True)
        return OwnerState.ABSENT

    async def _apply(self, write: Write) -> None:
        try:
            await apply_write(self._client, write)
        except ApiError as error:
            if error.code == 404 and isinstance(write, Delete | Patch):
                return
            raise
        logger.info("Applied controller=garbage-collector write=%s cause=%s", describe(write), write.cause)
