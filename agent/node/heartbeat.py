"""The node's Lease in kube-node-lease: renewed at an interval; its silence is how the cluster notices a dead node."""

from __future__ import annotations

import logging
from collections.abc import Callable

from control.api.builtin_kinds import LEASES
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.objects import Object
from control.api.timestamps import format_micro_time
from control.client.client import Client
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
# As upstream's 40 s duration for a renewal every 10 s.
INTERVALS_PER_DURATION = 4


class Heartbeat:
    """Renews one Lease."""

    def __init__(
        self, client: Client, clock: Clock, *, node_name: str, interval_seconds: float, node_uid: Callable[[], str]
    ) -> None:
        self._client = client
        self._clock = clock
        self._node_name = node_name
        self._interval_seconds = interval_seconds
        self._node_uid = node_uid
        self._lease: Object | None = None
        self._failures = 0

    async def run(self) -> None:
        """Renew for ever; a failed renewal is repeated sooner."""
        while True:
            try:
                await self.step()
            except (ApiError, ServerUnavailableError) as error:
                self._failures += 1
                level = logging.WARNING if self._failures == 1 else logging.DEBUG
                logger.log(level, "Cannot renew the node's lease failures=%d error=%s", self._failures, error)
                await self._clock.sleep(min(self._interval_seconds / 2, 0.2 * 2 ** min(self._failures, 8)))
            else:
                self._failures = 0
                await self._clock.sleep(self._interval_seconds)

    async def step(self) -> None:
        """Renew once: an update of what was read last, a new read after a conflict."""
        if self._lease is None:
            self._lease = await self._client.find(LEASES, self._node_name, namespace=NAMESPACE)
            if self._lease is None:
                self._lease = await self._client.create(LEASES, self._wanted({}))
                return
        try:
            self._lease = await self._client.update(LEASES, self._wanted(self._lease))
        except ApiError as error:
            self._lease = None
            if error.code in (404, 409):
                await self.step()
                return
            raise

    def _wanted(self, old: Object) -> Object:
        metadata = dict(old.get("metadata") or {"name": self._node_name, "namespace": NAMESPACE})
        uid = self._node_uid()
        if uid:
            metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": self._node_name, "uid": uid}]
        spec = {
            "holderIdentity": self._node_name,
            "leaseDurationSeconds": max(1, round(self._interval_seconds * INTERVALS_PER_DURATION)),
            "renewTime": format_micro_time(self._clock.now()),
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
