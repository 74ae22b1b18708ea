"""Which volume may serve which claim, on which node."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.objects import Object
from control.api.volumes import allows_node, allows_topology, default_class, find_matching_volume, misfit, reserve


def make_claim(size: str = "1Gi", **spec: Any) -> Object:
    return {
        "metadata": {"name": "c", "namespace": "n", "uid": "u-c", "resourceVersion": "7"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec},
    }


def make_volume(name: str = "v", size: str = "1Gi", *, phase: str = "Available", **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "labels": {"name": name}},
        "spec": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": size}, **spec},
        "status": {"phase": phase},
    }


OURS = {"namespace": "n", "name": "c"}
ON_A = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "h", "operator": "In", "values": ["a"]}]}]}}


@pytest.mark.parametrize(
    ("claim", "volumes", "name"),
    [
        pytest.param(make_claim(), [make_volume("big", "3Gi"), make_volume("small", "2Gi")], "small", id="smallest"),
        pytest.param(make_claim("2Gi"), [make_volume(size="1Gi")], None, id="too small"),
        pytest.param(make_claim("1Gi"), [make_volume(size="1024Mi")], "v", id="exactly as large, otherwise written"),
        pytest.param(make_claim(accessModes=["ReadWriteMany"]), [make_volume()], None, id="mode not offered"),
        pytest.param(make_claim(storageClassName="x"), [make_volume()], None, id="of another class"),
        pytest.param(
            make_claim(storageClassName="x"), [make_volume(storageClassName="x")], "v", id="of the same class"
        ),
        pytest.param(make_claim(volumeMode="Block"), [make_volume(volumeMode="Filesystem")], None, id="not a device"),
        pytest.param(make_claim(volumeMode="Filesystem"), [make_volume()], "v", id="a file system by default"),
        pytest.param(make_claim(), [make_volume(phase="Released")], None, id="not free yet"),
        pytest.param(
            make_claim(), [make_volume(claimRef={"namespace": "n", "name": "d"})], None, id="kept for another"
        ),
        pytest.param(
            make_claim(),
            [make_volume("any"), make_volume("kept", "9Gi", phase="Pending", claimRef=OURS)],
            "kept",
            id="kept for it, however large",
        ),
        pytest.param(
            make_claim(), [make_volume(claimRef={**OURS, "uid": "of a former claim"})], None, id="kept for a namesake"
        ),
        pytest.param(
            make_claim(),
            [make_volume("more"), make_volume("exact", "9Gi", accessModes=["ReadWriteOnce"])],
            "exact",
            id="what offers no other access mode, however large",
        ),
        pytest.param(make_claim(accessModes=["ReadWriteOncePod"]), [make_volume()], None, id="one Pod is not one node"),
        pytest.param(
            make_claim(selector={"matchLabels": {"name": "b"}}),
            [make_volume("a"), make_volume("b")],
            "b",
            id="selected",
        ),
    ],
)
def test_find_matching_volume(claim: Object, volumes: list[Object], name: str | None) -> None:
    found = find_matching_volume(claim, volumes)
    assert (found["metadata"]["name"] if found else None) == name


def test_a_claim_that_binds_late_takes_only_what_is_kept_for_it() -> None:
    assert find_matching_volume(make_claim(), [make_volume()], only_reserved=True) is None
    kept = make_volume(claimRef=OURS)
    assert find_matching_volume(make_claim(), [make_volume("w"), kept], only_reserved=True) is kept


def test_on_a_node_the_smallest_volume_is_taken_whatever_else_it_offers() -> None:
    exact = make_volume("exact", "9Gi", accessModes=["ReadWriteOnce"])
    more = make_volume("more")
    assert find_matching_volume(make_claim(), [exact, more], node=("n1", {})) is more


def test_there_is_no_other_volume_for_a_claim_whose_own_the_node_cannot_reach() -> None:
    volumes = [make_volume("kept", nodeAffinity=ON_A, claimRef=OURS), make_volume("free")]
    assert find_matching_volume(make_claim(), volumes, node=("n1", {"h": "b"})) is None
    assert find_matching_volume(make_claim(), volumes, node=("n1", {"h": "a"})) is volumes[0]


def test_volumes_a_node_cannot_reach_or_that_are_promised_are_left_out() -> None:
    volume = make_volume(nodeAffinity=ON_A)
    assert find_matching_volume(make_claim(), [volume], node=("n1", {"h": "b"})) is None
    assert find_matching_volume(make_claim(), [volume], node=("n1", {"h": "a"})) is volume
    assert find_matching_volume(make_claim(), [volume], taken=frozenset({"v"})) is None
    assert allows_node(make_volume(), "any", {})


@given(sizes=st.lists(st.integers(1, 50), max_size=12), wanted=st.integers(1, 60))
def test_the_choice_is_the_smallest_that_is_large_enough(sizes: list[int], wanted: int) -> None:
    volumes = [make_volume(f"v{index}", f"{size}Gi") for index, size in enumerate(sizes)]
    found = find_matching_volume(make_claim(f"{wanted}Gi"), volumes)
    fitting = [size for size in sizes if size >= wanted]
    assert (found is None) == (not fitting)
    if found is not None:
        assert found["spec"]["capacity"]["storage"] == f"{min(fitting)}Gi"


@pytest.mark.parametrize(
    ("volume", "reason"),
    [
        (make_volume(), ""),
        (make_volume(size="1Mi"), "requested PV is too small"),
        (make_volume(storageClassName="x"), "storageClassName does not match"),
        (make_volume(volumeMode="Block"), "incompatible volumeMode"),
        ({**make_volume(), "spec": {**make_volume()["spec"], "accessModes": []}}, "incompatible accessMode"),
    ],
)
def test_misfit_is_upstreams_words(volume: Object, reason: str) -> None:
    assert misfit(volume, make_claim()) == reason


def test_reserve_marks_only_our_own_choice() -> None:
    taken = reserve(make_volume(), make_claim())
    assert taken["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}
    assert taken["spec"]["claimRef"] == {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": "n",
        "name": "c",
        "uid": "u-c",
        "resourceVersion": "7",
    }
    assert "annotations" not in reserve(make_volume(claimRef=OURS), make_claim())["metadata"]


def test_topologies_of_a_class_are_alternatives() -> None:
    terms = [{"matchLabelExpressions": [{"key": "zone", "values": [zone]}]} for zone in ("a", "b")]
    assert allows_topology({}, {})
    assert allows_topology({"allowedTopologies": terms}, {"zone": "b"})
    assert not allows_topology({"allowedTopologies": terms}, {"zone": "c"})


def test_the_newest_default_class_wins() -> None:
    def make_class(name: str, created: str, mark: str = "true") -> Object:
        annotations = {"storageclass.kubernetes.io/is-default-class": mark}
        return {"metadata": {"name": name, "creationTimestamp": created, "annotations": annotations}}

    classes = [make_class("old", "2026-01-01T00:00:00Z"), make_class("new", "2026-01-02T00:00:00Z")]
    assert default_class(classes) is classes[1]
    assert default_class([make_class("no", "2026-01-01T00:00:00Z", "false")]) is None
