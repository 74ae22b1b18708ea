"""Events: upstream's shape, counted, combined and limited."""

from __future__ import annotations

import re

from control.api.clock import FakeClock
from control.api.errors import ApiError
from control.api.exchange import User
from control.api.objects import Object
from control.client.client import Client
from control.client.events import EventRecorder
from control.client.local_transport import LocalTransport
from tests.fakes.memory_endpoint import MemoryEndpoint

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "uid": "u1", "resourceVersion": "7"},
}


class Setting:
    def __init__(self) -> None:
        self.endpoint = MemoryEndpoint()
        self.clock = FakeClock()
        client = Client(LocalTransport(self.endpoint, User(name="tester")))
        self.recorder = EventRecorder(client, component="kubelet", host="n1", clock=self.clock)

    async def record(self, message: str = "m", reason: str = "R") -> None:
        self.recorder.record(POD, "Normal", reason, message, field_path="spec.containers{c}")
        await self.recorder.step()

    def events(self) -> list[Object]:
        return list(self.endpoint.objects.values())


async def test_event_has_upstreams_shape() -> None:
    setting = Setting()
    await setting.record("Created pod: x")
    (event,) = setting.events()
    assert re.fullmatch(r"p\.[0-9a-f]+", event["metadata"]["name"])
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "default",
        "name": "p",
        "uid": "u1",
        "apiVersion": "v1",
        "resourceVersion": "7",
        "fieldPath": "spec.containers{c}",
    }
    assert {key: event[key] for key in ("reason", "message", "type", "count", "source", "reportingComponent")} == {
        "reason": "R",
        "message": "Created pod: x",
        "type": "Normal",
        "count": 1,
        "source": {"component": "kubelet", "host": "n1"},
        "reportingComponent": "kubelet",
    }


async def test_repeated_event_is_counted() -> None:
    setting = Setting()
    for _ in range(3):
        await setting.clock.advance(1)
        await setting.record()
    (event,) = setting.events()
    assert event["count"] == 3
    assert (event["firstTimestamp"], event["lastTimestamp"]) == ("2026-01-01T00:00:01Z", "2026-01-01T00:00:03Z")


async def test_expired_event_is_written_anew_with_its_count() -> None:
    setting = Setting()
    await setting.record()
    setting.endpoint.objects.clear()
    await setting.record()
    (event,) = setting.events()
    assert event["count"] == 2


async def test_many_similar_messages_are_combined() -> None:
    setting = Setting()
    for number in range(14):
        await setting.record(f"message {number}")
    messages = [event["message"] for event in setting.events()]
    assert messages[:9] == [f"message {number}" for number in range(9)]
    assert messages[9:] == ["(combined from similar events): message 13"]
    assert setting.events()[-1]["count"] == 5


async def test_one_object_cannot_flood_the_server() -> None:
    setting = Setting()
    for number in range(40):
        await setting.record(reason=f"R{number}")
    assert len(setting.events()) == 25
    await setting.clock.advance(300)
    await setting.record(reason="Later")
    await setting.record(reason="TooMuch")
    assert setting.events()[-1]["reason"] == "Later"


async def test_refused_event_is_dropped_and_the_next_written() -> None:
    setting = Setting()
    setting.endpoint.fail_next(ApiError(403, "Forbidden", "no"), method="POST")
    await setting.record("one")
    await setting.record("two")
    assert [event["message"] for event in setting.events()] == ["two"]
