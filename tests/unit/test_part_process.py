"""Scheduler and controllers as processes of their own: over HTTPS, with upstream's users and policy alone."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from control.api.builtin_kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
)
from control.api.clock import SystemClock
from control.api.errors import ApiError
from control.api.exchange import User
from control.auth.attributes import NO_OPINION, Decision, RequestAttributes
from control.auth.authorizer import ControlPlaneAuthorizer
from control.client.client import Client
from control.client.fence import Fence
from control.client.kubeconfig import Access, open_transport
from control.client.leader_election import Work
from control.client.local_transport import LocalTransport
from control.command_line import make_parser, read_controllers_settings, read_election
from control.controllers import CONTROLLERS
from control.controllers.context import USER_AGENT, ControllerOptions
from control.controllers.remote_context import issue_token
from control.leading import Election, work_as_leader
from control.part_process import ControllersSettings, choose_controllers, controllers_work, scheduler_work
from tests.fakes.api_server import ADMIN, RunningApiServer, running_api_server

CLOCK = SystemClock()
SETTINGS = ControllersSettings(options=ControllerOptions(), factories=CONTROLLERS)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningApiServer]:
    """An API server that knows no users but those of upstream's policy: nothing is allowed to its own control plane."""

    def no_opinion(self: ControlPlaneAuthorizer, user: User, attributes: RequestAttributes) -> Decision:
        return NO_OPINION

    monkeypatch.setattr(ControlPlaneAuthorizer, "authorize", no_opinion)
    async with running_api_server() as running:
        yield running


def access_of(server: RunningApiServer, user: str) -> Access:
    pair = server.keys.authority.issue_client(user, (), now=datetime.now(UTC))
    return Access(
        server=server.url,
        ca_pem=server.ca_pem,
        client_certificate_pem=pair.certificate_pem.decode(),
        client_key_pem=pair.key_pem.decode(),
    )


@asynccontextmanager
async def leading(client: Client, work: Work, name: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(
        work_as_leader(
            work, client=client, election=Election(name=name), fence=Fence(), clock=CLOCK, random=Random(1), stop=stop
        )
    )
    try:
        yield
    finally:
        stop.set()
        await task
        await client.close()


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until the answer is true; the deadline only bounds a failure."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if answer := await condition():
            return answer
        await asyncio.sleep(0.01)
    raise AssertionError("not reached")


def make_node(name: str) -> dict[str, Any]:
    amounts = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"capacity": amounts, "allocatable": amounts},
    }


def make_deployment(replicas: int) -> dict[str, Any]:
    tolerations = [{"operator": "Exists"}]
    containers = [{"name": "web", "image": "nginx", "resources": {"requests": {"cpu": "1"}}}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers, "tolerations": tolerations}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": spec,
    }


async def test_with_upstreams_policy_alone_both_parts_do_their_work(server: RunningApiServer) -> None:
    admin = Client(LocalTransport(server.endpoint, ADMIN))
    scheduler_access = access_of(server, "system:kube-scheduler")
    scheduler = Client(open_transport(scheduler_access, user_agent="kube-scheduler/test"))
    manager_access = access_of(server, "system:kube-controller-manager")
    manager = Client(open_transport(manager_access, user_agent=USER_AGENT))
    works = (
        leading(scheduler, scheduler_work(scheduler, CLOCK), "kube-scheduler"),
        leading(
            manager, controllers_work(manager_access, manager, Fence(), CLOCK, SETTINGS), "kube-controller-manager"
        ),
    )
    async with works[0], works[1]:
        await until(lambda: admin.find(SERVICE_ACCOUNTS, "default", namespace="default"))
        await admin.create(NODES, make_node("n1"))
        await admin.create(DEPLOYMENTS, make_deployment(5))

        async def placed() -> bool:
            pods = (await admin.list(PODS, namespace="default"))["items"]
            assert all(pod["spec"].get("nodeName") in (None, "n1") for pod in pods)
            return sum("nodeName" in pod["spec"] for pod in pods) == 4 and len(pods) == 5

        async def explained() -> bool:
            events = (await admin.list(EVENTS, namespace="default"))["items"]
            return any("Insufficient cpu" in event["message"] for event in events)

        await until(placed)
        await until(explained)
        assert (await until(lambda: admin.find(CONFIG_MAPS, "kube-root-ca.crt", namespace="default")))["data"] == {
            "ca.crt": server.ca_pem
        }

        async def has_range() -> bool:
            return bool((await admin.get(NODES, "n1"))["spec"].get("podCIDR"))

        await until(has_range)
        (pod, *_) = (await admin.list(PODS, namespace="default"))["items"]
        assert {entry["manager"] for entry in pod["metadata"]["managedFields"]} <= {
            "kube-controller-manager", "kube-scheduler",
        }  # fmt: skip
        await admin.delete(DEPLOYMENTS, "web", namespace="default")

        async def is_ending() -> bool:
            pods = (await admin.list(PODS, namespace="default"))["items"]
            return len(pods) == 4 and all("deletionTimestamp" in pod["metadata"] for pod in pods)

        # Those that are bound wait for a node to end them.
        await until(is_ending)
    leases = (await admin.list(LEASES, namespace="kube-system"))["items"]
    assert {lease["metadata"]["name"]: lease["spec"]["holderIdentity"] for lease in leases} == {
        "kube-scheduler": "",
        "kube-controller-manager": "",
    }
    told = [
        event["message"].split(" ", 1)[1]
        for event in (await admin.list(EVENTS, namespace="kube-system"))["items"]
        if event["reason"] == "LeaderElection"
    ]
    assert sorted(told) == ["became leader", "became leader", "stopped leading", "stopped leading"]


