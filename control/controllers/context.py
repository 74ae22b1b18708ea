"""What a controller is built from, and how all of them run together.

Each controller writes as its own ServiceAccount (`system:serviceaccount:kube-system:<name>`), as with
kube-controller-manager, so that authorization and audit see who did what; all read through one set of informers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Protocol

from control.api.clock import Clock
from control.api.exchange import ApiEndpoint, User
from control.client.client import Client
from control.client.controller import Controller, ControllerRuntime
from control.client.events import EventRecorder
from control.client.informer import InformerFactory
from control.client.local_transport import LocalTransport
from control.client.running import run_until

logger = logging.getLogger(__name__)

#: What stands before the slash is the manager in managedFields.
USER_AGENT = "kube-controller-manager/v1.36.2"
RESTART_SECONDS = 1.0


class Runnable(Protocol):
    """Something that works until stopped."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTimings:
    """When a silent node counts as lost. Upstream's: 5 s, 50 s."""

    monitor_period_seconds: float = 1.0
    grace_seconds: float = 6.0


UPSTREAM_NODE_TIMINGS = NodeTimings(monitor_period_seconds=5.0, grace_seconds=50.0)
UPSTREAM_MISSING_NODE_SECONDS = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerOptions:
    """Facts of the cluster that controllers publish or hand out."""

    pod_cidr: str = "10.244.0.0/16"
    node_mask_bits: int = 24
    ca_pem: str = ""
    node_timings: NodeTimings = field(default_factory=NodeTimings)
    #: how long a Pod's node must be missing before the Pod counts as garbage
    missing_node_seconds: float = 5.0
    #: whether the StorageClass `standard` is the default one
    default_storage_class: bool = True


def options_of_profile(profile: str, *, pod_cidr: str, ca_pem: str) -> ControllerOptions:
    """The options of a cluster with these facts and its profile, `default` or `upstream`."""
    options = ControllerOptions(pod_cidr=pod_cidr, ca_pem=ca_pem)
    if profile != "upstream":
        return options
    return replace(
        options,
        node_timings=UPSTREAM_NODE_TIMINGS,
        missing_node_seconds=UPSTREAM_MISSING_NODE_SECONDS,
        default_storage_class=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerContext:
    """What factories get. `client_for` makes a client that acts as a ServiceAccount of kube-system."""

    client_for: Callable[[str], Client]
    informers: InformerFactory
    clock: Clock
    random: Random
    options: ControllerOptions = field(default_factory=ControllerOptions)


Factory = Callable[[ControllerContext], Runnable]


class RecordingController:
    """A controller's runtime together with its Event recorder."""

    def __init__(
        self, controller: Controller, context: ControllerContext, service_account: str, component: str = ""
    ) -> None:
        client = context.client_for(service_account)
        self._recorder = EventRecorder(client, component=component or service_account, clock=context.clock)
        self.runtime = ControllerRuntime(
            controller, client=client, informers=context.informers, clock=context.clock, recorder=self._recorder
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Reconcile and record until stopped."""
        await run_all(stop, self.runtime, self._recorder)


def runtime_factory(controller: Controller, service_account: str, component: str = "") -> Factory:
    """Make a factory for a controller that is data and functions alone.

    `component` is who speaks in Events where upstream does not use the account's name for that.
    """
    return lambda context: RecordingController(controller, context, service_account, component)


def joint_factory(controllers: Sequence[Controller], service_account: str, component: str = "") -> Factory:
    """Make a factory for several controllers that are one to the outside."""

    def make(context: ControllerContext) -> Runnable:
        return Together(*(RecordingController(one, context, service_account, component) for one in controllers))

    return make


class Together:
    """Parts that run as one."""

    def __init__(self, *parts: Runnable) -> None:
        self._parts = parts

    async def run(self, stop: asyncio.Event) -> None:
        """Run all until stopped; when one fails, all end and the failure rises."""
        await run_all(stop, *self._parts)


async def run_all(stop: asyncio.Event, *parts: Runnable) -> None:
    """Run parts together; when one fails, all end and the failure rises."""
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(part.run(stop))


async def run_controllers(context: ControllerContext, factories: Mapping[str, Factory], stop: asyncio.Event) -> None:
    """Run controllers and the informers they share until stopped. One that fails is built and started again."""
    async with asyncio.TaskGroup() as group:
        group.create_task(reconcile_all(context, factories, stop))
        group.create_task(context.informers.run(stop))


async def reconcile_all(context: ControllerContext, factories: Mapping[str, Factory], stop: asyncio.Event) -> None:
    """Run controllers over informers that somebody else runs."""
    async with asyncio.TaskGroup() as group:
        for name, factory in factories.items():
            group.create_task(_keep_running(name, factory, context, stop))


async def _keep_running(name: str, factory: Factory, context: ControllerContext, stop: asyncio.Event) -> None:
    async def loop() -> None:
        while True:
            try:
                await factory(context).run(stop)
                return
            except Exception:
                logger.exception("Controller failed controller=%s", name)
                await context.clock.sleep(RESTART_SECONDS)

    await run_until(stop, loop())


def local_context(
    endpoint: ApiEndpoint, *, clock: Clock, random: Random, options: ControllerOptions
) -> ControllerContext:
    """Build a context whose clients call an API server in the same process."""

    def client_for(service_account: str) -> Client:
        return Client(LocalTransport(endpoint, service_account_user(service_account), user_agent=USER_AGENT))

    reader = Client(LocalTransport(endpoint, CONTROLLER_MANAGER, user_agent=USER_AGENT))
    informers = InformerFactory(reader, clock=clock, random=random)
    return ControllerContext(client_for=client_for, informers=informers, clock=clock, random=random, options=options)


#: Who reads for all controllers.
CONTROLLER_MANAGER = User(name="system:kube-controller-manager", groups=("system:authenticated",))


def service_account_user(name: str) -> User:
    """The identity of a ServiceAccount of kube-system."""
    return User(
        name=f"system:serviceaccount:kube-system:{name}",
        groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
    )
