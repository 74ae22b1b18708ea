"""Cgroups as systemd's slices: names, properties, calls, and the Pods' cgroups made of them."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.cgroups.control_files import ControlFile, control_files
from agent.cgroups.layout import CgroupLayout
from agent.cgroups.limits import PodLimits
from agent.cgroups.pod_cgroups import NodePodCgroups, remove_cgroups
from agent.cgroups.slices import child_name, slice_name, slice_path, unit_properties
from agent.cgroups.systemd_bus import UNIT_EXISTS, BusError, SystemdBus, Writer, method_call
from agent.cgroups.systemd_driver import SystemdDriver
from tests.fakes.cgroup_tree import FakeCgroupTree
from tests.fakes.slices import FakeSlices

POD = "podling/my-cluster/node-1/kubepods/burstable/pod1-2"
POD_SLICE = "podling-my_cluster-node_1-kubepods-burstable-pod1_2.slice"


def test_slice_names() -> None:
    assert slice_name(POD) == POD_SLICE
    assert slice_path("podling/a-b/n") == "podling.slice/podling-a_b.slice/podling-a_b-n.slice"


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        pytest.param("podling-a_b-n.slice", "n", id="a slice below"),
        pytest.param("podling-a_b-n_1.slice", "n-1", id="with a dash in its name"),
        pytest.param("podling-a_b.slice", "", id="itself"),
        pytest.param("podling-c-n.slice", "", id="of another"),
        pytest.param("docker-0123.scope", "", id="a container"),
    ],
)
def test_child_names(directory: str, expected: str) -> None:
    assert child_name("podling/a-b", directory) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1", {"CPUShares": 512, "CPUQuotaPerSecUSec": 500_000, "MemoryLimit": 4096, "TasksMax": 9}),
        ("2", {"CPUWeight": 20, "CPUQuotaPerSecUSec": 500_000, "MemoryMax": 4096, "TasksMax": 9}),
    ],
)
def test_limits_are_properties_and_huge_pages_are_not(version: str, expected: dict[str, int]) -> None:
    limits = PodLimits(cpu_shares=512, cpu_quota_microseconds=50_000, memory_bytes=4096, pids_max=9)
    assert unit_properties(control_files(limits, version=version, page_sizes=["2Mi"])) == expected


# --- the Pods' cgroups ------------------------------------------------------------------------------------------------


class Node:
    """A node whose cgroups systemd makes."""

    def __init__(self, version: str = "2") -> None:
        self.tree = FakeCgroupTree(version)
        self.slices = FakeSlices(self.tree)
        self.driver = SystemdDriver(self.tree, self.slices)
        self.cgroups = NodePodCgroups(self.driver, CgroupLayout(cluster="my-cluster", node="node-1"), pids_max=50)
        self.cgroups.prepare(node_cpus=2)

    def pods(self) -> list[str]:
        return [name for name in self.slices.units if "-pod" in name]


def burstable(memory: str = "64Mi") -> dict[str, Any]:
    resources = {"limits": {"memory": memory}, "requests": {"cpu": "500m"}}
    return {"metadata": {"name": "p", "uid": "1-2"}, "spec": {"containers": [{"name": "c", "resources": resources}]}}


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_pod_has_a_slice_with_its_limits(version: str) -> None:
    node = Node(version)
    await node.cgroups.ensure(burstable())

    assert node.cgroups.parent(burstable()) == POD_SLICE
    assert node.pods() == [POD_SLICE]
    memory = "MemoryLimit" if version == "1" else "MemoryMax"
    assert node.slices.units[POD_SLICE].items() >= {memory: 64 << 20, "TasksMax": 50}.items()
    weight = {"CPUShares": 512} if version == "1" else {"CPUWeight": 20}
    assert node.slices.units["podling-my_cluster-node_1-kubepods-burstable.slice"] == weight
    assert not node.cgroups.limits_huge_pages


async def test_the_slice_of_a_former_agent_gets_what_differs() -> None:
    node = Node()
    await node.cgroups.ensure(burstable())
    node.cgroups = NodePodCgroups(node.driver, CgroupLayout(cluster="my-cluster", node="node-1"))
    node.cgroups.prepare(node_cpus=4)

    await node.cgroups.ensure(burstable("128Mi"))
    assert node.slices.units[POD_SLICE]["MemoryMax"] == 128 << 20
    assert node.slices.units["podling.slice"] == {"CPUWeight": 157}


async def test_what_systemd_has_no_property_for_is_set_on_the_engines_scope() -> None:
    node = Node()
    await node.cgroups.ensure(burstable())
    scope = f"{slice_path(POD)}/docker-c1.scope"
    node.tree.make("", scope)

    await node.cgroups.group_processes(burstable(), "c1")
    assert node.tree.values(scope) == {"memory.oom.group": "1"}


async def test_a_slice_goes_unless_something_is_in_it() -> None:
    node = Node()
    await node.cgroups.ensure(burstable())
    container = f"{slice_path(POD)}/docker-1.scope"
    node.tree.make("", container)
    await node.cgroups.remove("1-2")
    assert node.pods() == [POD_SLICE]

    node.tree.remove("", container)
    await node.cgroups.collect_garbage(lambda: frozenset({"1-2"}))
    assert node.pods() == [POD_SLICE]
    await node.cgroups.collect_garbage(frozenset)
    assert node.pods() == []


async def test_all_slices_of_a_cluster_go() -> None:
    node = Node()
    await node.cgroups.ensure(burstable())
    remove_cgroups(node.driver, cluster="my-cluster")
    assert node.slices.units == {}


# --- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_is_the_message_that_the_specification_describes() -> None:
    body = Writer()
    body.string("x.slice")
    body.string("replace")
    message = method_call("StopUnit", "ss", bytes(body.data))

    assert bytes(body.data) == b"\7\0\0\0x.slice\0\7\0\0\0replace\0"
    order, kind, flags, version, body_length, serial, fields_length = struct.unpack("<4c3I", message[:16])
    assert (order, kind, flags, version, body_length, serial) == (b"l", b"\1", b"\0", b"\1", 24, 1)
    assert message[16:24] == b"\1\1o\0\x19\0\0\0"  # field 1, an object path of 25 characters
    assert message[8 + fields_length : 16 + fields_length] == b"\x08\1g\0\2ss\0"  # field 8, the signature of the body
    assert message[16 + fields_length + -fields_length % 8 :] == bytes(body.data)


def test_properties_are_aligned_variants() -> None:
    writer = Writer()
    writer.properties({"A": True, "B": 7})

    assert bytes(writer.data) == bytes.fromhex(
        "28000000 00000000"  # 40 bytes, and the padding before the first
        "01000000 4100 016200 000000 01000000"  # "A", signature "b", true: aligned to 4
        "01000000 4200 017400 00000000000000 0700000000000000"  # "B", signature "t", 7: aligned to 8
    )


class Systemd:
    """Answers one call on a socket with a message of a test."""

    def __init__(self, path: Path, *answers: bytes) -> None:
        self.path = path
        self.received = b""
        self._answers = answers
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while not self.received.endswith(b"BEGIN\r\n"):
                self.received += connection.recv(4096)
            connection.sendall(b"OK 0123\r\n")
            while b"x.slice" not in self.received:
                self.received += connection.recv(4096)
            connection.sendall(b"".join(self._answers))
            while connection.recv(4096):
                """Until the caller has gone."""

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


def answer(kind: int, *, error: str = "", text: str = "") -> bytes:
    """A message of systemd's: a signal (4), a return (2) or an error (3) with its text."""
    fields, body = Writer(), Writer()
    fields.data += b"\5\1u\0" + struct.pack("<I", 1)
    if error:
        fields.data += b"\4\1s\0"
        fields.string(error)
    if text:
        body.string(text)
    message = Writer()
    message.data += struct.pack("<4c2I", b"l", bytes([kind]), b"\0", b"\1", len(body.data), 1)
    message.array(8, bytes(fields.data))
    message.align(8)
    return bytes(message.data + body.data)


