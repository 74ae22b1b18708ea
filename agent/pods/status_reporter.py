"""Sends Pod statuses to the API: only what changed, only the newest, and again until it is accepted.

One sender per Pod at a time. A strategic merge patch carries the changed fields of the agent's own, so conditions that
others own stay as they are; the Pod's uid is a precondition, so that a namesake is never touched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.pods.pod_conditions import OWN_CONDITIONS, is_own_condition
from control.api.builtin_kinds import PODS
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.objects import Object, ReadOnlyObject
from control.client.client import Client, PatchType
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

RETRY_SECONDS_FIRST = 0.2
RETRY_SECONDS_MAX = 5.0
# Lists that strategic merge would merge by key, where the agent means the whole list.
WHOLE_LISTS = ("podIPs", "hostIPs")
# What the agent takes back when it no longer says so.
OWN_FIELDS = (
    "reason",
    "message",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "nominatedNodeName",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "resources",
    "allocatedResources",
)


@dataclass(frozen=True, slots=True)
class _Reported:
    """The status that the API has, as far as is known, and the version of the object that says so."""

    status: ReadOnlyObject
    version: int


class StatusReporter:
    """Reports statuses and deletes Pods that have ended."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._wanted: dict[str, tuple[ReadOnlyObject, Object]] = {}
        self._reported: dict[str, _Reported] = {}
        self._senders: dict[str, asyncio.Task[None]] = {}

    def submit(self, pod: ReadOnlyObject, status: Object) -> None:
        """Let this status stand in the API soon; a newer one replaces it while it waits."""
        uid = pod["metadata"]["uid"]
        own = [item for item in status.get("conditions") or () if is_own_condition(item)]
        status = {**status, "conditions": own}
        if not status_changes(self._status_in_api(pod), status) and uid not in self._wanted:
            return
        self._wanted[uid] = (pod, status)
        if uid not in self._senders:
            self._senders[uid] = asyncio.ensure_future(self._send_all(uid))

    def reconcile(self, pod: ReadOnlyObject, status: Object) -> None:
        """Take in what the API has now, and report again what somebody else has changed.

        The node controller does: it marks the Pods of a silent node as not ready, and leaves it to the node to know
        better. Upstream: needsReconcile of the kubelet's status manager.
        """
        uid, version = pod["metadata"]["uid"], _version(pod)
        reported = self._reported.get(uid)
        if reported is not None and version >= reported.version:
            self._reported[uid] = _Reported(pod.get("status") or {}, version)
            self.submit(pod, status)

    async def flush(self, uid: str) -> None:
        """Return when the last submitted status has been accepted, or the Pod is gone."""
        sender = self._senders.get(uid)
        if sender is not None:
            await asyncio.shield(sender)

    async def delete(self, pod: ReadOnlyObject) -> None:
        """Remove the Pod object for good: nothing of it runs any more. Returns when the API agrees."""
        metadata = pod["metadata"]

        async def delete() -> None:
            await self._client.delete(
                PODS, metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"], grace_period_seconds=0
            )

        await self._insist("delete", pod, delete)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a Pod."""
        self._wanted.pop(uid, None)
        self._reported.pop(uid, None)

    async def close(self) -> None:
        """Give up what is not sent yet."""
        tasks = list(self._senders.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_all(self, uid: str) -> None:
        try:
            while uid in self._wanted:
                pod, _ = self._wanted[uid]
                await self._insist("report the status of", pod, lambda: self._send_newest(uid))
        finally:
            self._senders.pop(uid, None)

    async def _send_newest(self, uid: str) -> None:
        if uid not in self._wanted:
            return
        pod, status = self._wanted[uid]
        patch = status_changes(self._status_in_api(pod), status)
        if patch:
            metadata = pod["metadata"]
            body = {"metadata": {"uid": uid}, "status": patch}
            answer = await self._client.patch(
                PODS,
                metadata["name"],
                body,
                namespace=metadata["namespace"],
                type=PatchType.STRATEGIC,
                subresource="status",
            )
            reported = {**status, "conditions": (answer.get("status") or {}).get("conditions") or []}
            if uid in self._wanted:  # and not forgotten while the answer was on its way
                self._reported[uid] = _Reported(reported, _version(answer))
        if self._wanted.get(uid, (None, None))[1] is status:
            del self._wanted[uid]

    def _status_in_api(self, pod: ReadOnlyObject) -> ReadOnlyObject:
        reported = self._reported.get(pod["metadata"]["uid"])
        return reported.status if reported is not None else pod.get("status") or {}

    async def _insist(self, verb: str, pod: ReadOnlyObject, call: Any) -> None:
        uid = pod["metadata"]["uid"]
        delay = RETRY_SECONDS_FIRST
        while True:
            try:
                await call()
                return
            except ApiError as error:
                if error.code in (404, 409, 422):
                    if error.code != 404:
                        logger.warning("Cannot %s a Pod pod=%s error=%s", verb, _name(pod), error)
                    self._wanted.pop(uid, None)
                    return
                logger.warning("Cannot %s a Pod pod=%s error=%s", verb, _name(pod), error)
            except ServerUnavailableError as error:
                logger.debug("Cannot %s a Pod pod=%s error=%s", verb, _name(pod), error)
            await self._clock.sleep(delay)
            delay = min(delay * 2, RETRY_SECONDS_MAX)


def status_changes(old: Mapping[str, Any], new: Object) -> Object:
    """The strategic merge patch from one status to another; empty when nothing the agent owns changed."""
    patch: Object = {name: None for name in OWN_FIELDS if name in old and name not in new}
    for name, value in new.items():
        if name == "conditions":
            patch |= _condition_changes(old.get(name) or [], value)
        elif old.get(name) != value:
            replaces = name in WHOLE_LISTS and old.get(name)
            patch[name] = [{"$patch": "replace"}, *value] if replaces else _merging(old.get(name), value)
    return patch


def _merging(old: Any, new: Any) -> Any:
    """The patch from one value to another: a merge keeps the members of an object that it does not name."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return dict.fromkeys(old) | {name: _merging(old.get(name), value) for name, value in new.items()}


def _condition_changes(old: list[Any], new: list[Any]) -> Object:
    """The conditions that differ, in the order they shall have: what others say comes first."""
    known = {condition.get("type"): _without_probe_time(condition) for condition in old}
    changed = [item for item in new if known.get(item["type"]) != _without_probe_time(item)]
    left = [item["type"] for item in new]
    gone = [{"type": name, "$patch": "delete"} for name in known if name in OWN_CONDITIONS and name not in left]
    if not changed and not gone:
        return {}
    foreign = [name for name in known if name not in OWN_CONDITIONS and name not in left]
    return {
        "$setElementOrder/conditions": [{"type": name} for name in (*foreign, *left)],
        # A field that a condition no longer has is null, as a merge keeps what is not named.
        "conditions": [*(dict.fromkeys(known.get(item["type"], {})) | item for item in changed), *gone],
    }


def _without_probe_time(condition: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in condition.items() if key != "lastProbeTime"}


def _name(pod: ReadOnlyObject) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _version(pod: ReadOnlyObject) -> int:
    return int(pod["metadata"].get("resourceVersion") or 0)
