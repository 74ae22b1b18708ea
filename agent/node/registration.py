"""Registers the Node and keeps its status current: at once when something changes, and now and then as a heartbeat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.node.node_events import NodeEvent, schedulable_event, status_events
from agent.node.node_status import (
    NodeInputs,
    compute_node_status,
    node_annotations,
    node_labels,
    node_object,
    status_differs,
)
from control.api.builtin_kinds import NODES
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.objects import Object, ReadOnlyObject
from control.client.client import Client, PatchType
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

RETRY_SECONDS_FIRST = 0.05
RETRY_SECONDS_MAX = 2.0
EAGER_SECONDS = 5.0
OBSERVE_SECONDS = 10.0


class NodeRegistration:
    """The Node object of this agent. `observe` reads what the status is computed from; `record` writes its Events."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        observe: Callable[[], NodeInputs],
        *,
        status_seconds: float,
        record: Callable[[str, str, str], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._observe = observe
        self._status_seconds = status_seconds
        self._record = record
        self._node: Object | None = None
        self._sent_at = 0.0
        self._changed = asyncio.Event()

    @property
    def node(self) -> ReadOnlyObject | None:
        """The Node as the API last answered."""
        return self._node

    def on_node_change(self, old: Object | None, new: Object | None) -> None:
        """Informer handler: others change labels, taints and the Pod range; a deleted Node registers again."""
        self._node = new
        if new is None:
            self._changed.set()
        elif event := schedulable_event(new["metadata"]["name"], old or {}, new):
            self.tell(event)

    def wake(self) -> None:
        """Something about the node changed: report now."""
        self._changed.set()

    def tell(self, *events: NodeEvent) -> None:
        """Record Events of the node."""
        for event in events:
            self._record(event.type, event.reason, event.message)

    async def register(self) -> ReadOnlyObject:
        """Create the Node, or take over the one that exists, with its status. Returns when the API agrees."""
        delay, began, waited = RETRY_SECONDS_FIRST, self._clock.monotonic(), False
        while True:
            try:
                self._node = await self._register_once()
                self._sent_at = self._clock.monotonic()
                return self._node
            except ServerUnavailableError as error:
                if not waited:
                    logger.info("Waiting for the API server error=%s", error)
                waited = True
            except ApiError as error:
                logger.warning("Cannot register the node error=%s", error)
            await self._clock.sleep(delay)
            # Agent and API server mostly start together: the first seconds are worth asking often.
            if self._clock.monotonic() - began > EAGER_SECONDS:
                delay = min(delay * 2, RETRY_SECONDS_MAX)

    async def run(self) -> None:
        """Report for ever."""
        while True:
            try:
                await self.step()
            except (ApiError, ServerUnavailableError) as error:
                logger.warning("Cannot report the node's status error=%s", error)
            await self._wait(OBSERVE_SECONDS)

    async def step(self) -> None:
        """Report if something changed, or if the last report is old."""
        self._changed.clear()
        if self._node is None:
            await self.register()
            return
        old = self._node.get("status") or {}
        status = compute_node_status(self._observe(), old)
        is_due = self._clock.monotonic() - self._sent_at >= self._status_seconds
        if is_due or status_differs(old, status):
            self._node = await self._patch_status(status)
            self._sent_at = self._clock.monotonic()
            self.tell(*status_events(self._node["metadata"]["name"], old, status))

    async def _register_once(self) -> Object:
        inputs = self._observe()
        wanted = node_object(inputs)
        try:
            created = await self._client.create(NODES, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        else:
            self.tell(*status_events(inputs.name, {}, wanted["status"]))
            return created
        existing = await self._client.get(NODES, inputs.name)
        kept = {"labels": node_labels(inputs), "annotations": node_annotations(inputs)}
        if any(
            (existing["metadata"].get(field) or {}).get(name) != value
            for field, values in kept.items()
            for name, value in values.items()
        ):
            existing = await self._client.patch(NODES, inputs.name, {"metadata": kept})
        # Its status stays until `run` knows better: a node that says it is starting has its Pods evicted.
        return existing

    async def _patch_status(self, status: Object) -> Object:
        assert self._node is not None
        addresses = [{"$patch": "replace"}, *status["addresses"]]
        return await self._client.patch(
            NODES,
            self._node["metadata"]["name"],
            {"status": {**status, "addresses": addresses}},
            type=PatchType.STRATEGIC,
            subresource="status",
        )

    async def _wait(self, seconds: float) -> None:
        waiting = {asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(self._sleep(seconds))}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _sleep(self, seconds: float) -> bool:
        await self._clock.sleep(seconds)
        return True
