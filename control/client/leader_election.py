"""`LeaderElector`: one of several processes works at a time, agreed on through a Lease. client-go's semantics.

A lease is judged expired by how long *this* process has seen it unchanged, never by comparing clocks of two machines.
A leader that cannot renew in time stops its work before another can begin: renew deadline < lease duration.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from control.api.builtin_kinds import LEASES
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.objects import Object
from control.api.timestamps import format_micro_time
from control.client.client import Client
from control.client.running import run_until
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

RETRY_JITTER = 1.2

Work = Callable[[asyncio.Event], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionTimings:
    """Upstream's defaults."""

    lease_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


class LeaderElector:
    """Competes for one Lease. `identity` must be unique among the competitors."""

    def __init__(
        self,
        client: Client,
        *,
        name: str,
        identity: str,
        clock: Clock,
        random: Random,
        namespace: str = "kube-system",
        timings: ElectionTimings | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._random = random
        self._timings = timings or ElectionTimings()
        self._observed: Object | None = None
        self._observed_spec: dict[str, Any] = {}
        self._observed_seconds = 0.0

    @property
    def is_leader(self) -> bool:
        """Whether the Lease, as last seen, names this process."""
        return self._observed_spec.get("holderIdentity") == self._identity

    async def run(self, stop: asyncio.Event, work: Work) -> None:
        """Wait for leadership, then run `work(lost)` until it is lost or `stop` is set; gives the Lease back."""
        await run_until(stop, self._acquire())
        if stop.is_set() or not self.is_leader:
            return
        lost = asyncio.Event()
        renewing = asyncio.create_task(self._renew_until_lost(stop, lost))
        working = asyncio.ensure_future(work(lost))
        try:
            await asyncio.wait((renewing, working), return_when=asyncio.FIRST_COMPLETED)
            lost.set()
            await working
        finally:
            lost.set()
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._release()

    async def _acquire(self) -> None:
        while not await self._try_acquire_or_renew():
            await self._clock.sleep(self._timings.retry_seconds * (1 + RETRY_JITTER * self._random.random()))
        logger.info("Became leader lease=%s identity=%s", self._name, self._identity)

    async def _renew_until_lost(self, stop: asyncio.Event, lost: asyncio.Event) -> None:
        await run_until(stop, self._renew())
        lost.set()

    async def _renew(self) -> None:
        """Renew until a whole deadline passes without success or another holds the Lease."""
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._timings.retry_seconds)
            if await self._try_acquire_or_renew():
                renewed = self._clock.monotonic()
            elif not self.is_leader or self._clock.monotonic() - renewed >= self._timings.renew_deadline_seconds:
                logger.warning("Lost leadership lease=%s identity=%s", self._name, self._identity)
                return

    async def _try_acquire_or_renew(self) -> bool:
        try:
            async with asyncio.timeout(self._timings.renew_deadline_seconds):
                return await self._attempt()
        except (ApiError, ServerUnavailableError, TimeoutError) as error:
            logger.debug("Cannot hold the lease lease=%s error=%s", self._name, error)
            return False

    async def _attempt(self) -> bool:
        lease = await self._client.find(LEASES, self._name, namespace=self._namespace)
        if lease is None:
            fresh = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": self._make_spec(transitions=0),
            }
            self._observe(await self._client.create(LEASES, fresh))
            return True
        self._observe(lease)
        spec = self._observed_spec
        duration = float(spec.get("leaseDurationSeconds") or 0)
        is_valid = self._clock.monotonic() - self._observed_seconds < duration
        if spec.get("holderIdentity") and not self.is_leader and is_valid:
            return False
        transitions = int(spec.get("leaseTransitions") or 0)
        if self.is_leader:
            wanted = {**self._make_spec(transitions=transitions), "acquireTime": spec.get("acquireTime")}
        else:
            wanted = self._make_spec(transitions=transitions + 1)
        self._observe(await self._client.update(LEASES, {**lease, "spec": {**spec, **wanted}}))
        return True

    def _make_spec(self, *, transitions: int) -> Object:
        now = format_micro_time(self._clock.now())
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._timings.lease_seconds),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _observe(self, lease: Object) -> None:
        spec = lease.get("spec") or {}
        if spec != self._observed_spec:
            self._observed_spec = spec
            self._observed_seconds = self._clock.monotonic()
        self._observed = lease

    async def _release(self) -> None:
        """Let the next one begin at once. Best effort: otherwise the Lease expires."""
        if not self.is_leader or self._observed is None:
            return
        spec = {**self._observed_spec, "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._client.update(LEASES, {**self._observed, "spec": spec})
        except (ApiError, ServerUnavailableError) as error:
            logger.debug("Cannot release the lease lease=%s error=%s", self._name, error)
