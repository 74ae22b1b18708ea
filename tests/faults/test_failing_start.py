"""A first `podling up` that fails at its last stage leaves the host as it was, but for its logs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.host_snapshot import difference, take_first_snapshot, take_snapshot

pytestmark = [pytest.mark.docker, pytest.mark.alone]


class ClusterWithoutNft(Cluster):
    """A cluster whose agents find no `nft`: the node's link is made by then, its firewall rules are not."""

    @property
    def env(self) -> dict[str, str]:
        tools = self.directory / "tools"
        if not tools.exists():
            tools.mkdir()
            for name in ("docker", "iptables", "dockerd"):
                if found := shutil.which(name):
                    (tools / name).symlink_to(found)
        return super().env | {"PATH": str(tools)}


def test_a_first_up_whose_node_fails_leaves_logs_only(tmp_path: Path) -> None:
    cluster = ClusterWithoutNft(tmp_path)
    before = take_first_snapshot()
    result = cluster.podling("up", check=False)
    assert result.returncode == 1
    assert "nft is not installed" in result.stderr
    assert difference(before, take_snapshot()) == {}
    assert os.listdir(cluster.state) == ["logs"]
    assert not (tmp_path / "kubeconfig").exists()
    assert cluster.podling("delete").returncode == 0
    assert not cluster.state.exists()
