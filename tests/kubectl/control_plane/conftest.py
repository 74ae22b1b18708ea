"""kubectl against a control plane without nodes: no container is needed, so these tests run in parallel.

Every test runs with the oldest and the newest kubectl of the machine, and with Debian's 1.20 if it is marked so.
"""

from __future__ import annotations

import pytest

from tests.cluster import OLD_KUBECTL, Cluster, Kubectl, oldest_and_newest

#: of the parameter that stands for the kubectl which is found only when a test needs it
OLD = Kubectl("", OLD_KUBECTL)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the kubectls that know what it tests: `kubectl_since(minor)`, 27 unless marked otherwise."""
    if "binary" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("kubectl_since")
    minor = marker.args[0] if marker else 27
    versions = oldest_and_newest((1, max(minor, 24)))
    if minor <= OLD_KUBECTL[1]:
        versions = (OLD, *versions)
    metafunc.parametrize("binary", versions or [None], indirect=True, ids=str)


@pytest.fixture
def binary(request: pytest.FixtureRequest) -> Kubectl:
    """The kubectl under test."""
    if request.param == OLD:
        old: Kubectl = request.getfixturevalue("old_kubectl")
        return old
    assert request.param is not None, "no kubectl on this machine (PODLING_KUBECTLS names more)"
    found: Kubectl = request.param
    return found


@pytest.fixture(scope="session")
def cluster(control_plane: Cluster) -> Cluster:
    """The control plane alone."""
    return control_plane


@pytest.fixture
def namespace(control_plane_namespace: str) -> str:
    """A namespace of the test's own."""
    return control_plane_namespace
