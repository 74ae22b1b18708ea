"""The namespace controller: empties a terminating namespace, Pods first, then lets it go.

What is left is asked of the server, not of a cache: an object made in the last moment must not outlive its namespace.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from control.api.builtin_kinds import BUILTIN_KINDS, EVENTS, NAMESPACES, PODS
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.kinds import Kind
from control.api.meta import is_deleting, set_condition
from control.api.objects import Object, ReadOnlyObject
from control.client.client import Client
from control.client.queue_workers import QueueWorkers
from control.client.running import run_until
from control.client.transport import ServerUnavailableError
from control.client.work_queue import WorkQueue
from control.controllers.context import ControllerContext

logger = logging.getLogger(__name__)

WORKERS = 10
FINALIZER = "kubernetes"
#: How often a namespace whose content goes by itself (grace periods, finalizers) is looked at without an event.
LOOK_AGAIN_SECONDS = 5.0
_NEEDED_VERBS = {"list", "delete"}


@dataclass(slots=True)
class Content:
    """What was seen in a namespace: remaining objects by kind, and what went wrong on the way."""

    remaining: Mapping[Kind, Sequence[ReadOnlyObject]]
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """Kinds to empty now, the conditions to show, and whether the namespace may go."""

    kinds_to_delete: Sequence[Kind]
    conditions: list[Object]
    is_empty: bool


def plan_deletion(namespace: ReadOnlyObject, content: Content, now: datetime) -> Plan:
    """Decide what to delete next in a terminating namespace: nothing else goes before the last Pod has gone."""
    remaining = {kind: objects for kind, objects in content.remaining.items() if objects}
    pods = remaining.get(PODS)
    doomed = [PODS] if pods else list(remaining)
    conditions = list((namespace.get("status") or {}).get("conditions") or ())
    for condition in _describe(remaining, content.errors):
        set_condition(conditions, condition, now)
    return Plan(doomed, conditions, is_empty=not remaining and not content.errors)


def _describe(remaining: Mapping[Kind, Sequence[ReadOnlyObject]], errors: Sequence[str]) -> list[Object]:
    counts = sorted(
        f"{kind.plural}.{kind.group} has {len(objects)} resource instances" for kind, objects in remaining.items()
    )
    finalizers: dict[str, int] = {}
    for objects in remaining.values():
        for obj in objects:
            for finalizer in obj["metadata"].get("finalizers") or ():
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
    held = [f"{finalizer} in {count} resource instances" for finalizer, count in sorted(finalizers.items())]
    return [
        _condition(
            "NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"
        ),
        _condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _condition(
            "NamespaceDeletionContentFailure",
            bool(errors),
            "ContentDeletionFailed" if errors else "ContentDeleted",
            f"Failed to delete all resource types, {len(errors)} remaining: {', '.join(errors)}"
            if errors
            else "All content successfully deleted, may be waiting on finalization",
        ),
        _condition(
            "NamespaceContentRemaining",
            bool(counts),
            "SomeResourcesRemain" if counts else "ContentRemoved",
            "Some resources are remaining: " + ", ".join(counts) if counts else "All content successfully removed",
        ),
        _condition(
            "NamespaceFinalizersRemaining",
            bool(held),
            "SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
            "Some content in the namespace has finalizers remaining: " + ", ".join(held)
            if held
            else "All content-preserving finalizers finished",
        ),
    ]


def _note_failure(name: str, error: Exception) -> None:
    is_foreseen = isinstance(error, ApiError | ServerUnavailableError)
    level = logging.DEBUG if is_foreseen else logging.ERROR
    message = "Failed to empty a namespace namespace=%s error=%s"
    logger.log(level, message, name, error, exc_info=None if is_foreseen else error)


def _condition(type: str, status: bool, reason: str, message: str) -> Object:
    return {"type": type, "status": "True" if status else "False", "reason": reason, "message": message}


class NamespaceController:
    """Watches namespaces; every change of content in a terminating one brings it back to the queue."""

    def __init__(self, context: ControllerContext) -> None:
        self._client: Client = context.client_for("namespace-controller")
        self._clock: Clock = context.clock
        self._queue = WorkQueue(context.clock)
        self._workers = QueueWorkers(self._queue, context.clock, work=self._work, note_failure=_note_failure)
        self._namespaces = context.informers.informer(NAMESPACES)
        chosen: dict[str, Kind] = {}
        for kind in BUILTIN_KINDS:
            if kind.namespaced and set(kind.verbs) >= _NEEDED_VERBS:
                chosen.setdefault(kind.storage_prefix, kind)
        self._kinds = list(chosen.values())
        self._informers = context.informers
        for kind in self._kinds:
            if kind is not EVENTS:
                self._informers.informer(kind)

    async def run(self, stop: asyncio.Event) -> None:
        """Empty and finalize terminating namespaces until stopped."""
        await run_until(stop, self._run())

    async def _run(self) -> None:
        await self._namespaces.wait_synced()
        self._namespaces.add_handler(self._on_namespace)
        for kind in self._kinds:
            if kind is not EVENTS:
                self._informers.informer(kind).add_handler(self._on_content)
        await self._workers.run(WORKERS)

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        if new is not None and is_deleting(new):
            self._queue.add(new["metadata"]["name"])

    def _on_content(self, old: Object | None, new: Object | None) -> None:
        """What goes from a terminating namespace may have been the last."""
        if new is None and old is not None:
            namespace = self._namespaces.store.find(old["metadata"]["namespace"])
            self._on_namespace(None, namespace)

    async def _work(self, name: str) -> None:
        await self._terminate(name)
        self._queue.forget(name)

    async def _terminate(self, name: str) -> None:
        """Take one terminating namespace a step further."""
        namespace = await self._client.find(NAMESPACES, name)
        if namespace is None or not is_deleting(namespace):
            return
        if FINALIZER not in (namespace.get("spec") or {}).get("finalizers", ()):
            return
        content = await self._observe(name)
        plan = plan_deletion(namespace, content, self._clock.now())
        if plan.kinds_to_delete:
            errors = await self._delete(name, plan.kinds_to_delete)
            content = await self._observe(name)
            content.errors.extend(errors)
            # Deleting may have emptied the namespace at once, and never twice in one step: Pods go alone.
            plan = plan_deletion(namespace, content, self._clock.now())
        if plan.is_empty:
            await self._finalize(namespace, plan.conditions)
            return
        if plan.conditions != (namespace.get("status") or {}).get("conditions"):
            await self._client.update_status(NAMESPACES, _with_conditions(namespace, plan.conditions))
        only_pods_were_deleted = plan.kinds_to_delete and not content.remaining.get(PODS)
        self._queue.add_after(name, 0 if only_pods_were_deleted else LOOK_AGAIN_SECONDS)

    async def _observe(self, namespace: str) -> Content:
        content = Content(remaining={})
        lists = await asyncio.gather(
            *(self._client.list(kind, namespace=namespace) for kind in self._kinds), return_exceptions=True
        )
        remaining: dict[Kind, Sequence[ReadOnlyObject]] = {}
        for kind, answer in zip(self._kinds, lists, strict=True):
            if isinstance(answer, ApiError) and answer.code in (404, 405):
                continue  # no longer served
            if isinstance(answer, BaseException):
                content.errors.append(f"unexpected items still remain in namespace: {namespace} for gvr: {kind.plural}")
                continue
            remaining[kind] = answer.get("items") or ()
        content.remaining = remaining
        return content

    async def _delete(self, namespace: str, kinds: Sequence[Kind]) -> list[str]:
        answers = await asyncio.gather(*(self._delete_all(kind, namespace) for kind in kinds), return_exceptions=True)
        return [str(answer) for answer in answers if isinstance(answer, Exception)]

    async def _delete_all(self, kind: Kind, namespace: str) -> None:
        if "deletecollection" in kind.verbs:
            await self._client.delete_collection(kind, namespace=namespace, propagation="Background")
            return
        listed = await self._client.list(kind, namespace=namespace)
        for item in listed.get("items") or ():
            try:
                await self._client.delete(kind, item["metadata"]["name"], namespace=namespace, propagation="Background")
            except ApiError as error:
                if error.code != 404:
                    raise

    async def _finalize(self, namespace: Object, conditions: list[Object]) -> None:
        finalizers = [item for item in namespace["spec"]["finalizers"] if item != FINALIZER]
        finalized = _with_conditions(namespace, conditions)
        finalized["spec"] = {**namespace["spec"], "finalizers": finalizers}
        try:
            await self._client.update(NAMESPACES, finalized, subresource="finalize")
            logger.info("Removed the content of a namespace namespace=%s", namespace["metadata"]["name"])
        except ApiError as error:
            if error.code != 404:
                raise


def _with_conditions(namespace: ReadOnlyObject, conditions: list[Object]) -> Object:
    return {**namespace, "status": {**(namespace.get("status") or {}), "conditions": conditions}}
