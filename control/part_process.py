"""The composition root of a part of the control plane that runs as a process of its own: the scheduler or the
controllers, with a kubeconfig alone, as kube-scheduler and kube-controller-manager run.
"""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from control.api.clock import Clock, SystemClock
from control.apiserver.version import GIT_VERSION
from control.client.bearer_token import TokenSource
from control.client.client import Client
from control.client.fence import Fence
from control.client.kubeconfig import Access, KubeconfigError, open_transport, read_access
from control.client.leader_election import Work
from control.client.transport import Transport
from control.controllers import CONTROLLERS
from control.controllers.context import USER_AGENT, ControllerOptions, Factory, run_controllers
from control.controllers.remote_context import remote_context
from control.leading import Election, work_as_leader
from control.scheduler.scheduler import Scheduler

#: Makes what a process does while it leads, from the way to the API server and the fence around its writes.
MakeWork = Callable[[Access, Client, Fence, Clock], Work]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllersSettings:
    """What kube-controller-manager's flags say. Without `ca_pem` the kubeconfig's authority is published."""

    options: ControllerOptions
    factories: Mapping[str, Factory]
    uses_service_accounts: bool = True


def run_scheduler(kubeconfig: Path, election: Election) -> int:
    """Run the scheduler until SIGTERM or SIGINT; returns the exit status."""
    user_agent = f"kube-scheduler/{GIT_VERSION}"
    return _run(kubeconfig, election, user_agent, lambda access, client, fence, clock: scheduler_work(client, clock))


def run_controller_manager(kubeconfig: Path, election: Election, settings: ControllersSettings) -> int:
    """Run the controllers until SIGTERM or SIGINT; returns the exit status."""

    def make_work(access: Access, client: Client, fence: Fence, clock: Clock) -> Work:
        return controllers_work(access, client, fence, clock, settings)

    return _run(kubeconfig, election, USER_AGENT, make_work)


def scheduler_work(client: Client, clock: Clock) -> Work:
    """Schedule, from what is listed when the work begins."""

    async def work(lost: asyncio.Event) -> None:
        await Scheduler(client, clock=clock, random=random.Random(), host_name=socket.gethostname()).run(lost)

    return work


def controllers_work(access: Access, client: Client, fence: Fence, clock: Clock, settings: ControllersSettings) -> Work:
    """Run the controllers, from what is listed when the work begins. Raises KubeconfigError."""
    options = replace(settings.options, ca_pem=settings.options.ca_pem or access.ca_pem)
    transport_for = None
    if settings.uses_service_accounts:
        anonymous = open_transport(access.without_identity(), user_agent=USER_AGENT)

        def transport_for(tokens: TokenSource) -> Transport:
            return fence.around(anonymous.with_tokens(tokens))

    async def work(lost: asyncio.Event) -> None:
        context = remote_context(client, transport_for, clock=clock, random=random.Random(), options=options)
        await run_controllers(context, settings.factories, lost)

    return work


def choose_controllers(names: list[str]) -> Mapping[str, Factory]:
    """The controllers that kube-controller-manager's `--controllers` chooses: `*` is all, `-name` all but that one.

    Raises ValueError for a name that is not in the catalogue.
    """
    unknown = [name for name in names if name != "*" and name.removeprefix("-") not in CONTROLLERS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not in the list of controllers: {', '.join(CONTROLLERS)}")

    def is_chosen(name: str) -> bool:
        return name in names or ("*" in names and f"-{name}" not in names)

    return {name: factory for name, factory in CONTROLLERS.items() if is_chosen(name)}


def _run(kubeconfig: Path, election: Election, user_agent: str, make_work: MakeWork) -> int:
    gc.set_threshold(50_000, 20, 100)  # as in control/main.py
    try:
        import uvloop

        uvloop.run(_run_until_signalled(read_access(kubeconfig), election, user_agent, make_work))
    except KubeconfigError as error:
        print(f"podling: {error}", file=sys.stderr)
        return 1
    return 0


async def _run_until_signalled(access: Access, election: Election, user_agent: str, make_work: MakeWork) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    clock = SystemClock()
    transport, fence = open_transport(access, user_agent=user_agent), Fence()
    client = Client(transport)
    try:
        work = make_work(access, Client(fence.around(transport)), fence, clock)
        await work_as_leader(
            work, client=client, election=election, fence=fence, clock=clock, random=random.Random(), stop=stop
        )
    finally:
        await client.close()
