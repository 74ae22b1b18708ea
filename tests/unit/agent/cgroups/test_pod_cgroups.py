"""The Pods' cgroups over a file system in memory: made, weighed, removed, swept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.cgroups import choice
from agent.cgroups.choice import choose_cgroups
from agent.cgroups.driver import CgroupfsDriver
from agent.cgroups.layout import CgroupLayout
from agent.cgroups.pod_cgroups import NodePodCgroups, NoPodCgroups, remove_cgroups
from agent.cgroups.protocol import CgroupError
from agent.node.reservations import Reservations
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import EngineInfo
from control.api.clock import FakeClock
from tests.fakes.cgroup_tree import FakeCgroupTree

LAYOUT = CgroupLayout(cluster="c", node="n")
ROOT = "podling/c/n/kubepods"


def make_pod(uid: str = "u", **resources: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "uid": uid}, "spec": {"containers": [{"name": "c"}], "resources": resources}}


def limited(uid: str = "u", cpu: str = "1", memory: str = "64Mi") -> dict[str, Any]:
    return make_pod(uid, limits={"cpu": cpu, "memory": memory}, requests={"cpu": cpu, "memory": memory})


def make_cgroups(tree: FakeCgroupTree, **options: Any) -> NodePodCgroups:
    cgroups = NodePodCgroups(CgroupfsDriver(tree), LAYOUT, **options)
    cgroups.prepare(node_cpus=4)
    return cgroups


async def test_all_pods_together_weigh_what_the_nodes_cpus_do() -> None:
    tree = FakeCgroupTree("1")
    make_cgroups(tree)

    for directory in ("podling", "podling/c", "podling/c/n", ROOT):
        assert tree.values(directory) == {"cpu.shares": "4096"}
    assert tree.values(f"{ROOT}/besteffort") == {"cpu.shares": "2"}


@pytest.mark.parametrize("version", ["1", "2"])
async def test_the_processes_of_a_container_are_killed_together_where_the_kernel_can(version: str) -> None:
    tree = FakeCgroupTree(version)
    cgroups = make_cgroups(tree)
    await cgroups.ensure(limited())
    for hierarchy in tree.hierarchies():
        tree.make(hierarchy, f"{ROOT}/podu/c1")

    await cgroups.group_processes(limited(), "c1")
    await cgroups.group_processes(limited(), "gone")
    assert tree.values(f"{ROOT}/podu/c1") == ({"memory.oom.group": "1"} if version == "2" else {})


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_cgroup_is_made_with_its_limits_and_removed_everywhere(version: str) -> None:
    tree = FakeCgroupTree(version)
    cgroups = make_cgroups(tree, pids_max=50, page_sizes=["2Mi"])
    pod = limited()

    await cgroups.ensure(pod)
    assert cgroups.parent(pod) == f"/{ROOT}/podu"
    assert tree.pods() == {f"{ROOT}/podu"}
    shown = tree.values(f"{ROOT}/podu")
    assert "50" in shown.values()
    assert str(64 << 20) in shown.values()
    assert any("hugetlb" in name for name in shown)

    tree.make(tree.hierarchies()[-1], f"{ROOT}/podu")  # the engine makes it where nothing is limited, too
    await cgroups.remove("u")
    assert tree.pods() == set()


async def test_the_weight_of_burstable_pods_is_their_sum() -> None:
    tree = FakeCgroupTree("1")
    cgroups = make_cgroups(tree)

    await cgroups.ensure(make_pod("a", requests={"cpu": "1"}))
    await cgroups.ensure(make_pod("b", requests={"cpu": "500m"}))
    await cgroups.ensure(limited("guaranteed"))
    assert tree.values(f"{ROOT}/burstable") == {"cpu.shares": "1536"}

    await cgroups.remove("a")
    assert tree.values(f"{ROOT}/burstable") == {"cpu.shares": "512"}
    await cgroups.remove("b")
    assert tree.values(f"{ROOT}/burstable") == {"cpu.shares": "2"}


async def test_raise_only_lowers_nothing_and_remembers_nothing() -> None:
    tree = FakeCgroupTree("1")
    cgroups = make_cgroups(tree)
    await cgroups.ensure(limited(cpu="1", memory="64Mi"))

    await cgroups.ensure(limited(cpu="2", memory="32Mi"), raise_only=True)
    shown = tree.values(f"{ROOT}/podu")
    assert (shown["cpu.cfs_quota_us"], shown["memory.limit_in_bytes"]) == ("200000", str(64 << 20))

    await cgroups.ensure(limited(cpu="2", memory="32Mi"))
    assert tree.values(f"{ROOT}/podu")["memory.limit_in_bytes"] == str(32 << 20)


async def test_what_is_as_it_should_be_is_not_written_again() -> None:
    tree = FakeCgroupTree()
    cgroups = make_cgroups(tree)
    await cgroups.ensure(limited())
    tree.error = OSError("nobody may ask")

    await cgroups.ensure(limited())
    with pytest.raises(CgroupError, match=r"podling/c/n/kubepods/podu: nobody may ask"):
        await cgroups.ensure(limited(cpu="2"))


async def test_a_sweep_removes_what_nobody_wants_and_asks_after_it_has_looked() -> None:
    tree = FakeCgroupTree("1")
    cgroups = make_cgroups(tree)
    for uid in ("wanted", "left", "busy"):
        await cgroups.ensure(limited(uid))
    tree.make("cpu", f"{ROOT}/podbusy/container")
    tree.make("freezer", f"{ROOT}/besteffort/podhalf-removed")
    asked = []

    def wanted() -> frozenset[str]:
        asked.append(len(tree.pods()))
        return frozenset({"wanted"})

    await cgroups.collect_garbage(wanted)

    assert asked == [4]
    assert tree.pods() == {f"{ROOT}/podwanted", f"{ROOT}/podbusy"}


async def test_removing_a_node_or_a_cluster_leaves_what_is_of_others() -> None:
    tree = FakeCgroupTree()
    driver = CgroupfsDriver(tree)
    for cluster, node in (("c", "n"), ("c", "m"), ("d", "n")):
        NodePodCgroups(driver, CgroupLayout(cluster=cluster, node=node)).prepare(1)

    remove_cgroups(driver, cluster="c", node="n")
    assert tree.children("", "podling/c") == ["m"]
    remove_cgroups(driver, cluster="c")
    assert tree.children("", "podling") == ["d"]
    remove_cgroups(driver, cluster="d")
    assert tree.directories == set()


async def engine_info(**changes: Any) -> EngineInfo:
    return replace(await FakeRuntime(FakeClock()).info(), cgroup_driver="cgroupfs", **changes)


@pytest.mark.parametrize(
    ("tree", "engine", "obstacle", "cause"),
    [
        pytest.param(FakeCgroupTree(), {}, "the engine is far", "the engine is far", id="not beside the engine"),
        pytest.param(FakeCgroupTree("1"), {}, "", "uses cgroup v2, this host shows v1", id="another version"),
        pytest.param(FakeCgroupTree(controllers=("cpu",)), {}, "", "no cgroup controller memory", id="no memory"),
        pytest.param(FakeCgroupTree(), {"cgroup_driver": "none"}, "", "driver is none", id="another driver"),
        pytest.param(FakeCgroupTree(), {"cgroup_driver": "systemd"}, "", "does not run here", id="no systemd"),
    ],
)
async def test_without_a_way_to_make_cgroups_there_are_none_and_the_log_says_why(
    tree: FakeCgroupTree,
    engine: dict[str, str],
    obstacle: str,
    cause: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    info = replace(await engine_info(), **engine)
    monkeypatch.setattr(choice, "has_systemd", lambda: False)

    chosen = choose_cgroups(tree, LAYOUT, engine=info, obstacle=obstacle)

    assert isinstance(chosen, NoPodCgroups)
    assert cause in caplog.text
    assert (chosen.is_enforcing, chosen.parent(limited())) == (False, "")


async def test_a_host_that_refuses_has_none(caplog: pytest.LogCaptureFixture) -> None:
    tree = FakeCgroupTree()
    tree.error = PermissionError("not yours")

    assert not choose_cgroups(tree, LAYOUT, engine=await engine_info()).is_enforcing
    assert "not yours" in caplog.text


async def test_cgroups_are_chosen_where_they_can_be_made() -> None:
    chosen = choose_cgroups(FakeCgroupTree(), LAYOUT, engine=await engine_info())

    assert chosen.is_enforcing
    assert chosen.limits_huge_pages


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param("1", {"cpu.shares": "3072", "memory.limit_in_bytes": str(15 << 30)}, id="cgroup v1"),
        pytest.param("2", {"cpu.weight": "118", "memory.max": str(15 << 30)}, id="cgroup v2"),
    ],
)
async def test_all_pods_together_have_what_reservations_leave(version: str, expected: dict[str, str]) -> None:
    tree = FakeCgroupTree(version)
    info = replace(await engine_info(), cgroup_version=version, cpus=4, memory_bytes=16 << 30)
    reserved = Reservations(kube={"cpu": 500}, system={"cpu": 500, "memory": 1 << 30})

    choose_cgroups(tree, LAYOUT, engine=info, reservations=reserved)

    assert tree.values(ROOT) == expected


async def test_a_limit_that_the_kernel_refuses_is_told_and_pods_have_cgroups_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Busy(FakeCgroupTree):
        def write(self, hierarchy: str, path: str, name: str, text: str) -> None:
            if name.startswith("memory."):
                raise OSError("Device or resource busy")
            super().write(hierarchy, path, name, text)

    assert choose_cgroups(Busy(), LAYOUT, engine=await engine_info()).is_enforcing
    assert "Device or resource busy" in caplog.text
