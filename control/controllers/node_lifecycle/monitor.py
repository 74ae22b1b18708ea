"""The node monitor: every period it looks at all nodes, and says what became of the silent ones.

A period that took far longer than it should (a suspended machine, a stopped process) proves nothing about the nodes:
every heartbeat then counts as just seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from control.api.builtin_kinds import LEASES, NODES, PODS
from control.api.errors import ApiError
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_pod_ready
from control.api.timestamps import format_time
from control.client.client import PatchType
from control.client.events import EventRecorder
from control.client.running import run_until
from control.client.transport import ServerUnavailableError
from control.client.writes import Patch, Write, apply_write, describe
from control.controllers.context import ControllerContext, run_all
from control.controllers.node_lifecycle.health import (
    Heartbeat,
    is_silent,
    note_heartbeat,
    ready_status,
    unknown_conditions,
)
from control.controllers.node_lifecycle.node_taints import compute_taints
from control.controllers.pods_by_node import BY_NODE, index_pods_by_node

logger = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
#: A period longer than this many periods was not ours to measure.
LATE_PERIODS = 4


class NodeMonitor:
    """Sets conditions and taints of nodes, and the Ready condition of Pods on nodes that are not ready."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("node-controller")
        self._clock = context.clock
        self._timings = context.options.node_timings
        self._nodes = context.informers.informer(NODES)
        self._leases = context.informers.informer(LEASES)
        self._pods = context.informers.informer(PODS)
        index_pods_by_node(context.informers)
        self._recorder = EventRecorder(self._client, component="node-controller", clock=context.clock)
        self._heartbeats: dict[str, Heartbeat] = {}
        self._ready: dict[str, str] = {}
        self._stepped_at: float | None = None
        self._changed = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Monitor until stopped."""
        await run_all(stop, _Loop(self), self._recorder)

    async def wait_synced(self) -> None:
        """Return when nodes, leases and Pods are known."""
        for informer in (self._nodes, self._leases, self._pods):
            await informer.wait_synced()
        self._nodes.add_handler(self._on_node)

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        """A node that speaks for itself is acted on at once, not at the next period; a mere heartbeat is no news."""
        if new is None and old is not None:
            name = old["metadata"]["name"]
            self._ready.pop(name, None)
            self._heartbeats.pop(name, None)
            self._record(old, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
        elif new is not None and (old is None or _situation(old) != _situation(new)):
            self._changed.set()

    async def wait_turn(self) -> None:
        """Return after a period, or as soon as a node changed, which may have been during the last step."""
        await run_until(self._changed, self._clock.sleep(self._timings.monitor_period_seconds))
        self._changed.clear()

    async def step(self) -> None:
        """Look at every node once."""
        seconds = self._clock.monotonic()
        if self._stepped_at is not None:
            late = seconds - self._stepped_at > LATE_PERIODS * self._timings.monitor_period_seconds
            if late:
                logger.warning("Was away, counting every node anew seconds=%.0f", seconds - self._stepped_at)
                self._heartbeats.clear()
        self._stepped_at = seconds
        nodes = self._nodes.store.list()
        may_evict = any(ready_status(node) == "True" for node in nodes)
        for node in nodes:
            try:
                for write in self._judge(node, seconds, may_evict=may_evict):
                    await self._apply(write)
            except (ApiError, ServerUnavailableError) as error:
                # The next period judges anew; a lost race with the node itself is the usual cause.
                logger.debug("Cannot update a node node=%s error=%s", node["metadata"]["name"], error)
            except Exception:
                logger.exception("Cannot judge a node node=%s", node["metadata"]["name"])

    def _judge(self, node: Object, seconds: float, *, may_evict: bool) -> Iterable[Write]:
        name = node["metadata"]["name"]
        lease = self._leases.store.find(f"{LEASE_NAMESPACE}/{name}")
        heartbeat = note_heartbeat(self._heartbeats.get(name), node, lease, seconds)
        self._heartbeats[name] = heartbeat
        now = self._clock.now()
        if name not in self._ready:
            self._record(node, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        before, status = self._ready.get(name, ""), ready_status(node)
        if is_silent(heartbeat, node, seconds, self._timings.grace_seconds):
            changed = unknown_conditions(node, now)
            if changed:
                yield _status_patch(node, changed)
                return
        taints = compute_taints(node, may_evict=may_evict, now=now)
        if taints is not None:
            yield _taints_patch(node, taints)
        # A node first seen as Unknown may have been left so by a process that ended before it reached the Pods.
        if status not in ("", "True") and (before == "True" or (not before and status == "Unknown")):
            self._record(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
            yield from self._mark_pods(name, format_time(now))
        self._ready[name] = status

    def _mark_pods(self, node_name: str, stamp: str) -> Iterable[Write]:
        for pod in self._pods.store.by_index(BY_NODE, node_name):
            if is_pod_ready(pod):
                self._recorder.record(pod, "Warning", "NodeNotReady", "Node is not ready")
                yield _not_ready_patch(pod, stamp)

    def _record(self, node: ReadOnlyObject, reason: str, message: str) -> None:
        """Upstream's node Events name the node by name and uid alone."""
        metadata = {"name": node["metadata"]["name"], "uid": node["metadata"]["uid"]}
        self._recorder.record({"apiVersion": "v1", "kind": "Node", "metadata": metadata}, "Normal", reason, message)

    async def _apply(self, write: Write) -> None:
        await apply_write(self._client, write)
        logger.info("Applied controller=node-lifecycle write=%s cause=%s", describe(write), write.cause)


class _Loop:
    """The monitor's loop, apart from its recorder's."""

    def __init__(self, monitor: NodeMonitor) -> None:
        self._monitor = monitor

    async def run(self, stop: asyncio.Event) -> None:
        await run_until(stop, self._run())

    async def _run(self) -> None:
        await self._monitor.wait_synced()
        while True:
            await self._monitor.step()
            await self._monitor.wait_turn()


def _situation(node: ReadOnlyObject) -> tuple[object, ...]:
    spec: ReadOnlyObject = node.get("spec") or {}
    conditions = (node.get("status") or {}).get("conditions") or ()
    states = sorted((item["type"], item.get("status", "")) for item in conditions)
    return (states, spec.get("unschedulable"), spec.get("taints"))


def _status_patch(node: ReadOnlyObject, conditions: list[Object]) -> Patch:
    return Patch(
        kind=NODES,
        name=node["metadata"]["name"],
        type=PatchType.STRATEGIC,
        subresource="status",
        patch={"metadata": {"uid": node["metadata"]["uid"]}, "status": {"conditions": conditions}},
        cause="the node stopped reporting",
    )


def _taints_patch(node: ReadOnlyObject, taints: list[Object]) -> Patch:
    metadata = {"uid": node["metadata"]["uid"], "resourceVersion": node["metadata"]["resourceVersion"]}
    return Patch(
        kind=NODES,
        name=node["metadata"]["name"],
        patch={"metadata": metadata, "spec": {"taints": taints or None}},
        cause=f"Ready is {ready_status(node) or 'not reported'}",
    )


def _not_ready_patch(pod: ReadOnlyObject, stamp: str) -> Patch:
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": stamp}
    return Patch(
        kind=PODS,
        namespace=pod["metadata"]["namespace"],
        name=pod["metadata"]["name"],
        type=PatchType.STRATEGIC,
        subresource="status",
        patch={"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": [condition]}},
        cause="its node is not ready",
        ignore_missing=True,
    )
