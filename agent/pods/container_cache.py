"""The node's containers as last seen, by Pod: what workers observe instead of asking the engine each time.

Filled by a full list at start and now and then (the safety net), by one inspection per engine event, and by the
executor after each of its own calls. Reads that started earlier never overwrite what a later read found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from agent.pods.observed import ObservedContainer, ObservedPod, ObservedSandbox, Stopping
from agent.runtime.identity import POD_UID_LABEL, ContainerIdentity, ContainerRole, NodeIdentity, own_identity
from agent.runtime.protocol import (
    ContainerNotFoundError,
    ContainerRecord,
    ContainerState,
    Runtime,
    RuntimeEvent,
)
from control.api.clock import Clock, SteadyClock

# After `die` the engine may still show the old state for an instant.
SETTLE_READS = 5
SETTLE_SECONDS = 0.01


class ContainerCache:
    """All containers of one node, with the identity that their labels give."""

    def __init__(self, runtime: Runtime, owner: NodeIdentity, clock: Clock) -> None:
        """`steady` is the clock that the ends of containers are told by."""
        self.steady = SteadyClock(clock)
        self._runtime = runtime
        self._owner = owner
        self._records: dict[str, tuple[int, ContainerRecord, ContainerIdentity]] = {}
        self._by_pod: dict[str, set[str]] = {}
        self._resources: dict[str, str] = {}
        self._ends: dict[str, tuple[datetime, datetime]] = {}
        self._reads = 0
        self.on_change: Callable[[str], None] = lambda pod_uid: None

    async def relist(self) -> None:
        """Read everything; wakes the Pods whose containers changed. Raises EngineUnavailableError."""
        await self._relist({}, lambda identity: True)

    async def relist_pod(self, pod_uid: str) -> None:
        """Read everything of one Pod: a call that failed may have happened. Raises EngineUnavailableError."""
        await self._relist({POD_UID_LABEL: pod_uid}, lambda identity: identity.pod_uid == pod_uid)

    async def _relist(self, labels: Mapping[str, str], concerns: Callable[[ContainerIdentity], bool]) -> None:
        read = self._next_read()
        records = await self._runtime.list_containers({**self._owner.labels(), **labels})
        present = {record.id for record in records}
        for record in records:
            self._put(read, record)
        older = [item for item, (seen, _, identity) in self._records.items() if seen < read and concerns(identity)]
        for container_id in older:
            if container_id not in present:
                self._drop(container_id)

    async def refresh(self, container_id: str) -> ContainerRecord | None:
        """Inspect one container and remember it; None if it is gone."""
        read = self._next_read()
        try:
            record = await self._runtime.inspect_container(container_id)
        except ContainerNotFoundError:
            self._drop(container_id)
            return None
        self._put(read, record)
        return record

    def forget(self, container_id: str) -> None:
        """Drop a container that was removed."""
        self._drop(container_id)

    def is_news(self, event: RuntimeEvent) -> bool:
        """Whether there is anything to take in: our own starts are inspected by the executor."""
        known = self.find(event.container_id)
        return event.action != "start" or (known is not None and known.state is ContainerState.EXITED)

    async def apply_event(self, event: RuntimeEvent) -> None:
        """Take in what the engine reports that is news."""
        if event.action == "destroy":
            self._drop(event.container_id)
        elif event.action == "die":
            await self._settle(event.container_id)
        else:
            await self.refresh(event.container_id)

    async def _settle(self, container_id: str) -> None:
        before = self._records.get(container_id)
        for _ in range(SETTLE_READS):
            record = await self.refresh(container_id)
            if record is None or record.state is not ContainerState.RUNNING:
                return
            if before is not None and record.started_at != before[1].started_at:
                return
            await asyncio.sleep(SETTLE_SECONDS)

    def find(self, container_id: str) -> ContainerRecord | None:
        """What is known of a container, or None."""
        entry = self._records.get(container_id)
        return entry[1] if entry else None

    def pod_uids(self) -> frozenset[str]:
        """UIDs of all Pods that own a container here."""
        return frozenset(self._by_pod)

    def identities(self, pod_uid: str) -> list[ContainerIdentity]:
        """Identities of a Pod's containers."""
        return [self._records[item][2] for item in self._by_pod.get(pod_uid, ())]

    def used_addresses(self) -> frozenset[str]:
        """Pod addresses that sandboxes hold. A dead sandbox is never started again and holds none."""
        return frozenset(
            identity.pod_ip
            for _, record, identity in self._records.values()
            if identity.pod_ip and record.state is not ContainerState.EXITED
        )

    def observe(self, pod_uid: str, *, stopping: Mapping[str, Stopping], attached: Iterable[str]) -> ObservedPod:
        """The snapshot that a Pod's decisions are made from."""
        sandboxes: list[ObservedSandbox] = []
        containers: dict[str, list[ObservedContainer]] = {}
        attached_ids = frozenset(attached)
        for container_id in self._by_pod.get(pod_uid, ()):
            _, record, identity = self._records[container_id]
            if identity.role is ContainerRole.SANDBOX:
                sandboxes.append(
                    ObservedSandbox(
                        record=record,
                        attempt=identity.attempt,
                        ip=identity.pod_ip,
                        attached=record.id in attached_ids,
                        resources=self._resources.get(record.id) or identity.resources,
                    )
                )
                continue
            containers.setdefault(identity.container_name, []).append(
                ObservedContainer(
                    record=record,
                    name=identity.container_name,
                    attempt=identity.attempt,
                    sandbox_id=identity.sandbox_id,
                    spec_hash=identity.spec_hash,
                    resources=self._resources.get(record.id) or identity.resources,
                    backoff_seconds=identity.backoff_seconds,
                    round=identity.round,
                    ended_at=self._ends[record.id][1] if record.id in self._ends else None,
                    is_recursive=identity.is_recursive,
                    gpus=identity.gpus,
                )
            )
        sandboxes.sort(key=lambda item: item.attempt, reverse=True)
        return ObservedPod(
            sandboxes=tuple(sandboxes),
            containers={
                name: tuple(sorted(attempts, key=lambda item: item.attempt, reverse=True))
                for name, attempts in sorted(containers.items())
            },
            stopping=stopping,
        )

    def note_resources(self, container_id: str, resources: str) -> None:
        """A running container, or a sandbox's Pod, has other resources now.

        Its labels cannot say so: a new agent resizes it again.
        """
        self._resources[container_id] = resources

    def _next_read(self) -> int:
        self._reads += 1
        return self._reads

    def _put(self, read: int, record: ContainerRecord) -> None:
        known = self._records.get(record.id)
        if known is not None and known[0] > read:
            return
        identity = own_identity(record.name, record.labels)
        if identity is None:
            return
        self._records[record.id] = (read, record, identity)
        self._note_end(record)
        self._by_pod.setdefault(identity.pod_uid, set()).add(record.id)
        if known is None or known[1] != record:
            self.on_change(identity.pod_uid)

    def _note_end(self, record: ContainerRecord) -> None:
        """The engine tells ends by the wall clock, which may have jumped by the time they are looked at again."""
        # A command that cannot be run ends as its container is made.
        end = record.finished_at or (record.created_at if record.exit_code else None)
        if end is None:
            self._ends.pop(record.id, None)
        elif record.id not in self._ends or self._ends[record.id][0] != end:
            self._ends[record.id] = (end, self.steady.place(end))

    def _drop(self, container_id: str) -> None:
        entry = self._records.pop(container_id, None)
        self._resources.pop(container_id, None)
        self._ends.pop(container_id, None)
        if entry is None:
            return
        pod_uid = entry[2].pod_uid
        ids = self._by_pod.get(pod_uid, set())
        ids.discard(container_id)
        if not ids:
            self._by_pod.pop(pod_uid, None)
        self.on_change(pod_uid)
