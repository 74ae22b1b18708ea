from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from control.scheduler.placement import filter_nodes, format_diagnosis
from control.scheduler.plugins import default_profile
from control.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from control.scheduler.preemption import plan_preemption
from control.scheduler.prepared import PreparedPod
from control.scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import make_node, make_pod, make_snapshot

PROFILE = default_profile()


def term(key: str = "zone", **fields: Any) -> dict[str, Any]:
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "db"}}, **fields}


def pod(
    name: str = "p", *, labels: Any = None, near: Any = (), far: Any = (), namespace: str = "d", **spec: Any
) -> PreparedPod:
    field = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity = {"podAffinity": {field: list(near)}, "podAntiAffinity": {field: list(far)}}
    made = make_pod(name, affinity=affinity, **spec)
    made["metadata"]["labels"] = labels or {}
    made["metadata"]["namespace"] = namespace
    return PreparedPod(made)


def wishing(name: str, field: str, weight: int, labels: Any = None) -> PreparedPod:
    wish = {"weight": weight, "podAffinityTerm": term()}
    made = make_pod(name, affinity={field: {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}})
    made["metadata"]["labels"] = labels or {}
    return PreparedPod(made)


def cluster(*placed: tuple[str, PreparedPod]) -> Snapshot:
    snapshot = make_snapshot(
        make_node("a1", labels={"zone": "a"}),
        make_node("a2", labels={"zone": "a"}),
        make_node("b1", labels={"zone": "b"}),
        make_node("none"),
    )
    snapshot.put_namespace({"metadata": {"name": "d", "labels": {"team": "x"}}})
    snapshot.put_namespace({"metadata": {"name": "other", "labels": {"team": "y"}}})
    for node_name, other in placed:
        snapshot.put_pod(other, node_name)
    return snapshot


def feasible(candidate: PreparedPod, snapshot: Snapshot) -> set[str]:
    return {node.name for node in filter_nodes(PROFILE, candidate, snapshot).feasible}


DB = {"app": "db"}


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(pod(near=[term()]), {"a1", "a2"}, id="near in the zone"),
        pytest.param(pod(far=[term()]), {"b1", "none"}, id="far from the zone"),
        pytest.param(pod(near=[term("rack")]), set(), id="no node has the key"),
        pytest.param(pod(near=[term(namespaces=["other"])]), set(), id="another namespace"),
        pytest.param(pod(near=[term(namespaceSelector={})]), {"a1", "a2"}, id="all namespaces"),
        pytest.param(
            pod(near=[term(namespaceSelector={"matchLabels": {"team": "y"}})]), set(), id="namespaces by label"
        ),
        pytest.param(pod(near=[term()], namespace="other"), set(), id="own namespace is the default"),
        pytest.param(
            pod(near=[term(), term(labelSelector={"matchLabels": {"app": "web"}})]),
            set(),
            id="one pod must fit all terms",
        ),
    ],
)
def test_required_terms(candidate: PreparedPod, expected: set[str]) -> None:
    assert feasible(candidate, cluster(("a1", pod("db", labels=DB)))) == expected


def test_the_first_of_its_kind_may_go_anywhere_with_the_key() -> None:
    assert feasible(pod(near=[term()], labels=DB), cluster()) == {"a1", "a2", "b1"}
    assert feasible(pod(near=[term()]), cluster()) == set()


def test_placed_pods_keep_others_away() -> None:
    hermit = pod("hermit", far=[term()])
    snapshot = cluster(("b1", hermit))
    assert feasible(pod(labels=DB), snapshot) == {"a1", "a2", "none"}
    assert feasible(pod(), snapshot) == {"a1", "a2", "b1", "none"}
    snapshot.remove_pod(hermit.uid)
    assert feasible(pod(labels=DB), snapshot) == {"a1", "a2", "b1", "none"}


def explain(candidate: PreparedPod, snapshot: Snapshot) -> str:
    diagnosis = filter_nodes(PROFILE, candidate, snapshot).diagnosis
    return format_diagnosis(diagnosis, plan_preemption(PROFILE, candidate, snapshot, diagnosis).message)


def test_messages_are_upstreams() -> None:
    snapshot = make_snapshot(make_node("a1", labels={"zone": "a"}))
    assert explain(pod(near=[term()]), snapshot) == (
        "0/1 nodes are available: 1 node(s) didn't match pod affinity rules. no new claims to deallocate, preemption:"
        " 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    snapshot.put_pod(pod("db", labels=DB), "a1")
    assert explain(pod(far=[term()]), snapshot) == (
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. no new claims to deallocate,"
        " preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_preemption_sees_the_victims_gone() -> None:
    snapshot = make_snapshot(make_node("a1", labels={"zone": "a"}))
    snapshot.put_pod(pod("db", labels=DB), "a1")
    candidate = pod("hi", far=[term()], priority=10)
    diagnosis = filter_nodes(PROFILE, candidate, snapshot).diagnosis
    chosen = plan_preemption(PROFILE, candidate, snapshot, diagnosis).candidate
    assert chosen is not None
    assert [victim.key for victim in chosen.victims] == ["d/db"]


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (None, '0/1 nodes are available: persistentvolumeclaim "data" not found. not found'),
        ({}, "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"),
        ({"volumeName": "disk"}, None),
    ],
)
def test_claims_must_exist_and_be_bound(claim: Any, message: str | None) -> None:
    snapshot = make_snapshot(make_node())
    if claim is not None:
        annotations = {"pv.kubernetes.io/bind-completed": "yes"}
        metadata = {"name": "data", "namespace": "d", "annotations": annotations}
        snapshot.storage.put(PERSISTENT_VOLUME_CLAIMS, {"metadata": metadata, "spec": claim})
        snapshot.storage.put(PERSISTENT_VOLUMES, {"metadata": {"name": "disk"}, "spec": {}})
    candidate = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    if message is None:
        assert feasible(candidate, snapshot) == {"n1"}
    else:
        assert explain(candidate, snapshot) == message


def scores(candidate: PreparedPod, snapshot: Snapshot) -> dict[str, int]:
    nodes = snapshot.all()
    given = InterPodAffinity().score(candidate, nodes, snapshot) or [0] * len(nodes)
    return {node.name: score for node, score in zip(nodes, given, strict=True)}


def test_wishes_score_the_places_of_the_pods_they_mean() -> None:
    snapshot = cluster(("a1", pod("db", labels=DB)))
    assert scores(wishing("p", "podAffinity", 10), snapshot) == {"a1": 100, "a2": 100, "b1": 0, "none": 0}
    assert scores(wishing("p", "podAntiAffinity", 10), snapshot) == {"a1": 0, "a2": 0, "b1": 100, "none": 100}
    assert scores(pod(), snapshot) == dict.fromkeys(("a1", "a2", "b1", "none"), 0)


def test_wishes_of_placed_pods_count_for_those_they_mean() -> None:
    snapshot = cluster(("b1", wishing("fan", "podAffinity", 10)), ("a1", pod("tied", near=[term()])))
    assert scores(pod(labels=DB), snapshot) == {"a1": 10, "a2": 10, "b1": 100, "none": 0}
    assert scores(pod(), snapshot) == dict.fromkeys(("a1", "a2", "b1", "none"), 0)
