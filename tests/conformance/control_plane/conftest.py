"""Requirements that need no container: a control plane alone, and nodes whose agent the test plays."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.conformance.batch import Batch, make_object
from tests.conformance.control_plane.played_nodes import PlayedNodes
from tests.conformance.control_plane.workloads import Workloads
from tests.conformance.http_api import HttpApi


@pytest.fixture(scope="session")
def cluster(control_plane: Cluster) -> Cluster:
    """The control plane alone."""
    return control_plane


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Iterator[HttpApi]:
    """The control plane over plain HTTP. Its own fixture: one of the folder above would be made once for both."""
    made = HttpApi(cluster)
    yield made
    made.close()


@pytest.fixture(scope="module")
def batch(cluster: Cluster, api: HttpApi) -> Iterator[Batch]:
    """A namespace of the module's own, deleted without waiting for it to go."""
    name = f"conformance-{uuid.uuid4().hex[:8]}"
    api.create("/api/v1/namespaces", make_object("Namespace", name))
    yield Batch(cluster, api, name)
    api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> Iterator[PlayedNodes]:
    """Two nodes of the module's own, which the test plays."""
    prefix = f"played-{uuid.uuid4().hex[:6]}"
    played = PlayedNodes(cluster, f"{prefix}-1", f"{prefix}-2")
    played.start()
    yield played
    played.stop()


@pytest.fixture
def workloads(batch: Batch) -> Workloads:
    """The workloads of the module's namespace."""
    return Workloads(batch)
