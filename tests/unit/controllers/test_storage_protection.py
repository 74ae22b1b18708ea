"""Claims and volumes that are being deleted go with their last user."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTRIBUTES_CLASSES
from control.client.view import View
from control.client.writes import Update
from control.controllers.storage_protection import (
    ATTRIBUTES_PROTECTION,
    CLAIM_PROTECTION,
    reconcile_attributes,
    reconcile_claim,
    reconcile_volume,
)
from tests.unit.controllers.builders import NOW, make_object

DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
BY_NAME = {"name": "v", "persistentVolumeClaim": {"claimName": "p-v"}}
EPHEMERAL = {"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}


@pytest.mark.parametrize(
    ("metadata", "pod_spec", "is_released"),
    [
        pytest.param(DELETED, None, True, id="nobody uses it"),
        pytest.param({}, None, False, id="it is not deleted"),
        pytest.param(DELETED, {"nodeName": "n", "volumes": [BY_NAME]}, False, id="a Pod uses it by name"),
        pytest.param(DELETED, {"nodeName": "n", "volumes": [EPHEMERAL]}, False, id="a Pod uses it as its own"),
        pytest.param(DELETED, {"volumes": [BY_NAME]}, True, id="the Pod that names it has no node"),
        pytest.param(DELETED, {"nodeName": "n", "volumes": [{"name": "v", "emptyDir": {}}]}, True, id="another volume"),
    ],
)
def test_claim_is_released_when_unused(
    metadata: dict[str, Any], pod_spec: dict[str, Any] | None, is_released: bool
) -> None:
    finalizers = ["example.com/mine", "kubernetes.io/pvc-protection"]
    claim = make_object("v1", "PersistentVolumeClaim", "p-v", "n", metadata={**metadata, "finalizers": finalizers})
    pods = [make_object("v1", "Pod", "p", "n", spec=pod_spec)] if pod_spec is not None else []
    steps = reconcile_claim("n/p-v", View.of({PERSISTENT_VOLUME_CLAIMS: [claim], PODS: pods}), NOW).steps
    assert [step.obj["metadata"]["finalizers"] for step in steps if isinstance(step, Update)] == (
        [["example.com/mine"]] if is_released else []
    )


GOING = {**DELETED, "deletionGracePeriodSeconds": 30}
SHUT_DOWN = {**DELETED, "deletionGracePeriodSeconds": 0}


@pytest.mark.parametrize(
    ("volume", "metadata", "freed"),
    [
        pytest.param(EPHEMERAL, GOING, [], id="its node is not done with it"),
        pytest.param(EPHEMERAL, SHUT_DOWN, ["n/p-v"], id="only its object waits, for the claim"),
        pytest.param(BY_NAME, SHUT_DOWN, [], id="the claim is not the Pod's own"),
        pytest.param(BY_NAME, None, ["n/p-v"], id="it has gone"),
    ],
)
def test_a_pod_gives_its_claims_back(volume: dict[str, Any], metadata: dict[str, Any] | None, freed: list[str]) -> None:
    spec = {"nodeName": "n", "volumes": [volume]}
    running = make_object("v1", "Pod", "p", "n", spec=spec)
    left = None if metadata is None else make_object("v1", "Pod", "p", "n", metadata=metadata, spec=spec)
    claim_metadata = {**DELETED, "finalizers": ["kubernetes.io/pvc-protection"]}
    claim = make_object("v1", "PersistentVolumeClaim", "p-v", "n", metadata=claim_metadata)
    view = View.of({PERSISTENT_VOLUME_CLAIMS: [claim], PODS: [left] if left is not None else []})
    (keys,) = (watch.keys for watch in CLAIM_PROTECTION.watches if watch.kind == PODS)
    assert list(keys(running, left, view)) == freed
    assert bool(reconcile_claim("n/p-v", view, NOW).steps) == bool(freed)


@pytest.mark.parametrize(("phase", "is_released"), [("Bound", False), ("Released", True), ("", True)])
def test_volume_is_released_when_not_bound(phase: str, is_released: bool) -> None:
    metadata = {**DELETED, "finalizers": ["kubernetes.io/pv-protection"]}
    volume = make_object("v1", "PersistentVolume", "v", None, metadata=metadata, status={"phase": phase})
    assert bool(reconcile_volume("v", View.of({PERSISTENT_VOLUMES: [volume]}), NOW).steps) is is_released


@pytest.mark.parametrize(
    ("kind", "user", "is_released"),
    [
        pytest.param("PersistentVolumeClaim", {}, True, id="nobody names it"),
        pytest.param("PersistentVolumeClaim", {"spec": {"volumeAttributesClassName": "gold"}}, False, id="wanted"),
        pytest.param(
            "PersistentVolumeClaim", {"status": {"currentVolumeAttributesClassName": "gold"}}, False, id="in effect"
        ),
        pytest.param(
            "PersistentVolumeClaim",
            {"status": {"modifyVolumeStatus": {"targetVolumeAttributesClassName": "gold"}}},
            False,
            id="being put into effect",
        ),
        pytest.param("PersistentVolume", {"spec": {"volumeAttributesClassName": "gold"}}, False, id="of a volume"),
        pytest.param("PersistentVolume", {"spec": {"volumeAttributesClassName": "tin"}}, True, id="another is named"),
    ],
)
def test_attributes_class_is_released_when_nobody_names_it(kind: str, user: dict[str, Any], is_released: bool) -> None:
    metadata = {**DELETED, "finalizers": ["kubernetes.io/vac-protection"]}
    gold = make_object("storage.k8s.io/v1", "VolumeAttributesClass", "gold", None, metadata=metadata)
    namespace = None if kind == "PersistentVolume" else "n"
    objects = {PERSISTENT_VOLUMES: [], PERSISTENT_VOLUME_CLAIMS: [], VOLUME_ATTRIBUTES_CLASSES: [gold]}
    users = [make_object("v1", kind, "user", namespace, **{"spec": {}, **user})]
    objects[PERSISTENT_VOLUMES if namespace is None else PERSISTENT_VOLUME_CLAIMS] = users
    assert bool(reconcile_attributes("gold", View.of(objects), NOW).steps) is is_released


def test_attributes_class_is_looked_at_when_a_user_lets_go() -> None:
    watch = next(one for one in ATTRIBUTES_PROTECTION.watches if one.kind is PERSISTENT_VOLUME_CLAIMS)
    old = make_object("v1", "PersistentVolumeClaim", "c", "n", spec={"volumeAttributesClassName": "gold"})
    new = make_object("v1", "PersistentVolumeClaim", "c", "n", spec={"volumeAttributesClassName": "tin"})
    assert [list(watch.keys(*pair, View.of({}))) for pair in ((old, new), (old, None), (None, old))] == [
        ["gold"],
        ["gold"],
        [],
    ]
