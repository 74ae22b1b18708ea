from __future__ import annotations

from datetime import UTC, datetime

from control.api import meta

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)


def test_keys_split_and_join() -> None:
    assert meta.object_key({"metadata": {"name": "a", "namespace": "n"}}) == "n/a"
    assert meta.object_key({"metadata": {"name": "a"}}) == "a"
    assert meta.split_key("n/a") == ("n", "a")
    assert meta.split_key("a") == ("", "a")
    assert meta.namespaced_key("n", "a") == "n/a"


def test_owner_references() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "uid": "1"}}
    pod = {"metadata": {"name": "p", "ownerReferences": [meta.make_owner_reference(owner)]}}
    assert meta.controller_of(pod) == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "r",
        "uid": "1",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert meta.is_controlled_by(pod, owner)
    assert meta.controller_of({"metadata": {}}) is None
    assert "controller" not in meta.make_owner_reference(owner, controller=False)


def test_condition_transition_time_moves_with_the_status_only() -> None:
    conditions: list[dict[str, object]] = []
    assert meta.set_condition(conditions, {"type": "Ready", "status": "False", "reason": "A"}, NOW)
    assert conditions[0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert not meta.set_condition(conditions, {"type": "Ready", "status": "False", "reason": "A"}, LATER)
    assert meta.set_condition(conditions, {"type": "Ready", "status": "False", "reason": "B"}, LATER)
    assert conditions[0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert meta.set_condition(conditions, {"type": "Ready", "status": "True", "reason": "B"}, LATER)
    assert conditions[0]["lastTransitionTime"] == "2026-01-02T00:00:00Z"
    assert meta.is_condition_true(conditions, "Ready")
    assert len(conditions) == 1


def test_a_new_condition_replaces_the_old_one_whole() -> None:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastProbeTime": None}]
    assert meta.set_condition(conditions, {"type": "PodScheduled", "status": "True"}, NOW)
    assert conditions == [
        {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]
    assert not meta.set_condition(conditions, {"type": "PodScheduled", "status": "True"}, LATER)
