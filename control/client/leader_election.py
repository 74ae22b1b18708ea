"""`LeaderElector`: one of several processes works at a time, agreed on through a Lease. client-go's semantics.

A lease is judged expired by how long *this* process has seen it unchanged, never by comparing clocks of two machines.
A leader that cannot renew stops its work before another can begin: whatever the server does, the work has ended when
the renew deadline and what the lease lasts beyond it have passed since the last renewal that was answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from math import ceil
from random import Random
from typing import Any, TypeVar

from control.api.builtin_kinds import LEASES
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.objects import Object
from control.api.timestamps import format_micro_time
from control.client.client import Client
from control.client.running import run_until
from control.client.transport import ServerUnavailableError
from control.client.writes import Recorder

logger = logging.getLogger(__name__)

RETRY_JITTER = 1.2
LEASE_SECONDS_MIN = 1.0

Work = Callable[[asyncio.Event], Awaitable[None]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionTimings:
    """Upstream's defaults and its rules. Raises ValueError when made of values that let two work at a time.

    `ends_unrenewed` is false in the API server's own process: while that cannot write the Lease, nobody can, and
    reading goes on. Only another's name in the Lease ends the work there.
    """

    lease_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0
    ends_unrenewed: bool = True

    def __post_init__(self) -> None:
        if self.retry_seconds <= 0:
            raise ValueError("the retry period must be greater than zero")
        if self.renew_deadline_seconds <= RETRY_JITTER * self.retry_seconds:
            raise ValueError(f"the renew deadline must be greater than {RETRY_JITTER} retry periods")
        if self.lease_seconds <= self.renew_deadline_seconds:
            raise ValueError("the lease duration must be greater than the renew deadline")
        if self.lease_seconds < LEASE_SECONDS_MIN:
            raise ValueError("the lease duration must be at least one second")

    @property
    def grace_seconds(self) -> float:
        """How long work may take to end once its renew deadline has passed."""
        return self.lease_seconds - self.renew_deadline_seconds


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
        recorder: Recorder | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._random = random
        self._timings = timings or ElectionTimings()
        self._recorder = recorder
        self._observed: Object | None = None
        self._observed_spec: dict[str, Any] = {}
        self._observed_seconds = 0.0
        self._renewed = 0.0
        self._failures = 0

    @property
    def is_leader(self) -> bool:
        """Whether the Lease, as last seen, names this process."""
        return self._observed_spec.get("holderIdentity") == self._identity

    def may_act(self) -> bool:
        """Whether the last renewal still protects this process, by its own clock; see `control/client/fence.py`."""
        return self.is_leader and self._clock.monotonic() - self._renewed < self._timings.lease_seconds

    async def run(self, stop: asyncio.Event, work: Work) -> None:
        """Wait for leadership, then run `work(lost)` until it is lost or `stop` is set; gives the Lease back.

        `lost` tells the work to end; work that does not is cancelled before another can lead.
        """
        try:
            await run_until(stop, self._acquire())
            if not stop.is_set() and self.is_leader:
                await self._lead(stop, work)
        finally:
            await self._release()

    async def _lead(self, stop: asyncio.Event, work: Work) -> None:
        logger.info("Became leader lease=%s identity=%s", self._name, self._identity)
        self._record("became leader")
        lost = asyncio.Event()
        renewing = asyncio.ensure_future(run_until(stop, self._renew()))
        working = asyncio.ensure_future(work(lost))
        try:
            await asyncio.wait((renewing, working), return_when=asyncio.FIRST_COMPLETED)
            lost.set()
            await self._within(self._timings.grace_seconds, asyncio.wait((working,)))
        finally:
            for task in (renewing, working):
                task.cancel()
            await asyncio.gather(renewing, working, return_exceptions=True)
            self._record("stopped leading")
        if not working.cancelled():
            working.result()

    async def _acquire(self) -> None:
        while not await self._try(self._timings.renew_deadline_seconds):
            await self._clock.sleep(self._timings.retry_seconds * (1 + RETRY_JITTER * self._random.random()))

    async def _renew(self) -> None:
        """Renew until another holds the Lease or, if that ends the work, a whole deadline passes without success."""
        while True:
            await self._clock.sleep(min(self._timings.retry_seconds, self._seconds_left()))
            if not await self._try(self._seconds_left()) and (not self.is_leader or self._seconds_left() <= 0):
                logger.warning("Lost leadership lease=%s identity=%s", self._name, self._identity)
                return

    def _seconds_left(self) -> float:
        """Seconds until the work must end unless a renewal succeeds."""
        if not self._timings.ends_unrenewed:
            return self._timings.renew_deadline_seconds
        return self._renewed + self._timings.renew_deadline_seconds - self._clock.monotonic()

    async def _try(self, seconds_max: float) -> bool:
        """Try to acquire or renew, for so long; returns whether this process holds the Lease anew."""
        began = self._clock.monotonic()
        try:
            succeeded = await self._within(seconds_max, self._attempt())
        except (ApiError, ServerUnavailableError) as error:
            self._failures += 1
            level = logging.WARNING if self._failures == 1 else logging.DEBUG
            logger.log(level, "Cannot hold the lease lease=%s error=%s", self._name, error)
            return False
        except Exception:
            # An answer nobody foresaw ends leadership by the deadline, not by a crash.
            logger.exception("Cannot hold the lease lease=%s", self._name)
            return False
        self._failures = 0
        if succeeded:
            # Others count from when they see the renewal, which is after this.
            self._renewed = began
        return bool(succeeded)

    async def _within(self, seconds_max: float, trying: Coroutine[Any, Any, T]) -> T | None:
        """What a coroutine returns, or None when it is cancelled because it takes longer."""
        expired = asyncio.Event()

        async def expire() -> None:
            await self._clock.sleep(seconds_max)
            expired.set()

        result: T | None = None

        async def keep() -> None:
            nonlocal result
            result = await trying

        expiring = asyncio.ensure_future(expire())
        try:
            await run_until(expired, keep())
        finally:
            expiring.cancel()
            await asyncio.gather(expiring, return_exceptions=True)
        return result

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
            "leaseDurationSeconds": ceil(self._timings.lease_seconds),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _observe(self, lease: Object) -> None:
        spec = lease.get("spec") or {}
        if spec != self._observed_spec:
            holder = spec.get("holderIdentity")
            if holder and holder not in (self._identity, self._observed_spec.get("holderIdentity")):
                logger.info("Another leads lease=%s holder=%s", self._name, holder)
            self._observed_spec = spec
            self._observed_seconds = self._clock.monotonic()
        self._observed = lease

    async def _release(self) -> None:
        """Let the next one begin at once. Best effort: otherwise the Lease expires."""
        if not self.is_leader or self._observed is None:
            return
        now = format_micro_time(self._clock.now())
        released = {"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
        lease = {**self._observed, "spec": {**self._observed_spec, **released}}
        try:
            await self._within(self._timings.retry_seconds, self._client.update(LEASES, lease))
        except (ApiError, ServerUnavailableError) as error:
            logger.debug("Cannot release the lease lease=%s error=%s", self._name, error)
        # Whether it was released or expires: it is no longer ours.
        self._observed_spec = released

    def _record(self, what: str) -> None:
        if self._recorder is not None and self._observed is not None:
            regarding = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, **self._observed}
            self._recorder.record(regarding, "Normal", "LeaderElection", f"{self._identity} {what}")
