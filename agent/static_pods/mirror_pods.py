"""Mirror Pods: what the API shows of static Pods. They are kept equal to them, and nothing in the API moves those.

A mirror that is deleted is made again; one of another form of the Pod, or of a Pod that has gone, is deleted.
Upstream: mirrorClient (pkg/kubelet/pod/mirror_client.go) and HandlePodCleanups, v1.36.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum

from agent.pods.status_reporter import StatusReporter
from agent.static_pods.manifest import HASH_ANNOTATION
from control.api.builtin_kinds import PODS
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.meta import find_condition, is_deleting
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_terminal
from control.client.client import Client
from control.client.running import run_until
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
RETRY_SECONDS_FIRST = 0.5
RETRY_SECONDS_MAX = 10.0
#: How long the name of a mirror stays free. Who deletes one waits for its end by its name, as kubectl does, which reads
#: the object and then begins to watch: another in its place by then is waited for in vain.
FREE_SECONDS = 1.0

#: namespace and name
FullName = tuple[str, str]


class MirrorAction(Enum):
    """What a mirror needs."""

    NONE = "none"
    CREATE = "create"
    DELETE = "delete"


def full_name(pod: ReadOnlyObject) -> FullName:
    """What a static Pod and its mirror have in common."""
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def compute_mirror_action(
    static: ReadOnlyObject | None, mirror: ReadOnlyObject | None, status: ReadOnlyObject | None = None
) -> MirrorAction:
    """What brings the mirror to what it should be; `status` is that of the static Pod, if it is known.

    A mirror that says that the Pod has ended cannot say that it runs again: a shut-down node has such.
    """
    if mirror is None:
        return MirrorAction.NONE if static is None else MirrorAction.CREATE
    is_outlived = is_terminal(mirror) and status is not None and not is_terminal({"status": status})
    fits = static is not None and is_mirror_of(static, mirror) and not is_outlived
    return MirrorAction.NONE if fits else MirrorAction.DELETE


def is_mirror_of(static: ReadOnlyObject, mirror: ReadOnlyObject) -> bool:
    """Whether a mirror shows exactly this static Pod, and is to stay."""
    shown = (mirror["metadata"].get("annotations") or {}).get(MIRROR_ANNOTATION)
    return bool(shown == static["metadata"]["annotations"][HASH_ANNOTATION] and not is_deleting(mirror))


def mirror_of(static: ReadOnlyObject, node: ReadOnlyObject) -> Object:
    """The mirror of a static Pod, which goes with the Node."""
    metadata = {name: value for name, value in static["metadata"].items() if name not in ("uid", "resourceVersion")}
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": node["metadata"]["name"],
        "uid": node["metadata"]["uid"],
        "controller": True,
    }
    annotations = {**metadata["annotations"], MIRROR_ANNOTATION: metadata["annotations"][HASH_ANNOTATION]}
    metadata |= {"annotations": annotations, "ownerReferences": [owner]}
    # The API sets the priority of the class itself.
    spec = {name: value for name, value in static["spec"].items() if name != "priority"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def shown_status(mirror: ReadOnlyObject, status: Object) -> Object:
    """The status of a static Pod beside what its mirror says already: since when things are so.

    An agent that starts knows neither when the Pod began nor since when a condition holds; the kubelet's status manager
    goes by the mirror, too (updateStatusInternal in pkg/kubelet/status/status_manager.go, v1.36).
    """
    told = mirror.get("status") or {}
    conditions = []
    for condition in status.get("conditions") or ():
        before = find_condition(told.get("conditions"), condition["type"])
        if before is not None and before["status"] == condition["status"] and "lastTransitionTime" in before:
            condition = {**condition, "lastTransitionTime": before["lastTransitionTime"]}
        conditions.append(condition)
    start = {"startTime": told["startTime"]} if told.get("startTime") else {}
    return {**status, **start, "conditions": conditions}


class MirrorPods:
    """All mirrors of the node; for the workers of static Pods also where their statuses go (`StatusSink`)."""

    def __init__(
        self, client: Client, reporter: StatusReporter, *, node: Callable[[], ReadOnlyObject | None], clock: Clock
    ) -> None:
        self._client = client
        self._reporter = reporter
        self._node = node
        self._clock = clock
        self._static: dict[FullName, ReadOnlyObject] = {}
        self._mirrors: dict[FullName, Object] = {}
        self._statuses: dict[FullName, Object] = {}
        #: UIDs of mirrors that went while one is being made: its own end may be known before its beginning
        self._gone: set[str] | None = None
        #: until when (monotonic) names stay free
        self._free_until: dict[FullName, float] = {}
        self._wake = asyncio.Event()

    # --- static Pods --------------------------------------------------------------------------------------------------

    def show(self, static: ReadOnlyObject) -> None:
        """Let the API show this Pod from now on."""
        self._static[full_name(static)] = static
        self._wake.set()

    def submit(self, pod: ReadOnlyObject, status: Object) -> None:
        """Report the status of a static Pod with its mirror, as soon as there is one."""
        name = full_name(pod)
        self._statuses[name] = status
        mirror, static = self._mirrors.get(name), self._static.get(name)
        if mirror is None or static is None:
            return
        if compute_mirror_action(static, mirror, status) is MirrorAction.NONE:
            self._reporter.submit(mirror, shown_status(mirror, status))
        else:
            self._wake.set()

    def reconcile(self, pod: ReadOnlyObject, status: Object) -> None:
        """A file tells nothing of what the API has."""

    async def flush(self, uid: str) -> None:
        """What the API shows of a static Pod holds nothing up: it may be away for days."""

    async def delete(self, pod: ReadOnlyObject) -> None:
        """Nothing of a static Pod runs any more: its mirror goes, now or when the API is back."""
        name = full_name(pod)
        self._static.pop(name, None)
        self._statuses.pop(name, None)
        self._wake.set()

    def forget(self, uid: str) -> None:
        """Nothing is kept by the UID of a static Pod."""

    # --- mirrors ------------------------------------------------------------------------------------------------------

    def on_pod_change(self, old: Object | None, new: Object | None) -> None:
        """Informer handler, of mirror Pods alone."""
        changed = new or old
        assert changed is not None
        name = full_name(changed)
        if old is not None and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"]):
            self._reporter.forget(old["metadata"]["uid"])
        if new is None:
            if self._gone is not None:
                self._gone.add(changed["metadata"]["uid"])
            # The one that was made again meanwhile stays.
            if self._mirrors.get(name, changed)["metadata"]["uid"] == changed["metadata"]["uid"]:
                self._mirrors.pop(name, None)
                self._free_until[name] = self._clock.monotonic() + FREE_SECONDS
        else:
            self._mirrors[name] = new
            static, status = self._static.get(name), self._statuses.get(name)
            if status is not None and compute_mirror_action(static, new, status) is MirrorAction.NONE:
                shown = shown_status(new, status)
                self._reporter.submit(new, shown)
                self._reporter.reconcile(new, shown)
        self._wake.set()

    async def run(self) -> None:
        """Keep the mirrors for ever, once the API's Pods are known."""
        backoff = 0.0
        delay: float | None = None
        while True:
            if delay is None:
                await self._wake.wait()
            else:
                await run_until(self._wake, self._clock.sleep(delay))
            self._wake.clear()
            waits = self._waits()
            if await self.step():
                backoff = 0.0
            else:
                backoff = min(max(backoff * 2, RETRY_SECONDS_FIRST), RETRY_SECONDS_MAX)
                waits.append(backoff)
            delay = min(waits, default=None)

    def _waits(self) -> list[float]:
        """For how long names stay free still; those whose time is over are free to be taken."""
        now = self._clock.monotonic()
        self._free_until = {name: until for name, until in self._free_until.items() if until > now}
        return [until - now for until in self._free_until.values()]

    async def step(self) -> bool:
        """Give every mirror what it needs; returns whether all was done."""
        done = True
        for name in sorted(self._static.keys() | self._mirrors.keys()):
            try:
                await self._settle(name)
            except ServerUnavailableError as error:
                logger.debug("Cannot mirror a static Pod pod=%s/%s error=%s", *name, error)
                done = False
            except ApiError as error:
                logger.warning("Cannot mirror a static Pod pod=%s/%s error=%s", *name, error)
                done = False
        return done

    async def _settle(self, name: FullName) -> None:
        static, mirror, node = self._static.get(name), self._mirrors.get(name), self._node()
        action = compute_mirror_action(static, mirror, self._statuses.get(name))
        if action is MirrorAction.DELETE and mirror is not None:
            await self._delete(mirror)
        elif action is MirrorAction.CREATE and static is not None and node is not None and name not in self._free_until:
            gone = self._gone = set[str]()
            try:
                made = await self._client.create(PODS, mirror_of(static, node))
            finally:
                self._gone = None
            if made["metadata"]["uid"] not in gone:
                self._mirrors[name] = made

    async def _delete(self, mirror: Object) -> None:
        metadata = mirror["metadata"]
        try:
            await self._client.delete(
                PODS, metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"], grace_period_seconds=0
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise
