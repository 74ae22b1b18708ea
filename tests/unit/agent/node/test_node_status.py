"""What a Node says of itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.node.eviction.thresholds import parse_thresholds
from agent.node.heartbeat import Heartbeat
from agent.node.host_facts import DiskUsage, HostFacts, HostUsage, read_huge_pages
from agent.node.node_features import NodeFeatures
from agent.node.node_status import NodeInputs, compute_node_status, node_object, status_differs
from agent.node.registration import NodeRegistration
from agent.node.reservations import Reservations, parse_reserved
from agent.runtime.protocol import EngineInfo, ImageRecord
from control.api.builtin_kinds import LEASES, NODES
from control.api.clock import FakeClock
from control.api.declared_features import DECLARED_FEATURES
from control.api.errors import ApiError
from control.api.exchange import User
from control.client.client import Client
from control.client.local_transport import LocalTransport
from tests.fakes.memory_endpoint import MemoryEndpoint

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INPUTS = NodeInputs(
    name="node-1",
    engine=EngineInfo(
        version="20.10.24",
        api_version="1.41",
        operating_system="Linux",
        kernel_version="6.1",
        architecture="x86_64",
        cgroup_version="2",
        cgroup_driver="systemd",
        cpus=2,
        memory_bytes=4 << 30,
        root_dir="/var/lib/docker",
    ),
    facts=HostFacts(machine_id="m", system_uuid="s", boot_id="b", os_image="Debian", kernel_version="6.1"),
    usage=HostUsage(node_disk=DiskUsage(capacity_bytes=100 << 30, available_bytes=50 << 30)),
    address="10.244.0.1",
    port=10250,
    now=NOW,
)


def test_allocatable_is_what_reservations_and_hard_thresholds_leave() -> None:
    inputs = replace(
        INPUTS,
        reservations=Reservations(kube=parse_reserved("cpu=100m,memory=256Mi"), system=parse_reserved("memory=256Mi")),
        thresholds=parse_thresholds("memory.available<100Mi,nodefs.available<10%,imagefs.available<15%"),
    )
    status = compute_node_status(inputs, {})
    assert status["capacity"] == {
        "cpu": "2",
        "memory": "4194304Ki",
        "ephemeral-storage": "104857600Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": "110",
    }
    assert status["allocatable"] == status["capacity"] | {
        "cpu": "1900m",
        "memory": "3567616Ki",
        "ephemeral-storage": "94371840Ki",
    }


def test_huge_pages_are_capacity_and_no_memory_for_others() -> None:
    usage = replace(INPUTS.usage, huge_pages={"2Mi": 1 << 30, "1Gi": 0})
    status = compute_node_status(replace(INPUTS, usage=usage), {})
    assert (status["capacity"]["hugepages-2Mi"], status["allocatable"]["hugepages-2Mi"]) == ("1Gi", "1Gi")
    assert (status["capacity"]["memory"], status["allocatable"]["memory"]) == ("4194304Ki", "3145728Ki")


def test_graphics_cards_are_capacity_where_the_engine_can_give_them() -> None:
    facts = replace(INPUTS.facts, gpus=("GPU-a", "GPU-b"))
    engine = replace(INPUTS.engine, runtimes=("nvidia", "runc"))
    status = compute_node_status(replace(INPUTS, facts=facts, engine=engine), {})
    assert (status["capacity"]["nvidia.com/gpu"], status["allocatable"]["nvidia.com/gpu"]) == ("2", "2")
    assert "nvidia.com/gpu" not in compute_node_status(replace(INPUTS, facts=facts), {})["capacity"]


def test_the_huge_pages_that_the_kernel_has(tmp_path: Path) -> None:
    for kibibytes, pages in ((2048, 3), (1048576, 1)):
        directory = tmp_path / f"hugepages-{kibibytes}kB"
        directory.mkdir()
        (directory / "nr_hugepages").write_text(f"{pages}\n")

    assert read_huge_pages(tmp_path) == {"1Gi": 1 << 30, "2Mi": 6 << 20}
    assert read_huge_pages(tmp_path / "none") == {}


def condition(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in status["conditions"] if item["type"] == name)


def test_a_node_registers_with_labels_capacity_and_addresses() -> None:
    node = node_object(INPUTS)
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-1"
    assert node["metadata"]["labels"]["kubernetes.io/arch"] == "amd64"
    status = node["status"]
    assert (status["capacity"]["cpu"], status["capacity"]["memory"]) == ("2", "4194304Ki")
    assert status["allocatable"] == status["capacity"]
    assert status["addresses"] == [
        {"type": "InternalIP", "address": "10.244.0.1"},
        {"type": "Hostname", "address": "node-1"},
    ]
    assert status["nodeInfo"]["containerRuntimeVersion"] == "docker://20.10.24"


@pytest.mark.parametrize(
    ("changes", "name", "value", "reason"),
    [
        pytest.param({}, "Ready", "True", "KubeletReady", id="a healthy node is Ready"),
        pytest.param({"problem": "no network"}, "Ready", "False", "KubeletNotReady", id="a problem makes it unready"),
        pytest.param({}, "MemoryPressure", "False", "KubeletHasSufficientMemory", id="memory is there"),
        pytest.param(
            {"pressures": frozenset({"MemoryPressure"})},
            "MemoryPressure",
            "True",
            "KubeletHasInsufficientMemory",
            id="memory is short",
        ),
        pytest.param(
            {"pressures": frozenset({"DiskPressure"})},
            "DiskPressure",
            "True",
            "KubeletHasDiskPressure",
            id="the disk is full",
        ),
        pytest.param(
            {"pressures": frozenset({"PIDPressure"})},
            "PIDPressure",
            "True",
            "KubeletHasInsufficientPID",
            id="process ids are short",
        ),
    ],
)
def test_conditions(changes: dict[str, Any], name: str, value: str, reason: str) -> None:
    found = condition(compute_node_status(replace(INPUTS, **changes), {}), name)
    assert (found["status"], found["reason"]) == (value, reason)


def test_transition_times_are_kept_while_nothing_changes() -> None:
    first = compute_node_status(INPUTS, {})
    second = compute_node_status(replace(INPUTS, now=NOW + timedelta(minutes=5)), first)
    assert condition(second, "Ready")["lastTransitionTime"] == condition(first, "Ready")["lastTransitionTime"]
    assert condition(second, "Ready")["lastHeartbeatTime"] != condition(first, "Ready")["lastHeartbeatTime"]
    assert not status_differs(first, second)
    third = compute_node_status(replace(INPUTS, problem="gone", now=NOW + timedelta(minutes=6)), second)
    assert status_differs(second, third)


def test_images_are_listed_with_the_largest_first() -> None:
    images = [ImageRecord(id=f"sha256:{n}", tags=(f"i:{n}",), size_bytes=n) for n in range(60)]
    listed = compute_node_status(replace(INPUTS, images=images), {})["images"]
    assert len(listed) == 50
    assert listed[0] == {"names": ["i:59"], "sizeBytes": 59}


def test_what_the_node_can_do_is_told() -> None:
    features = NodeFeatures(recursive_read_only=True, supplemental_groups_policy=True)
    engine = replace(INPUTS.engine, runtimes=("runc",))
    status = compute_node_status(replace(INPUTS, engine=engine, features=features), {})
    assert status["features"] == {"supplementalGroupsPolicy": True}
    assert status["declaredFeatures"] == sorted(DECLARED_FEATURES)
    handler = {"recursiveReadOnlyMounts": True, "userNamespaces": False}
    assert status["runtimeHandlers"] == [{"name": "", "features": handler}, {"name": "runc", "features": handler}]


def test_swap_is_told_where_there_is_some() -> None:
    assert "swap" not in compute_node_status(INPUTS, {})["nodeInfo"]
    status = compute_node_status(replace(INPUTS, usage=replace(INPUTS.usage, swap_bytes=4096)), {})
    assert status["nodeInfo"]["swap"] == {"capacity": 4096}


def ignore(type: str, reason: str, message: str) -> None:
    """Record nothing."""


@pytest.fixture
def api() -> MemoryEndpoint:
    return MemoryEndpoint()


@pytest.fixture
def client(api: MemoryEndpoint) -> Client:
    return Client(LocalTransport(api, User(name="system:node:node-1")))


async def test_registration_survives_an_api_that_is_not_there_yet(api: MemoryEndpoint, client: Client) -> None:
    clock = FakeClock()
    registration = NodeRegistration(client, clock, lambda: INPUTS, status_seconds=300, record=ignore)
    await registration.register()
    assert (await client.get(NODES, "node-1"))["status"]["conditions"]
    again = NodeRegistration(client, clock, lambda: replace(INPUTS, port=10260), status_seconds=300, record=ignore)
    await again.register()
    await again.step()
    node = await client.get(NODES, "node-1")
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10260


async def test_an_agent_that_starts_again_leaves_the_nodes_status_until_it_is_started(
    api: MemoryEndpoint, client: Client
) -> None:
    """Its Pods run; a Ready condition of False would have them evicted."""
    ready = NodeRegistration(client, FakeClock(), lambda: INPUTS, status_seconds=300, record=ignore)
    await ready.register()
    before = await client.get(NODES, INPUTS.name)
    starting = replace(INPUTS, problem="the agent is starting")
    again = NodeRegistration(client, FakeClock(), lambda: starting, status_seconds=300, record=ignore)
    await again.register()
    assert (await client.get(NODES, INPUTS.name))["status"] == before["status"]
    await again.step()
    assert (await client.get(NODES, INPUTS.name))["status"] != before["status"]


async def test_an_unchanged_status_is_sent_only_when_it_is_due(api: MemoryEndpoint, client: Client) -> None:
    clock = FakeClock()
    registration = NodeRegistration(
        client, clock, lambda: replace(INPUTS, now=clock.now()), status_seconds=300, record=ignore
    )
    await registration.register()
    # The fake API replaces lists; take its answer as what stands.
    registration.on_node_change(None, node_object(INPUTS))
    writes = len(api.requests)
    await registration.step()
    assert len(api.requests) == writes
    await clock.advance(301)
    await registration.step()
    assert len(api.requests) == writes + 1


async def test_the_lease_is_renewed_in_place_and_made_anew_when_lost(api: MemoryEndpoint, client: Client) -> None:
    clock = FakeClock()
    heartbeat = Heartbeat(client, clock, node_name="node-1", interval_seconds=2, node_uid=lambda: "uid-1")
    await heartbeat.step()
    first = await client.get(LEASES, "node-1", namespace="kube-node-lease")
    assert first["spec"]["leaseDurationSeconds"] == 8
    assert first["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    await heartbeat.step()
    await clock.advance(2)
    before = len(api.requests)
    await heartbeat.step()
    assert len(api.requests) == before + 1, "one request per renewal"
    renewed = await client.get(LEASES, "node-1", namespace="kube-node-lease")
    assert renewed["spec"]["renewTime"] > first["spec"]["renewTime"]
    await client.delete(LEASES, "node-1", namespace="kube-node-lease")
    await heartbeat.step()
    assert await client.find(LEASES, "node-1", namespace="kube-node-lease") is not None


async def test_a_failed_renewal_is_not_the_end(api: MemoryEndpoint, client: Client) -> None:
    heartbeat = Heartbeat(client, FakeClock(), node_name="node-1", interval_seconds=2, node_uid=lambda: "")
    await heartbeat.step()
    await heartbeat.step()
    api.fail_next(ApiError(409, "Conflict", "changed"), method="PUT")
    await heartbeat.step()
    api.fail_next(ApiError(500, "InternalError", "no"), method="PUT")
    with pytest.raises(ApiError):
        await heartbeat.step()
    await heartbeat.step()
