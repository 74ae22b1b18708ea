"""Every kubectl test runs with the oldest and the newest kubectl from 1.31 on that this machine has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster import Cluster, Kubectl, oldest_and_newest, unpack_old_kubectl


@pytest.fixture(scope="session")
def old_kubectl(tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl of 2020, as Debian 12 has it."""
    found = unpack_old_kubectl(tmp_path_factory.mktemp("kubernetes-client"))
    if found is None:
        pytest.skip("no kubectl up to 1.23 here, and no package to take it from (PODLING_KUBECTLS may name one)")
    return found


@pytest.fixture(params=oldest_and_newest() or [None], ids=str)
def binary(request: pytest.FixtureRequest) -> Kubectl:
    """The kubectl under test."""
    assert request.param is not None, "no kubectl 1.31 or newer on this machine (PODLING_KUBECTLS names more)"
    kubectl: Kubectl = request.param
    return kubectl


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str, binary: Kubectl) -> Callable[..., Any]:
    """Run a command in the test's namespace; returns the completed process."""

    def run(*arguments: str, **options: Any) -> Any:
        return cluster.kubectl("-n", namespace, *arguments, binary=binary.path, **options)

    return run
