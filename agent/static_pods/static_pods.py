"""`StaticPods`: keeps the node running the Pods of its manifests, one Pod of a name at a time.

A changed file is another Pod (another UID): the old one ends gracefully before the new one begins, as with the kubelet.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from agent.pods.pod_spec import grace_period_seconds
from agent.pods.pod_workers import PodWorkers
from agent.pods.worker_services import WorkerServices
from agent.static_pods.manifest import is_same_pod
from agent.static_pods.manifest_directory import ManifestDirectory
from agent.static_pods.mirror_pods import FullName, MirrorPods, full_name
from control.api.clock import Clock
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time

logger = logging.getLogger(__name__)


class StaticPods:
    """The Pods of one directory. `services` are those of workers whose Pods the API shows as mirrors."""

    def __init__(
        self,
        directory: ManifestDirectory,
        *,
        workers: PodWorkers,
        services: WorkerServices,
        mirrors: MirrorPods,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._workers = workers
        self._services = services
        self._mirrors = mirrors
        self._clock = clock
        self._wanted: dict[FullName, ReadOnlyObject] = {}
        self._running: dict[FullName, ReadOnlyObject] = {}
        self._ending: set[str] = set()
        workers.on_ended = self._on_ended

    async def start(self) -> None:
        """Take on what the directory holds now."""
        self.set_wanted(await self._directory.read())

    async def run(self) -> None:
        """Follow the directory for ever."""
        await self._directory.run(self.set_wanted)

    def set_wanted(self, pods: Sequence[Object]) -> None:
        """Let these and no others run."""
        self._wanted = {full_name(pod): pod for pod in pods}
        self._settle()

    def _settle(self) -> None:
        for name, pod in list(self._running.items()):
            wanted = self._wanted.get(name)
            if wanted is None or wanted["metadata"]["uid"] != pod["metadata"]["uid"]:
                self._end(pod)
            elif pod["metadata"]["uid"] not in self._ending and not is_same_pod(wanted, pod):
                self._begin(name, wanted)
        for name, pod in self._wanted.items():
            if name not in self._running:
                logger.info("Running a static Pod pod=%s/%s", *name)
                self._begin(name, pod)

    def _begin(self, name: FullName, pod: ReadOnlyObject) -> None:
        self._running[name] = pod
        self._mirrors.show(pod)
        self._workers.run_static(pod, self._services)

    def _end(self, pod: ReadOnlyObject) -> None:
        """End a Pod as if somebody had deleted its object."""
        metadata = pod["metadata"]
        if metadata["uid"] in self._ending:
            return
        self._ending.add(metadata["uid"])
        grace = grace_period_seconds(pod)
        deadline = self._clock.now() + timedelta(seconds=grace)
        deletion = {"deletionTimestamp": format_time(deadline), "deletionGracePeriodSeconds": int(grace)}
        logger.info("Ending a static Pod pod=%s/%s", metadata["namespace"], metadata["name"])
        self._workers.run_static({**pod, "metadata": {**metadata, **deletion}}, self._services)

    def _on_ended(self, uid: str) -> None:
        """A worker is done with its Pod: the next of its name may begin."""
        if uid not in self._ending:
            return
        self._ending.discard(uid)
        self._workers.forget(uid)
        self._running = {name: pod for name, pod in self._running.items() if pod["metadata"]["uid"] != uid}
        self._settle()
