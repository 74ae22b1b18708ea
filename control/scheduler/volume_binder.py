"""Writes what a Pod's volumes need before the Pod is bound, and waits until its claims are bound too.

The scheduler names the volume or the node; binding the claim to it, or making a volume, is the volume controllers'.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from control.api.clock import Clock
from control.api.meta import annotations_of, is_deleting, name_of, object_key, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.volumes import SELECTED_NODE, is_claim_bound, lacks_phase, reserve
from control.client.client import Client
from control.client.running import run_until
from control.scheduler.storage_view import StorageView, VolumePlan

#: as upstream's bindTimeoutSeconds
BIND_SECONDS_MAX = 600.0


class VolumeBindingError(Exception):
    """The claims of a Pod could not be bound on the node chosen for it; the Pod must be looked at again."""


@dataclass(slots=True)
class _Waiting:
    """A claim that is not bound yet; `node_name` if its volume is to be made there."""

    claim: ReadOnlyObject
    node_name: str
    #: whether the cache has shown the claim with that node: only then does its absence mean something
    was_placed: bool = False


class VolumeBinder:
    """Carries out `VolumePlan`s."""

    def __init__(self, client: Client, storage: StorageView, clock: Clock) -> None:
        self._client = client
        self._storage = storage
        self._clock = clock
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """A claim has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def bind(self, plan: VolumePlan, node_name: str) -> None:
        """Write the plan and return when all its claims are bound. Raises VolumeBindingError, ApiError."""
        for claim, volume in plan.bindings:
            await self._client.update(PERSISTENT_VOLUMES, reserve(volume, claim))
        for claim in plan.provisions:
            if SELECTED_NODE not in annotations_of(claim):
                await self._client.update(PERSISTENT_VOLUME_CLAIMS, _placed(claim, node_name))
        waiting = {uid_of(claim): _Waiting(claim, "") for claim in plan.nearly_bound}
        waiting |= {uid_of(claim): _Waiting(claim, "") for claim, _ in plan.bindings}
        waiting |= {uid_of(claim): _Waiting(claim, node_name) for claim in plan.provisions}
        deadline = self._clock.monotonic() + BIND_SECONDS_MAX
        while waiting := {uid: one for uid, one in waiting.items() if not self._is_bound(one)}:
            if self._clock.monotonic() >= deadline:
                raise VolumeBindingError("binding volumes: context deadline exceeded")
            await run_until(self._changed, self._clock.sleep(deadline - self._clock.monotonic()))

    def _is_bound(self, waiting: _Waiting) -> bool:
        """Whether a claim is bound by now. Raises VolumeBindingError when it will not be."""
        name = name_of(waiting.claim)
        claim = self._storage.find_claim(object_key(waiting.claim))
        if claim is None or uid_of(claim) != uid_of(waiting.claim) or is_deleting(claim):
            raise VolumeBindingError(f'binding volumes: persistentvolumeclaim "{name}" not found')
        if is_claim_bound(claim):
            return not lacks_phase(claim)
        selected = annotations_of(claim).get(SELECTED_NODE)
        if waiting.node_name and selected == waiting.node_name:
            waiting.was_placed = True
        elif waiting.node_name and (selected or waiting.was_placed):
            # The provisioner took the node back: it cannot make the volume there.
            raise VolumeBindingError(f'binding volumes: provisioning failed for PVC "{name}"')
        return False


def _placed(claim: ReadOnlyObject, node_name: str) -> Object:
    annotations = {**annotations_of(claim), SELECTED_NODE: node_name}
    return {**claim, "metadata": {**claim["metadata"], "annotations": annotations}}
