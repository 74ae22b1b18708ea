"""Flags of agents that a user gives to `podling up` and `podling node add`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from control.cli.failure import CommandError
from control.cli.node_choice import parse_kubelet_args
from control.cli.supervisor_client import write_processes
from control.config import ClusterConfig, ClusterDirectory, NodeConfig


def test_flags_may_be_written_with_or_without_dashes() -> None:
    given = ["max-pods=20", "--eviction-hard=memory.available<1Gi,nodefs.available<5%", "ports-on-loopback"]
    assert parse_kubelet_args(given) == [item.removeprefix("--") for item in given]


@pytest.mark.parametrize("flag", ["", "-x", "--", "=20", "Max-Pods=20", "max pods=20"])
def test_what_is_no_flag_is_refused(flag: str) -> None:
    with pytest.raises(CommandError, match="is no flag of an agent"):
        parse_kubelet_args([flag])


def test_agents_get_the_cluster_s_flags_then_their_own(tmp_path: Path) -> None:
    config = ClusterConfig(
        name="dev",
        port=6443,
        pod_cidr="10.244.0.0/16",
        service_cidr="10.96.0.0/16",
        kubelet_args=["max-pods=20"],
        nodes=[NodeConfig(name="a", port=1), NodeConfig(name="b", port=2, kubelet_args=["max-pods=5"])],
    )
    directory = ClusterDirectory(tmp_path)
    write_processes(directory, config.copy())
    commands = {item["name"]: item["command"] for item in json.loads(directory.processes_file.read_text())}
    assert [item for item in commands["agent-a"] if "max-pods" in item] == ["--max-pods=20"]
    assert commands["agent-b"][-2:] == ["--max-pods=20", "--max-pods=5"]


def test_a_cluster_of_an_earlier_version_has_none() -> None:
    text = b'{"name": "dev", "port": 1, "pod_cidr": "10.244.0.0/16", "service_cidr": "10.96.0.0/16"}'
    assert ClusterConfig.from_json(text).kubelet_args == []
