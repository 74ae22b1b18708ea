"""`Scheduler`: informers → queue → decision → binding.

Deciding is synchronous and takes a Pod's place in the snapshot at once (assume); the binding is written in the
background, and a binding that fails gives the place back. Nothing here decides where a Pod goes: see placement.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from random import Random
from typing import Any

from control.api.builtin_kinds import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    STORAGE_CLASSES,
)
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.kinds import Kind
from control.api.meta import find_condition, is_deleting
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import conditions_of, is_terminal, node_name_of
from control.api.timestamps import format_time
from control.client.client import Client, PatchType
from control.client.informer import STEP_SECONDS_MAX, InformerFactory
from control.client.running import run_until
from control.client.transport import ServerUnavailableError
from control.scheduler.event_writer import EventWriter
from control.scheduler.framework import Change, ClusterEvent, Profile, Resource
from control.scheduler.placement import Diagnosis, choose_node, filter_nodes, format_diagnosis, score_nodes
from control.scheduler.plugins import default_profile
from control.scheduler.plugins.volume_binding import claims_of
from control.scheduler.preemption import Candidate, plan_preemption
from control.scheduler.prepared import PreparedPod
from control.scheduler.queue import QueuedPod, SchedulingQueue
from control.scheduler.snapshot import Snapshot
from control.scheduler.storage_view import VolumePlan
from control.scheduler.volume_binder import VolumeBinder, VolumeBindingError

logger = logging.getLogger(__name__)

SCHEDULER_NAME = "default-scheduler"
WRITES_IN_FLIGHT_MAX = 64
STORAGE_RESOURCES = {
    PERSISTENT_VOLUME_CLAIMS: Resource.CLAIM,
    PERSISTENT_VOLUMES: Resource.VOLUME,
    STORAGE_CLASSES: Resource.STORAGE_CLASS,
}


class Scheduler:
    """Places the Pods that name it in spec.schedulerName and have no node."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        random: Random,
        informers: InformerFactory | None = None,
        profile: Profile | None = None,
        name: str = SCHEDULER_NAME,
        host_name: str = "podling",
    ) -> None:
        self.name = name
        self.snapshot = Snapshot()
        self._client = client
        self._clock = clock
        self._random = random
        self._profile = profile or default_profile()
        self.queue = SchedulingQueue(self._profile.interests(), self._profile.pre_enqueue)
        self._events = EventWriter(client, component=name, instance=f"{name}-{host_name}", clock=clock)
        self._owns_informers = informers is None
        self._informers = informers or InformerFactory(client, clock=clock, random=random)
        self._arrived = asyncio.Event()
        self._writes: set[asyncio.Task[None]] = set()
        self._write_slots = asyncio.Semaphore(WRITES_IN_FLIGHT_MAX)
        self._start = 0
        # Nodes first, so that assigned Pods find theirs and no Pod is tried against an empty cluster.
        self._nodes = self._informers.informer(NODES)
        self._pods = self._informers.informer(PODS)
        self._namespaces = self._informers.informer(NAMESPACES)
        self._budgets = self._informers.informer(POD_DISRUPTION_BUDGETS)
        self._storage = [self._informers.informer(kind) for kind in STORAGE_RESOURCES]
        self._volume_binder = VolumeBinder(client, self.snapshot.storage, clock)
        self._nodes.add_handler(self._on_node)
        for informer in self._storage:
            informer.add_handler(partial(self._on_storage, informer.kind))
        self._namespaces.add_handler(self._on_namespace)
        self._pods.add_handler(self._on_pod)

    async def run(self, stop: asyncio.Event) -> None:
        """Schedule until stopped; writes under way are finished or abandoned with the loop."""
        loops = [run_until(stop, self._loop()), self._events.run(stop)]
        if self._owns_informers:
            loops.append(self._informers.run(stop))
        try:
            await asyncio.gather(*loops)
        finally:
            for task in list(self._writes):
                task.cancel()
            await asyncio.gather(*self._writes, return_exceptions=True)

    async def _loop(self) -> None:
        for informer in (self._nodes, *self._storage, self._namespaces, self._budgets, self._pods):
            await informer.wait_synced()
        while True:
            self._arrived.clear()
            if await self.step():
                continue
            await self._wait(self.queue.next_wake(self._clock.monotonic()))

    async def _wait(self, seconds: float | None) -> None:
        """Return when an event arrived or the time has passed."""
        arrived = asyncio.ensure_future(self._arrived.wait())
        sleep = None if seconds is None else asyncio.ensure_future(self._clock.sleep(seconds))
        waiting = [arrived] if sleep is None else [arrived, sleep]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def step(self) -> bool:
        """Try Pods until none is ready or a slice of the loop's time is used; returns whether any was tried."""
        deadline = self._clock.monotonic() + STEP_SECONDS_MAX
        tried = False
        while self._clock.monotonic() < deadline or not tried:
            async with self._write_slots:  # waits while too many bindings are under way
                queued = self.queue.pop(self._clock.monotonic())
            if queued is None:
                break
            tried = True
            try:
                self.schedule_one(queued)
            except Exception:
                # One Pod nobody foresaw must not keep the others from their nodes.
                logger.exception("Cannot schedule a pod pod=%s", queued.pod.key)
                self.queue.put_back(queued, frozenset(), self._clock.monotonic())
        await asyncio.sleep(0)
        return tried

    def schedule_one(self, queued: QueuedPod) -> None:
        """Decide for one Pod and start what follows."""
        pod = queued.pod
        filtered = filter_nodes(self._profile, pod, self.snapshot, start=self._start)
        if not filtered.feasible:
            self._on_unschedulable(queued, filtered.diagnosis)
            return
        count = filtered.diagnosis.node_count
        self._start = (self._start + filtered.examined) % count
        feasible = filtered.feasible
        node = (
            feasible[0]
            if len(feasible) == 1
            else choose_node(feasible, score_nodes(self._profile, pod, feasible, self.snapshot), self._random)
        )
        plan = self.snapshot.storage.plan(claims_of(pod, self.snapshot), node)
        assert isinstance(plan, VolumePlan), "VolumeBinding has let the node pass"
        self.snapshot.assume(pod, node.name)
        self.snapshot.storage.promise(pod.uid, plan, node.name)
        self._write(self._bind(queued, node.name, plan))

    def _write(self, writing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(writing)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _bind(self, queued: QueuedPod, node_name: str, plan: VolumePlan) -> None:
        pod = queued.pod
        metadata = pod.pod["metadata"]
        binding: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node_name},
        }
        try:
            if not plan.is_empty:
                await self._volume_binder.bind(plan, node_name)
            async with self._write_slots:
                await self._client.create_subresource(
                    PODS, metadata["name"], "binding", binding, namespace=pod.namespace
                )
        except Exception as error:  # whatever it was, the place must be given back
            self._on_bind_failure(queued, error)
            return
        self.snapshot.storage.release(pod.uid)
        logger.debug("Bound a pod pod=%s node=%s", pod.key, node_name)
        message = f"Successfully assigned {pod.key} to {node_name}"
        self._events.record(pod.pod, "Normal", "Scheduled", "Binding", message)
        self.queue.remove(pod.uid)

    def _on_bind_failure(self, queued: QueuedPod, error: Exception) -> None:
        pod = queued.pod
        self.snapshot.forget(pod.uid)
        self.snapshot.storage.release(pod.uid)
        if isinstance(error, ApiError) and error.code == 404 and self._pods.store.find(pod.key) is None:
            self.queue.remove(pod.uid)
            return
        is_expected = isinstance(error, ApiError | ServerUnavailableError | VolumeBindingError)
        logger.warning("Cannot bind a pod pod=%s error=%s", pod.key, error, exc_info=not is_expected)
        self.queue.put_back(queued, frozenset(), self._clock.monotonic())
        self._events.record(pod.pod, "Warning", "FailedScheduling", "Scheduling", f"binding rejected: {error}")
        # The place that was assumed is free again.
        self._notify(ClusterEvent(Resource.ASSIGNED_POD, Change.DELETE, old=pod.pod))

    def _on_unschedulable(self, queued: QueuedPod, diagnosis: Diagnosis) -> None:
        pod = queued.pod
        preemption = plan_preemption(self._profile, pod, self.snapshot, diagnosis, self._budgets.store.list())
        candidate = preemption.candidate
        message = format_diagnosis(diagnosis, preemption.message)
        # An empty cluster has no plugin that refused; the first node that fits must still bring the Pod back.
        refused_by = diagnosis.plugins or frozenset({"NodeResourcesFit"})
        self.queue.put_back(queued, refused_by, self._clock.monotonic())
        self._events.record(pod.pod, "Warning", "FailedScheduling", "Scheduling", message)
        if candidate is not None:
            self.snapshot.nominate(pod, candidate.node_name)
        self._write(self._report(pod, message, candidate))

    async def _report(self, pod: PreparedPod, message: str, candidate: Candidate | None) -> None:
        try:
            async with self._write_slots:
                if candidate is not None:
                    await self._evict(pod, candidate)
                await self._patch_status(pod, message, candidate)
        except (ApiError, ServerUnavailableError) as error:
            logger.debug("Cannot report on a pod pod=%s error=%s", pod.key, error)
        except Exception:
            logger.exception("Cannot report on a pod pod=%s", pod.key)

    async def _evict(self, pod: PreparedPod, candidate: Candidate) -> None:
        for lower in self.snapshot.nominated_below(candidate.node_name, pod.priority):
            self.snapshot.drop_nomination(lower.uid)
            await self._patch(lower.pod, {"nominatedNodeName": None})
        for victim in candidate.victims:
            if is_deleting(victim.pod):
                continue
            condition: Object = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "PreemptionByScheduler",
                "message": f"{self.name}: preempting to accommodate a higher priority pod",
                "lastTransitionTime": format_time(self._clock.now()),
            }
            await self._patch(victim.pod, {"conditions": [_observed(condition, victim.pod)]})
            await self._client.delete(PODS, victim.pod["metadata"]["name"], namespace=victim.namespace, uid=victim.uid)
            text = f"Preempted by pod {pod.uid} on node {candidate.node_name}"
            self._events.record(victim.pod, "Normal", "Preempted", "Preempting", text, related=pod.pod)

    async def _patch_status(self, pod: PreparedPod, message: str, candidate: Candidate | None) -> None:
        """Write the PodScheduled condition and the nomination, if they change."""
        status: Object = {}
        current = find_condition(conditions_of(pod.pod), "PodScheduled") or {}
        if (current.get("status"), current.get("reason"), current.get("message")) != (
            "False",
            "Unschedulable",
            message,
        ):
            stays = current.get("status") == "False" and current.get("lastTransitionTime")
            condition: Object = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastTransitionTime": stays or format_time(self._clock.now()),
            }
            status["conditions"] = [_observed(condition, pod.pod)]
        if candidate is not None:
            status["nominatedNodeName"] = candidate.node_name
        if status:
            await self._patch(pod.pod, status)

    async def _patch(self, pod: ReadOnlyObject, status: Object) -> None:
        metadata = pod["metadata"]
        await self._client.patch(
            PODS,
            metadata["name"],
            {"metadata": {"uid": metadata.get("uid")}, "status": status},
            namespace=metadata.get("namespace"),
            type=PatchType.STRATEGIC,
            subresource="status",
        )

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self.snapshot.remove_node(old["metadata"]["name"])
                self._notify(ClusterEvent(Resource.NODE, Change.DELETE, old=old))
            return
        if old is not None and not _is_relevant_change(old, new):
            return
        self.snapshot.put_node(new)
        self._notify(ClusterEvent(Resource.NODE, Change.ADD if old is None else Change.UPDATE, old=old, new=new))

    def _on_storage(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        """A claim, a volume or a class."""
        storage = self.snapshot.storage
        if new is not None:
            storage.put(kind, new)
            change = Change.ADD if old is None else Change.UPDATE
            self._notify(ClusterEvent(STORAGE_RESOURCES[kind], change, old=old, new=new))
        elif old is not None:
            storage.remove(kind, old)
        self._volume_binder.wake()

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.snapshot.put_namespace(new)
        elif old is not None:
            self.snapshot.remove_namespace(old["metadata"]["name"])

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        assert pod is not None
        uid = pod["metadata"].get("uid") or ""
        if new is None or is_terminal(new):
            self._on_pod_gone(pod, uid)
        elif node_name_of(new):
            self._on_pod_assigned(old, new, uid)
        elif new["spec"].get("schedulerName", SCHEDULER_NAME) == self.name:
            self._on_pod_waiting(old, new, uid)

    def _on_pod_gone(self, pod: Object, uid: str) -> None:
        was_placed = self.snapshot.node_of(uid) is not None
        self.queue.remove(uid)
        self.snapshot.remove_pod(uid)
        if was_placed:
            self._notify(ClusterEvent(Resource.ASSIGNED_POD, Change.DELETE, old=pod))

    def _on_pod_assigned(self, old: Object | None, new: Object, uid: str) -> None:
        self.queue.remove(uid)
        node_name = node_name_of(new)
        is_known = self.snapshot.node_of(uid) == node_name and not self.snapshot.is_assumed(uid)
        if is_known and old is not None and not _is_relevant_change(old, new):
            # Pods report their status all the time; it takes no room.
            self.snapshot.refresh_pod(uid, new)
            return
        self.snapshot.put_pod(PreparedPod(new), node_name)
        self._notify(ClusterEvent(Resource.ASSIGNED_POD, Change.UPDATE if is_known else Change.ADD, old=old, new=new))

    def _on_pod_waiting(self, old: Object | None, new: Object, uid: str) -> None:
        if is_deleting(new):
            self.queue.remove(uid)
            return
        if self.snapshot.is_assumed(uid):
            return  # its binding is under way; if that fails the Pod is put back with the state it had
        nominated = (new.get("status") or {}).get("nominatedNodeName")
        pod = PreparedPod(new)
        if nominated:
            self.snapshot.nominate(pod, nominated)
        if self.queue.find(uid) is None or (old is not None and _is_relevant_change(old, new)):
            self.queue.update(pod, self._clock.monotonic())
            self._arrived.set()
        else:
            self.queue.add(pod, self._clock.monotonic())

    def _notify(self, event: ClusterEvent) -> None:
        self.queue.on_event(event, self._clock.monotonic())
        self._arrived.set()


def _is_relevant_change(old: Object, new: Object) -> bool:
    """Whether anything the scheduler looks at changed: of a node what it offers, of a Pod what it asks for."""
    if old.get("spec") != new.get("spec") or old["metadata"].get("labels") != new["metadata"].get("labels"):
        return True
    old_status, status = old.get("status") or {}, new.get("status") or {}
    if new.get("kind") == "Node":
        return any(old_status.get(field) != status.get(field) for field in ("allocatable", "capacity", "images"))
    return _held_resources(old_status) != _held_resources(status)


def _held_resources(status: Object) -> list[object]:
    """What a Pod's status says it holds; it differs from the spec while the Pod is resized."""
    return [
        (item.get("name"), item.get("allocatedResources"), item.get("resources"))
        for field in ("containerStatuses", "initContainerStatuses")
        for item in status.get(field) or ()
    ]


def _observed(condition: Object, pod: ReadOnlyObject) -> Object:
    generation = pod["metadata"].get("generation")
    return {**condition, "observedGeneration": generation} if generation else condition
