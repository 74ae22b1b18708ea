"""Pods go to the zones that their volumes are labelled with."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from control.api.objects import Object
from control.scheduler.placement import filter_nodes, format_diagnosis
from control.scheduler.plugins import default_profile
from control.scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import make_node, make_snapshot, prepare
from tests.unit.scheduler.test_volume_binding import BOUND, claiming, make_claim, make_volume

PROFILE = default_profile()
ZONE, OLD_ZONE = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"


def cluster(labels: Any, *nodes: Object) -> Snapshot:
    snapshot = make_snapshot(*nodes)
    volume = make_volume("v")
    volume["metadata"]["labels"] = labels
    snapshot.storage.put(PERSISTENT_VOLUMES, volume)
    snapshot.storage.put(PERSISTENT_VOLUME_CLAIMS, make_claim(annotations=BOUND, volumeName="v"))
    return snapshot


NODES = (
    make_node("a", labels={ZONE: "1", REGION: "x"}),
    make_node("b", labels={ZONE: "2", REGION: "x"}),
    make_node("old", labels={OLD_ZONE: "1"}),
    make_node("anywhere"),
)


@pytest.mark.parametrize(
    ("labels", "nodes"),
    [
        pytest.param({}, {"a", "b", "old", "anywhere"}, id="no labels"),
        pytest.param({ZONE: "1"}, {"a", "anywhere"}, id="a zone"),
        pytest.param({OLD_ZONE: "1"}, {"a", "old", "anywhere"}, id="a zone as it was called once"),
        pytest.param({ZONE: "1__2"}, {"a", "b", "anywhere"}, id="two zones"),
        pytest.param({ZONE: "2", REGION: "x"}, {"b", "anywhere"}, id="a zone of a region"),
        pytest.param({ZONE: "2", REGION: "y"}, {"anywhere"}, id="another region"),
        pytest.param({ZONE: "1__"}, {"a", "b", "old", "anywhere"}, id="a label that cannot be read"),
    ],
)
def test_a_pod_goes_where_its_volume_is(labels: dict[str, str], nodes: set[str]) -> None:
    filtered = filter_nodes(PROFILE, prepare(volumes=claiming()), cluster(labels, *NODES))
    assert {node.name for node in filtered.feasible} == nodes


def test_the_reason_is_upstreams() -> None:
    filtered = filter_nodes(PROFILE, prepare(volumes=claiming()), cluster({ZONE: "3"}, *NODES[:2]))
    assert format_diagnosis(filtered.diagnosis) == "0/2 nodes are available: 2 node(s) had no available volume zone."


def test_a_volume_that_is_not_there_yet_is_no_obstacle_of_this_plugin() -> None:
    filtered = filter_nodes(PROFILE, prepare(volumes=[{"name": "v", "emptyDir": {}}]), cluster({ZONE: "3"}, *NODES))
    assert len(filtered.feasible) == len(NODES)
