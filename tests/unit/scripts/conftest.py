"""A machine of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.scripts.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which nothing is installed, used by root."""
    return Machine(tmp_path)
