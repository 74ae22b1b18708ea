"""One cluster for all tests that need Docker, one namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster import Cluster

# A busy machine makes examples slow, which says nothing about the code under test.
settings.register_profile("podling", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("podling")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running one-node cluster of the default profile."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.up()
        yield made
    finally:
        made.delete()


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster without nodes: API server, controllers and scheduler, and no engine needed."""
    made = Cluster(tmp_path_factory.mktemp("control-plane"))
    try:
        made.up("--nodes", "0", "--profile", "upstream")
        yield made
    finally:
        made.delete()


@pytest.fixture(scope="session")
def api_client(control_plane: Cluster) -> Iterator[Any]:
    """The official Python client of the control plane, by its kubeconfig."""
    from kubernetes import client, config  # a second of import that few test processes need

    made = config.new_client_from_config(config_file=str(control_plane.directory / "kubeconfig"))
    # Its watches take their client from the default configuration.
    client.Configuration.set_default(made.configuration)
    with made:
        yield made


@pytest.fixture
def control_plane_namespace(api_client: Any) -> Iterator[str]:
    """A namespace of the test's own on the control plane, made and deleted without a process."""
    from kubernetes.client import CoreV1Api

    name = f"test-{uuid.uuid4().hex[:8]}"
    CoreV1Api(api_client).create_namespace({"metadata": {"name": name}})
    yield name
    CoreV1Api(api_client).delete_namespace(name)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, deleted with all that is in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=true")
