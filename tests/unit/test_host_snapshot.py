"""What the tests that compare the host before and after look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host_snapshot import podling_cgroups


@pytest.mark.parametrize(
    "places",
    [
        pytest.param(["memory/podling", "memory/podling/c", "pids/podling"], id="cgroup v1"),
        pytest.param(["podling", "podling/c"], id="cgroup v2"),
        pytest.param(["podling.slice", "podling.slice/podling-c.slice"], id="systemd"),
    ],
)
def test_cgroups_of_every_driver_are_in_the_snapshot(tmp_path: Path, places: list[str]) -> None:
    for place in (*places, "system.slice/docker.service"):
        (tmp_path / place).mkdir(parents=True)

    assert podling_cgroups(tmp_path) == [str(tmp_path / place) for place in places]