def test_a_call_waits_for_its_answer(tmp_path: Path) -> None:
    systemd = Systemd(tmp_path / "s", answer(4, text="a signal"), answer(2))
    SystemdBus(systemd.path).stop_unit("x.slice")
    systemd.close()

    assert systemd.received.startswith(b"\0AUTH EXTERNAL ")
    assert b"x.slice" in systemd.received


def test_an_error_has_systemds_name_and_words(tmp_path: Path) -> None:
    systemd = Systemd(tmp_path / "s", answer(3, error=UNIT_EXISTS, text="Unit x.slice was already loaded"))
    with pytest.raises(BusError, match="already loaded") as caught:
        SystemdBus(systemd.path).stop_unit("x.slice")
    systemd.close()

    assert caught.value.name == UNIT_EXISTS


def test_a_systemd_that_goes_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        SystemdBus(tmp_path / "none").stop_unit("x.slice")


def test_a_failure_other_than_that_it_exists_is_not_hidden() -> None:
    node = Node()

    def refuse(*arguments: Any) -> None:
        raise BusError("org.freedesktop.DBus.Error.AccessDenied", "no")

    node.slices.start_slice = refuse  # type: ignore[method-assign]
    with pytest.raises(BusError, match="no"):
        node.driver.make(POD, [ControlFile("cpu", "cpu.weight", "1")])
