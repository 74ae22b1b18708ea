"""Client libraries talk to a control plane without nodes; each test has a namespace of its own."""

from __future__ import annotations

import pytest


@pytest.fixture
def namespace(control_plane_namespace: str) -> str:
    """A namespace of the test's own."""
    return control_plane_namespace
