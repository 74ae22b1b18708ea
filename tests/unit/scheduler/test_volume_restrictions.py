"""A claim for one Pod serves one Pod: KEP-2485."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from control.api.objects import Object
from control.scheduler.placement import filter_nodes, format_diagnosis
from control.scheduler.plugins import default_profile
from control.scheduler.preemption import plan_preemption
from control.scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import make_node, make_snapshot, prepare
from tests.unit.scheduler.test_scheduler import running
from tests.unit.scheduler.test_volume_binding import BOUND, claiming, make_claim, make_volume

PROFILE = default_profile()
REASON = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
ONE_POD = ["ReadWriteOncePod"]


def make_bound(modes: Any = ONE_POD) -> list[Object]:
    return [
        make_claim(annotations=BOUND, phase="Bound", volumeName="v", accessModes=modes),
        make_volume("v", accessModes=modes),
    ]


def cluster_of_two(modes: Any = ONE_POD, **user: Any) -> Snapshot:
    """Nodes a and b; a Pod on a uses the claim."""
    snapshot = make_snapshot(make_node("a"), make_node("b"))
    claim, volume = make_bound(modes)
    snapshot.storage.put(PERSISTENT_VOLUME_CLAIMS, claim)
    snapshot.storage.put(PERSISTENT_VOLUMES, volume)
    snapshot.put_pod(prepare("user", **{"volumes": claiming(), **user}), "a")
    return snapshot


@pytest.mark.parametrize(
    ("modes", "user", "is_refused"),
    [
        pytest.param(ONE_POD, {}, True, id="another Pod uses it"),
        pytest.param(ONE_POD, {"volumes": claiming("other")}, False, id="another Pod uses another claim"),
        pytest.param(ONE_POD, {"volumes": []}, False, id="nobody uses it"),
        pytest.param(["ReadWriteOnce"], {}, False, id="it is for one node"),
        pytest.param(["ReadWriteMany"], {}, False, id="it is for many"),
    ],
)
def test_a_claim_for_one_pod_in_use_refuses_every_node(modes: Any, user: Any, is_refused: bool) -> None:
    diagnosis = filter_nodes(PROFILE, prepare(volumes=claiming()), cluster_of_two(modes, **user)).diagnosis
    assert (format_diagnosis(diagnosis) == f"0/2 nodes are available: 2 {REASON}.") is is_refused


def test_a_pod_of_another_namespace_has_a_claim_of_its_own() -> None:
    snapshot = cluster_of_two(volumes=[])
    stranger = prepare("stranger", volumes=claiming())
    stranger_object: Any = stranger.pod
    stranger_object["metadata"]["namespace"] = "elsewhere"
    snapshot.put_pod(type(stranger)(stranger_object), "a")
    assert filter_nodes(PROFILE, prepare(volumes=claiming()), snapshot).feasible


def test_the_claim_is_free_again_when_its_user_has_ended() -> None:
    snapshot = cluster_of_two()
    snapshot.remove_pod("uid-user")
    assert len(filter_nodes(PROFILE, prepare(volumes=claiming()), snapshot).feasible) == 2


def test_a_pod_is_not_in_its_own_way() -> None:
    assert filter_nodes(PROFILE, prepare("user", volumes=claiming()), cluster_of_two()).feasible


@pytest.mark.parametrize(("priority", "victims"), [(5, ["d/user"]), (0, None)])
def test_a_more_important_pod_takes_the_claim_where_its_user_is(priority: int, victims: list[str] | None) -> None:
    snapshot = cluster_of_two()
    snapshot.put_pod(prepare("bystander"), "b")
    pod = prepare("important", volumes=claiming(), priority=priority)
    preemption = plan_preemption(PROFILE, pod, snapshot, filter_nodes(PROFILE, pod, snapshot).diagnosis)
    chosen = preemption.candidate
    assert (chosen and (chosen.node_name, [victim.key for victim in chosen.victims])) == (victims and ("a", victims))


async def test_a_waiting_pod_starts_when_the_claim_is_given_back() -> None:
    async with running() as setting:
        for kind, obj in zip((PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES), make_bound(), strict=True):
            await setting.client.create(kind, obj)
        await setting.add_node()
        await setting.add_pod("first", volumes=claiming())
        assert setting.node_of("first") == "n1"
        await setting.add_pod("second", volumes=claiming())
        await setting.add_pod("other")
        assert setting.node_of("second") is None
        assert REASON in setting.events("FailedScheduling")[-1]["message"]
        await setting.client.delete(PODS, "other", namespace="d")
        await setting.advance(30)
        assert setting.node_of("second") is None
        await setting.client.delete(PODS, "first", namespace="d")
        await setting.advance(30)
        assert setting.node_of("second") == "n1"
