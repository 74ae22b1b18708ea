"""Requirements of sig-node on Pods with a RuntimeClass; what the API alone does with them is in test_node_api.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.batch import Batch, Object, is_finished, make_pod, shell

pytestmark = pytest.mark.docker

CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
OVERHEAD = {"cpu": "10m", "memory": "1Mi"}
FIELDS: dict[str, Object] = {"overhead": {"overhead": {"podFixed": OVERHEAD}}, "plain": {}}


@pytest.fixture(scope="module")
def ended(batch: Batch) -> Iterator[dict[str, Any]]:
    """A Pod of each RuntimeClass of runc, run to its end."""
    names = {pod: f"runc-{pod}-{batch.namespace}" for pod in FIELDS}
    for pod, fields in FIELDS.items():
        body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": names[pod]}}
        batch.api.create(CLASSES, body | {"handler": "runc"} | fields)
    batch.create(*(make_pod(pod, shell("true"), runtimeClassName=name) for pod, name in names.items()))
    batch.wait(is_finished, *names, what="the Pods have ended")
    yield batch.pods()
    for name in names.values():
        batch.api.delete(f"{CLASSES}/{name}")


@pytest.mark.requirement(
    "[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead"
)
def test_should_schedule_a_pod_requesting_a_runtimeclass_and_initialize_its_overhead(ended: dict[str, Any]) -> None:
    assert ended["overhead"]["spec"]["overhead"] == OVERHEAD
    assert ended["overhead"]["status"]["phase"] == "Succeeded"


@pytest.mark.requirement("[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead")
def test_should_schedule_a_pod_requesting_a_runtimeclass_without_podoverhead(ended: dict[str, Any]) -> None:
    assert "overhead" not in ended["plain"]["spec"]
    assert ended["plain"]["status"]["phase"] == "Succeeded"
