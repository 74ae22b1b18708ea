"""Where Pods can be wired natively, and the rules of a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.network.namespace import has_no_capabilities
from agent.network.native import NativeNetwork
from agent.network.nftables import forward_rules, render_masquerade, render_removal
from agent.network.pod_network import AgentFacts, choose_network, native_obstacle
from agent.network.protocol import NetworkError, PodAddress
from agent.runtime.protocol import EngineInfo

ROOT = AgentFacts(platform="linux", kernel_version="6.1", effective_capabilities=(1 << 41) - 1)
ENGINE = EngineInfo(
    version="28",
    api_version="1.50",
    operating_system="Debian",
    kernel_version="6.1",
    architecture="amd64",
    cgroup_version="2",
    cgroup_driver="systemd",
    cpus=2,
    memory_bytes=1 << 30,
    root_dir="/var/lib/docker",
)


@pytest.mark.parametrize(
    ("agent", "engine", "obstacle"),
    [
        pytest.param(ROOT, ENGINE, "", id="root on the engine's host"),
        pytest.param(replace(ROOT, platform="darwin"), ENGINE, "not Linux", id="on a Mac"),
        pytest.param(ROOT, replace(ENGINE, rootless=True), "rootless", id="rootless engine"),
        pytest.param(ROOT, replace(ENGINE, userns_remap=True), "user namespaces", id="remapped users"),
        pytest.param(ROOT, replace(ENGINE, kernel_version="6.2-linuxkit"), "another machine", id="engine in a VM"),
        pytest.param(replace(ROOT, effective_capabilities=0), ENGINE, "CAP_NET_ADMIN and CAP_SYS_ADMIN", id="not root"),
    ],
)
def test_native_obstacle(agent: AgentFacts, engine: EngineInfo, obstacle: str) -> None:
    found = native_obstacle(agent, engine)

    assert obstacle in found
    assert bool(obstacle) == bool(found)


@pytest.mark.parametrize("mode", ["docker", "cni"])
def test_what_is_not_there_yet_is_refused_by_name(mode: str) -> None:
    with pytest.raises(NetworkError, match=f"--network {mode} is not implemented"):
        choose_network(mode, agent=ROOT, engine=ENGINE, cluster="c", cluster_cidr="10.244.0.0/16")


def test_an_obstacle_is_told_when_a_network_is_chosen() -> None:
    agent = replace(ROOT, effective_capabilities=0)
    with pytest.raises(NetworkError, match=r"lacks CAP_NET_ADMIN and CAP_SYS_ADMIN; run podling as root$"):
        choose_network("auto", agent=agent, engine=ENGINE, cluster="c", cluster_cidr="10.244.0.0/16")
    assert isinstance(
        choose_network("auto", agent=ROOT, engine=ENGINE, cluster="c", cluster_cidr="10.244.0.0/16"), NativeNetwork
    )


def test_pause_is_started_with_the_rights_it_gives_up() -> None:
    body = {"HostConfig": {"CapDrop": ["ALL"]}}
    network = NativeNetwork(cluster="c", cluster_cidr="10.244.0.0/16")

    network.configure_sandbox(body, PodAddress(ip="10.244.0.2", node_ip="10.244.0.1"))

    assert body == {
        "Cmd": ["--unshare-net"],
        "HostConfig": {"CapDrop": ["ALL"], "CapAdd": ["SYS_ADMIN", "SETPCAP"], "NetworkMode": "host"},
    }


async def test_a_range_outside_the_clusters_is_refused() -> None:
    network = NativeNetwork(cluster="c", cluster_cidr="10.244.0.0/16")

    with pytest.raises(NetworkError, match=r"not part of 10\.244\.0\.0/16"):
        await network.prepare_node("10.7.0.0/24")


@pytest.mark.parametrize(
    ("status", "expected"), [("CapEff:\t0000000000000000\n", True), ("CapEff:\t01\n", False), ("", False)]
)
def test_has_no_capabilities(status: str, expected: bool) -> None:
    assert has_no_capabilities(f"Name:\tpause\n{status}") is expected


def test_the_masquerade_replaces_its_own_chain_alone() -> None:
    assert render_masquerade("c", "10.244.0.0/16") == (
        "add table ip podling-c\n"
        "add chain ip podling-c outbound { type nat hook postrouting priority srcnat; policy accept; }\n"
        "flush chain ip podling-c outbound\n"
        "add rule ip podling-c outbound ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade\n"
    )
    assert render_removal("c") == "add table ip podling-c\ndelete table ip podling-c\n"


def test_rules_outside_the_table_carry_the_clusters_name() -> None:
    for rule in forward_rules("c", "10.244.0.0/16"):
        assert rule[2:] == ["-m", "comment", "--comment", "podling-c", "-j", "ACCEPT"]
