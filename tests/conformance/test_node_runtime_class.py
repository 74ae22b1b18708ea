"""Requirements of sig-node on RuntimeClass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import FailedCommandError
from tests.conformance.batch import Batch, is_finished, make_pod, shell

pytestmark = pytest.mark.docker


@pytest.fixture
def runtime_class(batch: Batch, request: pytest.FixtureRequest) -> Iterator[str]:
    """A RuntimeClass of runc with the overhead that the test names."""
    name = f"runc-{batch.namespace}"
    fields: dict[str, Any] = {"overhead": {"podFixed": request.param}} if request.param else {}
    body = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": name},
        "handler": "runc",
        **fields,
    }
    batch.kubectl("create", "-f", "-", stdin=json.dumps(body))
    yield name
    batch.kubectl("delete", "runtimeclass", name, "--ignore-not-found")


OVERHEAD = {"cpu": "10m", "memory": "1Mi"}


@pytest.mark.parametrize("runtime_class", [OVERHEAD], indirect=True)
def test_should_schedule_a_pod_requesting_a_runtimeclass_and_initialize_its_overhead(
    batch: Batch, runtime_class: str
) -> None:
    batch.create(make_pod("overhead", shell("true"), runtimeClassName=runtime_class))
    batch.wait(is_finished, "overhead", what="the Pod has ended")
    pod = batch.pods()["overhead"]
    assert pod["spec"]["overhead"] == OVERHEAD
    assert pod["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize("runtime_class", [None], indirect=True)
def test_should_schedule_a_pod_requesting_a_runtimeclass_without_podoverhead(batch: Batch, runtime_class: str) -> None:
    batch.create(make_pod("plain", shell("true"), runtimeClassName=runtime_class))
    batch.wait(is_finished, "plain", what="the Pod has ended")
    pod = batch.pods()["plain"]
    assert "overhead" not in pod["spec"]
    assert pod["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize("runtime_class", [None], indirect=True)
def test_should_reject_a_pod_requesting_a_deleted_or_non_existent_runtimeclass(
    batch: Batch, runtime_class: str
) -> None:
    batch.kubectl("delete", "runtimeclass", runtime_class)
    for name in (runtime_class, "nonexistent"):
        with pytest.raises(FailedCommandError, match=f'Forbidden.*RuntimeClass "{name}" not found'):
            batch.create(make_pod("rejected", shell("true"), runtimeClassName=name))
