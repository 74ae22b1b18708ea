"""All Pod workers of the node, and what wakes them: the API's Pods, the engine's events, the safety net.

Start-up and repair are the same path: list what exists, adopt what is wanted, stop what is not. Nothing is stopped as
unwanted before the API has been read at least once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

from agent.pods.container_cache import ContainerCache
from agent.pods.rejection import Rejection
from agent.pods.worker import PodWorker
from agent.pods.worker_services import WorkerServices
from agent.runtime.protocol import RuntimeEvent, RuntimeFailure
from control.api.clock import Clock
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_active

logger = logging.getLogger(__name__)

RELIST_SECONDS = 60.0


class PodWorkers:
    """Owns the workers; the informer's handler and the cache's callback lead here."""

    def __init__(self, cache: ContainerCache, services: WorkerServices) -> None:
        self._cache = cache
        self._services = services
        self._clock: Clock = services.clock
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._done: set[str] = set()
        self._beside: set[asyncio.Task[Any]] = set()
        self._api_was_read = False
        #: called with the UID of a Pod whose worker is done with it
        self.on_ended: Callable[[str], None] = lambda uid: None
        cache.on_change = self._on_container_change

    # --- the API's side -----------------------------------------------------------------------------------------------

    def on_pod_change(self, old: Object | None, new: Object | None) -> None:
        """Informer handler."""
        if new is None:
            if old is not None:
                self._remove(old["metadata"]["uid"])
            return
        uid = new["metadata"]["uid"]
        if old is not None and old["metadata"]["uid"] != uid:
            self._remove(old["metadata"]["uid"])
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(new)
        elif uid not in self._done:
            self._start(PodWorker(new, self._services))

    def run_static(self, pod: ReadOnlyObject, services: WorkerServices) -> None:
        """Take on a Pod that no object of the API stands for, or its changed form."""
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(pod)
        elif uid not in self._done:
            self._start(PodWorker(pod, services))

    def adopt(self) -> None:
        """Call once the informer has its first list: Pods that only the engine knows are stopped from now on."""
        self._api_was_read = True
        for pod_uid in sorted(self._cache.pod_uids()):
            self._stop_if_unwanted(pod_uid)

    def pods(self) -> Iterator[ReadOnlyObject]:
        """Every Pod of the node with its newest status."""
        for worker in list(self._workers.values()):
            yield {**worker.pod, "status": worker.status or worker.pod.get("status") or {}}

    def admitted_pods(self) -> Iterator[ReadOnlyObject]:
        """Every Pod that the node has taken on and the API still has."""
        for worker in list(self._workers.values()):
            if worker.is_admitted and not worker.is_removed:
                yield {**worker.pod, "status": worker.status or worker.pod.get("status") or {}}

    def evictable_pods(self) -> Iterator[ReadOnlyObject]:
        """Those that the node may let fail: taken on, not ended and not about to."""
        return (pod for pod in self.admitted_pods() if is_active(pod) and not self._is_failing(pod))

    def _is_failing(self, pod: ReadOnlyObject) -> bool:
        worker = self._workers.get(pod["metadata"]["uid"])
        return worker is not None and worker.is_failing

    async def remove_dead_containers(self) -> None:
        """Remove the containers of Pods that have ended, with their logs and what they wrote: disk is short."""
        for worker in list(self._workers.values()):
            await worker.remove_dead_containers()

    def fail(self, uid: str, rejection: Rejection) -> None:
        """Let a Pod fail for the node's sake."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.fail(rejection)

    def retry_resizes(self) -> None:
        """Let Pods that wait for other resources ask again: the node may have the room now."""
        for worker in self._workers.values():
            worker.retry_resize()

    def is_released(self, uid: str) -> bool:
        """Whether a Pod that was to end holds nothing of the node any more but dead containers."""
        worker = self._workers.get(uid)
        return worker is None or worker.is_released

    def released_uids(self) -> frozenset[str]:
        """UIDs of the Pods that have ended and hold nothing of the node any more but dead containers."""
        return frozenset(uid for uid, worker in self._workers.items() if worker.is_released)

    def uids(self) -> frozenset[str]:
        """UIDs of all Pods that have a worker."""
        return frozenset(self._workers)

    # --- the engine's side --------------------------------------------------------------------------------------------

    def on_engine_event(self, event: RuntimeEvent) -> None:
        """Take in what the engine reports."""
        if self._cache.is_news(event):
            self._spawn(self._take_in(event))

    async def run(self, stop: asyncio.Event) -> None:
        """Read everything again now and then, until stopped; then leave every Pod as it is."""
        listing = asyncio.ensure_future(self._relist_now_and_then())
        try:
            await stop.wait()
        finally:
            tasks = [listing, *self._tasks.values(), *self._beside]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for worker in self._workers.values():
                await worker.close()
            await self._services.images.close()

    async def _relist_now_and_then(self) -> None:
        while True:
            await self._clock.sleep(RELIST_SECONDS)
            try:
                await self._cache.relist()
            except RuntimeFailure as error:
                logger.warning("Cannot list the node's containers error=%s", error)

    async def _take_in(self, event: RuntimeEvent) -> None:
        try:
            await self._cache.apply_event(event)
        except RuntimeFailure as error:
            logger.warning("Cannot inspect a container id=%s error=%s", event.container_id[:12], error)

    def _on_container_change(self, pod_uid: str) -> None:
        worker = self._workers.get(pod_uid)
        if worker is not None:
            worker.wake()
        else:
            self._stop_if_unwanted(pod_uid)

    def _stop_if_unwanted(self, pod_uid: str) -> None:
        if not self._api_was_read or pod_uid in self._workers:
            return
        pod = self._pod_from_labels(pod_uid)
        if pod is None:
            return
        worker = PodWorker(pod, self._services)
        worker.remove()
        logger.info("Stopping an unwanted Pod pod=%s/%s", pod["metadata"]["namespace"], pod["metadata"]["name"])
        self._start(worker)

    def _pod_from_labels(self, pod_uid: str) -> Object | None:
        """As much of the object as its end needs."""
        identities = self._cache.identities(pod_uid)
        if not identities:
            return None
        one = identities[0]
        metadata = {"name": one.pod_name, "namespace": one.pod_namespace, "uid": pod_uid}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}}

    # --- workers ------------------------------------------------------------------------------------------------------

    def _start(self, worker: PodWorker) -> None:
        uid = worker.pod["metadata"]["uid"]
        self._workers[uid] = worker
        self._tasks[uid] = asyncio.ensure_future(self._drive(uid, worker))

    async def _drive(self, uid: str, worker: PodWorker) -> None:
        await worker.run()
        # The object may outlive its processes (finalizers): it must not get a second life.
        self._done.add(uid)
        self._workers.pop(uid, None)
        self._tasks.pop(uid, None)
        if worker.is_removed:
            self.forget(uid)
        self.on_ended(uid)

    def _remove(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.remove()
        else:
            self.forget(uid)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a Pod that is gone: it may come again."""
        self._done.discard(uid)
        self._services.reporter.forget(uid)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
