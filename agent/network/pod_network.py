"""Which way of wiring Pods this host allows. Decided once, when the agent starts."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from agent.network.native import NativeNetwork
from agent.network.protocol import NetworkError, PodNetwork
from agent.runtime.protocol import EngineInfo

_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """What the agent's own process is and may do."""

    platform: str
    kernel_version: str
    effective_capabilities: int


def observe_agent() -> AgentFacts:
    """Read the facts of this process."""
    if sys.platform != "linux":
        return AgentFacts(platform=sys.platform, kernel_version="", effective_capabilities=0)
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return AgentFacts(platform="linux", kernel_version=os.uname().release, effective_capabilities=effective)


def native_obstacle(agent: AgentFacts, engine: EngineInfo) -> str:
    """Why Pods cannot be wired natively; empty when they can."""
    if agent.platform != "linux":
        return f"the agent runs on {agent.platform}, not Linux"
    if engine.rootless:
        return "the Docker Engine is rootless"
    if engine.userns_remap:
        return "the Docker Engine remaps user namespaces"
    if engine.kernel_version != agent.kernel_version:
        return (
            f"the Docker Engine runs on another machine (its kernel is {engine.kernel_version}, "
            f"the agent's {agent.kernel_version})"
        )
    missing = [
        name
        for name, bit in (("CAP_NET_ADMIN", _CAP_NET_ADMIN), ("CAP_SYS_ADMIN", _CAP_SYS_ADMIN))
        if not agent.effective_capabilities >> bit & 1
    ]
    return f"the agent lacks {' and '.join(missing)}; run podling as root" if missing else ""


def choose_network(
    mode: str,
    *,
    agent: AgentFacts,
    engine: EngineInfo,
    cluster: str,
    cluster_cidr: str,
    ports_on_loopback: bool = False,
) -> PodNetwork:
    """Choose for `--network auto|native|docker|cni`. Raises NetworkError where there is no way."""
    if mode not in ("auto", "native"):
        raise NetworkError(f"cannot wire Pods: --network {mode} is not implemented yet; only native is")
    obstacle = native_obstacle(agent, engine)
    if obstacle:
        raise NetworkError(f"cannot wire Pods natively, and there is no other way yet: {obstacle}")
    return NativeNetwork(cluster=cluster, cluster_cidr=cluster_cidr, ports_on_loopback=ports_on_loopback)
