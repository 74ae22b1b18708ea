"""Client libraries talk to a control plane without nodes; each test has a namespace of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from kubernetes import client, config

from tests.cluster import Cluster


@pytest.fixture(scope="session")
def api_client(control_plane: Cluster) -> Iterator[client.ApiClient]:
    """The official Python client, by the cluster's kubeconfig."""
    made = config.new_client_from_config(config_file=str(control_plane.directory / "kubeconfig"))
    # Its watches take their client from the default configuration.
    client.Configuration.set_default(made.configuration)
    with made:
        yield made


@pytest.fixture
def namespace(api_client: client.ApiClient) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"clients-{uuid.uuid4().hex[:8]}"
    core = client.CoreV1Api(api_client)
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)
