"""What works beside the API server in its process and event loop: the controllers and the scheduler.

Imported when the API is served already: nobody who waits for an answer waits for these.
"""

from __future__ import annotations

import asyncio
import random

from control.api.clock import Clock
from control.api.exchange import User
from control.apiserver.app import ApiServer
from control.apiserver.version import GIT_VERSION
from control.auth.pki import ClusterKeys
from control.client.client import Client
from control.client.fence import Fence
from control.client.informer import InformerFactory
from control.client.leader_election import ElectionTimings, Work
from control.client.local_transport import LocalTransport
from control.config import ClusterConfig
from control.controllers import CONTROLLERS
from control.controllers.context import (
    ControllerContext,
    local_context,
    options_of_profile,
    reconcile_all,
)
from control.leading import Election, work_as_leader
from control.scheduler.scheduler import Scheduler

#: who leads while the parts run in this process
LEADER_IDENTITY = "podling-control"
#: Long, so that an idle cluster writes little; nobody waits for it to grow old, as the API server dies with its holder.
LEASE_TIMINGS = ElectionTimings(
    lease_seconds=60.0, renew_deadline_seconds=40.0, retry_seconds=10.0, ends_unrenewed=False
)


async def run_own_parts(
    config: ClusterConfig, keys: ClusterKeys, server: ApiServer, clock: Clock, stop: asyncio.Event
) -> None:
    """Run those that the configuration names until told to stop."""
    context = make_controller_context(config, keys, server, clock)
    async with asyncio.TaskGroup() as group:
        # The scheduler reads through the controllers' informers: one store per kind.
        group.create_task(context.informers.run(stop))
        if config.controllers:
            group.create_task(_lead("kube-controller-manager", controllers_work(context), server, clock, stop))
        if config.scheduler:
            work = scheduler_work(server, clock, context.informers)
            group.create_task(_lead("kube-scheduler", work, server, clock, stop))


async def _lead(name: str, work: Work, server: ApiServer, clock: Clock, stop: asyncio.Event) -> None:
    """Work while this process holds the Lease of upstream's component: what runs elsewhere for this cluster waits.

    There is one control plane of a cluster (see the process lock), so it takes its own Lease back without waiting. One
    whose Lease was given to another ends, as upstream's; the supervisor starts it again, and it reads everything anew.
    """

    async def work_once(lost: asyncio.Event) -> None:
        try:
            await work(lost)
        finally:
            stop.set()

    user = User(name=f"system:{name}", groups=("system:authenticated",))
    await work_as_leader(
        work_once,
        client=Client(LocalTransport(server.endpoint, user, user_agent=f"{name}/{GIT_VERSION}")),
        election=Election(name=name, identity=LEADER_IDENTITY, timings=LEASE_TIMINGS),
        fence=Fence(),
        clock=clock,
        random=random.Random(),
        stop=stop,
    )


def controllers_work(context: ControllerContext) -> Work:
    """Run the controllers over informers that run already."""

    async def work(lost: asyncio.Event) -> None:
        await reconcile_all(context, CONTROLLERS, lost)

    return work


def scheduler_work(server: ApiServer, clock: Clock, informers: InformerFactory) -> Work:
    """Schedule, over informers that run already."""

    async def work(lost: asyncio.Event) -> None:
        await make_scheduler(server, clock, informers).run(lost)

    return work


def make_controller_context(
    config: ClusterConfig, keys: ClusterKeys, server: ApiServer, clock: Clock
) -> ControllerContext:
    """What the controllers get: clients of the API server of this process, facts and timings of the cluster."""
    ca_pem = keys.authority.certificate_pem.decode()
    options = options_of_profile(config.profile, pod_cidr=config.pod_cidr, ca_pem=ca_pem)
    return local_context(server.endpoint, clock=clock, random=random.Random(), options=options)


def make_scheduler(server: ApiServer, clock: Clock, informers: InformerFactory) -> Scheduler:
    """The scheduler as its own user of the API server of this process."""
    user = User(name="system:kube-scheduler", groups=("system:authenticated",))
    client = Client(LocalTransport(server.endpoint, user, user_agent=f"kube-scheduler/{GIT_VERSION}"))
    return Scheduler(client, clock=clock, random=random.Random(), informers=informers)
