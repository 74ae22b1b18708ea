"""Claims and volumes that are being deleted go with their last user."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from control.client.view import View
from control.client.writes import Update
from control.controllers.storage_protection import reconcile_claim, reconcile_volume
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


@pytest.mark.parametrize(("phase", "is_released"), [("Bound", False), ("Released", True), ("", True)])
def test_volume_is_released_when_not_bound(phase: str, is_released: bool) -> None:
    metadata = {**DELETED, "finalizers": ["kubernetes.io/pv-protection"]}
    volume = make_object("v1", "PersistentVolume", "v", None, metadata=metadata, status={"phase": phase})
    assert bool(reconcile_volume("v", View.of({PERSISTENT_VOLUMES: [volume]}), NOW).steps) is is_released