async def test_each_controller_acts_as_its_service_account(server: RunningApiServer) -> None:
    access = access_of(server, "system:kube-controller-manager")
    client = Client(open_transport(access, user_agent=USER_AGENT))
    issued = await issue_token(client, "deployment-controller")
    assert issued.lifetime_seconds == 0.8 * 3600
    own = Client(open_transport(replace(access.without_identity(), token=issued.token), user_agent="test"))
    with pytest.raises(ApiError, match="system:serviceaccount:kube-system:deployment-controller"):
        await own.delete(NAMESPACES, "default")
    again = await issue_token(client, "deployment-controller")
    assert again.token != issued.token
    await own.close()
    await client.close()


async def test_without_election_the_work_begins_at_once_and_no_lease_is_made(server: RunningApiServer) -> None:
    admin = Client(LocalTransport(server.endpoint, ADMIN))
    begun = asyncio.Event()

    async def work(lost: asyncio.Event) -> None:
        begun.set()
        await lost.wait()

    stop = asyncio.Event()
    election = Election(name="x", enabled=False)
    task = asyncio.create_task(
        work_as_leader(work, client=admin, election=election, fence=Fence(), clock=CLOCK, random=Random(1), stop=stop)
    )
    await begun.wait()
    stop.set()
    await task
    assert (await admin.list(LEASES, namespace="kube-system"))["items"] == []


async def test_work_that_fails_is_begun_again(server: RunningApiServer) -> None:
    admin = Client(LocalTransport(server.endpoint, ADMIN))
    begun: list[int] = []

    async def work(lost: asyncio.Event) -> None:
        begun.append(len(begun))
        if len(begun) == 1:
            raise RuntimeError("unforeseen")
        await lost.wait()

    async with leading(admin, work, "x"):

        async def is_begun_twice() -> bool:
            return len(begun) == 2

        await until(is_begun_twice)


def parse(*arguments: str) -> Namespace:
    return make_parser().parse_args(arguments)


def test_flags_of_leader_election_are_upstreams() -> None:
    election = read_election(parse("scheduler", "--kubeconfig", "k"))
    assert election == Election(name="kube-scheduler")
    flags = (
        "--leader-elect=false",
        "--leader-elect-resource-name=mine",
        "--leader-elect-resource-namespace=ns",
        "--leader-elect-lease-duration=1m30s",
        "--leader-elect-renew-deadline=500ms",
        "--leader-elect-retry-period=0.1s",
    )
    election = read_election(parse("controllers", "--kubeconfig", "k", *flags))
    assert (election.enabled, election.name, election.namespace) == (False, "mine", "ns")
    timings = election.timings
    assert (timings.lease_seconds, timings.renew_deadline_seconds, timings.retry_seconds) == (90.0, 0.5, 0.1)


def test_flags_of_the_controllers_are_upstreams(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    settings = read_controllers_settings(
        parse(
            "controllers",
            "--kubeconfig",
            "k",
            "--root-ca-file",
            str(tmp_path / "ca.crt"),
            "--cluster-cidr=10.9.0.0/16",
            "--node-cidr-mask-size=25",
            "--profile=upstream",
            "--node-monitor-period=7s",
            "--use-service-account-credentials=false",
            "--controllers=*,-node-ipam",
        )
    )
    options = settings.options
    assert (options.ca_pem, options.pod_cidr, options.node_mask_bits) == ("PEM", "10.9.0.0/16", 25)
    assert (options.node_timings.monitor_period_seconds, options.node_timings.grace_seconds) == (7.0, 50.0)
    assert not settings.uses_service_accounts
    assert set(settings.factories) == set(CONTROLLERS) - {"node-ipam"}


def test_controllers_are_chosen_as_upstream_does() -> None:
    assert set(choose_controllers(["deployment", "replicaset"])) == {"deployment", "replicaset"}
    assert set(choose_controllers(["-deployment"])) == set()
    with pytest.raises(ValueError, match="'-statful' is not in the list of controllers: deployment,"):
        choose_controllers(["*", "-statful"])


@pytest.mark.parametrize("flag", ["--cluster-cidr=10.9.0.1/16", "--node-cidr-mask-size=15", "--root-ca-file=/none"])
def test_facts_that_cannot_be_are_refused(flag: str) -> None:
    with pytest.raises((ValueError, OSError)):
        read_controllers_settings(parse("controllers", "--kubeconfig", "k", flag))
