"""Events of a node's status, as the kubelet's."""

from __future__ import annotations

from dataclasses import replace

from agent.node.node_events import schedulable_event, status_events
from agent.node.node_status import compute_node_status
from agent.node.registration import NodeRegistration
from control.api.clock import FakeClock
from control.api.exchange import User
from control.client.client import Client
from control.client.local_transport import LocalTransport
from tests.fakes.memory_endpoint import MemoryEndpoint
from tests.unit.agent.node.test_node_status import INPUTS

READY = compute_node_status(INPUTS, {})
SUFFICIENT = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]


def test_a_new_node_tells_of_its_pressures_and_not_that_it_is_ready() -> None:
    events = list(status_events("node-1", {}, READY))
    assert [event.reason for event in events] == SUFFICIENT
    assert events[0].message == "Node node-1 status is now: NodeHasSufficientMemory"
    assert {event.type for event in events} == {"Normal"}


def test_a_status_that_has_not_changed_is_no_event() -> None:
    assert list(status_events("node-1", READY, READY)) == []


def test_what_changes_is_told() -> None:
    pressed = compute_node_status(replace(INPUTS, pressures=frozenset({"DiskPressure"}), problem="gone"), READY)
    assert [event.reason for event in status_events("node-1", READY, pressed)] == [
        "NodeHasDiskPressure", "NodeNotReady",
    ]  # fmt: skip
    assert [event.reason for event in status_events("node-1", pressed, READY)] == ["NodeHasNoDiskPressure", "NodeReady"]


def test_another_boot_of_the_host_is_told() -> None:
    rebooted = compute_node_status(replace(INPUTS, facts=replace(INPUTS.facts, boot_id="c")), READY)
    (event,) = status_events("node-1", READY, rebooted)
    assert (event.type, event.reason) == ("Warning", "Rebooted")
    assert event.message == "Node node-1 has been rebooted, boot id: c"


def test_a_cordon_is_told() -> None:
    cordoned = {"spec": {"unschedulable": True}}
    assert schedulable_event("node-1", {}, {"spec": {}}) is None
    event = schedulable_event("node-1", {}, cordoned)
    assert event is not None
    assert event.message == "Node node-1 status is now: NodeNotSchedulable"
    event = schedulable_event("node-1", cordoned, {})
    assert event is not None
    assert event.reason == "NodeSchedulable"


async def test_a_registered_node_records_what_changes() -> None:
    recorded: list[str] = []
    inputs = [INPUTS]
    registration = NodeRegistration(
        Client(LocalTransport(MemoryEndpoint(), User(name="system:node:node-1"))),
        FakeClock(),
        lambda: inputs[0],
        status_seconds=300,
        record=lambda *event: recorded.append(event[1]),
    )
    node = await registration.register()
    assert recorded == SUFFICIENT
    inputs[0] = replace(INPUTS, problem="gone")
    await registration.step()
    assert recorded[3:] == ["NodeNotReady"]
    registration.on_node_change({**node}, {**node, "spec": {"unschedulable": True}})
    assert recorded[4:] == ["NodeNotSchedulable"]
