"""Whether Pods have cgroups of their own on this host, and who makes them. Decided once, when the agent starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from agent.cgroups.driver import CgroupDriver, CgroupfsDriver
from agent.cgroups.layout import CgroupLayout
from agent.cgroups.limits import compute_node_share
from agent.cgroups.pod_cgroups import NodePodCgroups, NoPodCgroups
from agent.cgroups.protocol import CgroupError, PodCgroups
from agent.cgroups.systemd_bus import SystemdBus
from agent.cgroups.systemd_driver import SystemdDriver, has_systemd
from agent.cgroups.tree import CgroupTree
from agent.node.reservations import NOTHING_RESERVED, Reservations
from agent.runtime.protocol import EngineInfo

logger = logging.getLogger(__name__)

#: the first cgroup namespace of every kernel (PROC_CGROUP_INIT_INO)
INITIAL_CGROUP_NAMESPACE = "cgroup:[4026531835]"
CGROUPFS, SYSTEMD = "cgroupfs", "systemd"
ENGINE_PID_FILES = ("/run/docker.pid", "/var/run/docker.pid")


def choose_cgroups(
    tree: CgroupTree,
    layout: CgroupLayout,
    *,
    engine: EngineInfo,
    obstacle: str = "",
    pids_max: int = 0,
    page_sizes: Collection[str] = (),
    reservations: Reservations = NOTHING_RESERVED,
) -> PodCgroups:
    """The Pods' cgroups. With an obstacle (why the agent cannot act on the engine's host) there are none: logged."""
    obstacle = obstacle or _cgroup_obstacle(tree, engine)
    if not obstacle:
        driver = SystemdDriver(tree, SystemdBus()) if engine.cgroup_driver == SYSTEMD else CgroupfsDriver(tree)
        cgroups = NodePodCgroups(driver, layout, pids_max=pids_max, page_sizes=page_sizes)
        try:
            cgroups.prepare(engine.cpus)
        except CgroupError as error:
            obstacle = str(error)
        else:
            _bound(cgroups, engine, reservations)
            return cgroups
    logger.warning("Pods have no cgroups of their own: resources of a Pod as a whole are refused cause=%s", obstacle)
    return NoPodCgroups()


def _bound(cgroups: NodePodCgroups, engine: EngineInfo, reservations: Reservations) -> None:
    """A limit below what Pods of a former agent use now may be refused: then the one before stands."""
    share = compute_node_share(
        cpu_millis=engine.cpus * 1000 - reservations.of("cpu"),
        memory_bytes=engine.memory_bytes - reservations.of("memory"),
    )
    try:
        cgroups.bound(share)
    except CgroupError as error:
        logger.warning("Cannot hold the Pods to what is allocatable error=%s", error)


def foreign_namespace_obstacle() -> str:
    """Why what this process sees of cgroups is not what the engine sees; empty when it is."""
    own = _namespace("self")
    for pid_file in ENGINE_PID_FILES:
        with suppress(OSError, ValueError):
            pid = int(Path(pid_file).read_text())
            return "" if _namespace(str(pid)) == own else "the agent is in another cgroup namespace than the engine"
    return "" if own == INITIAL_CGROUP_NAMESPACE else "the agent is in a cgroup namespace of its own"


def every_driver(tree: CgroupTree) -> list[CgroupDriver]:
    """All that may have made cgroups on this host: an engine's driver can be changed."""
    own: CgroupDriver = CgroupfsDriver(tree)
    return [own, SystemdDriver(tree, SystemdBus())] if has_systemd() else [own]


def _cgroup_obstacle(tree: CgroupTree, engine: EngineInfo) -> str:
    if engine.cgroup_driver not in (CGROUPFS, SYSTEMD):
        return f"the engine's cgroup driver is {engine.cgroup_driver or 'none'}"
    if engine.cgroup_driver == SYSTEMD and not has_systemd():
        return "the engine's cgroup driver is systemd, which does not run here"
    if engine.cgroup_version != tree.version:
        return f"the engine uses cgroup v{engine.cgroup_version}, this host shows v{tree.version}"
    return ""


def _namespace(process: str) -> str:
    return os.readlink(f"/proc/{process}/ns/cgroup")
