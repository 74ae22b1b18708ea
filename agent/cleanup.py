"""Removes what a cluster has on this host, whether or not anything of it still runs. Idempotent.

Also `halt_node`: all containers of a node killed at once and left dead, as by a power cut.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.cgroups.choice import every_driver
from agent.cgroups.pod_cgroups import remove_cgroups
from agent.cgroups.tree import LinuxCgroupTree
from agent.engine_check import EngineProblemError, explain_unreachable
from agent.network.native import NativeNetwork
from agent.network.protocol import NetworkError
from agent.runtime.docker_runtime import DockerRuntime
from agent.runtime.identity import CLUSTER_LABEL, NAME_PREFIX, ContainerRole, NodeIdentity, parse_identity
from agent.runtime.log_links import LogLinks
from agent.runtime.protocol import ContainerRecord, ContainerState, EngineUnavailableError, Runtime, RuntimeFailure
from agent.volumes.pod_volumes import PodVolumes
from agent.volumes.volume_holders import remove_volumes
from control.api.clock import SystemClock

logger = logging.getLogger(__name__)

GRACE_SECONDS_DEFAULT = 30
PARALLEL_MAX = 8
VOLUMES, FILES, PERSISTENT = "volumes", "pods", "persistent"
LOG_DIRECTORIES = (Path("/var/log/containers"), Path("/var/log/pods"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What to remove. `state_dir` holds a directory per node; without it files are left.

    With `node_name` only what is the node's; its links are those of `pod_cidr`.
    """

    cluster: str
    node_name: str = ""
    pod_cidr: str = ""
    state_dir: Path | None = None
    keep_volumes: bool = False

    def selectors(self) -> list[dict[str, str]]:
        """The labels of the containers that are meant: any of these."""
        if not self.node_name:
            return [{CLUSTER_LABEL: self.cluster}]
        owner = NodeIdentity(cluster=self.cluster, node=self.node_name)
        return [owner.labels(), owner.holder_labels()]


async def clean_up(leftovers: Leftovers) -> None:
    """Stop Pods gracefully, then remove containers, links, rules and files. Raises EngineProblemError."""
    runtime = DockerRuntime()
    try:
        records = await _list_own(runtime, leftovers)
        await _stop_all(runtime, records)
        await _remove_all(runtime, records)
        keeps_data = leftovers.keep_volumes or bool(leftovers.node_name)
        await remove_volumes(runtime, leftovers.cluster, disposable_only=keeps_data)
    except EngineUnavailableError as error:
        raise EngineProblemError(explain_unreachable(str(error))) from error
    except RuntimeFailure as error:
        raise EngineProblemError(f"cannot remove the cluster's containers: {error}") from error
    finally:
        await runtime.close()
    _remove_log_links(records)
    with suppress(OSError):  # where the agent keeps no cgroups there may be no such file system
        for driver in every_driver(LinuxCgroupTree()):
            remove_cgroups(driver, cluster=leftovers.cluster, node=leftovers.node_name)
    await _remove_network(leftovers)
    if not leftovers.keep_volumes:
        await _remove_files(leftovers)


async def _list_own(runtime: Runtime, leftovers: Leftovers) -> list[ContainerRecord]:
    """Not those that only got the labels from their image, which was committed from a container of a Pod."""
    records = [record for labels in leftovers.selectors() for record in await runtime.list_containers(labels)]
    return [record for record in records if record.name.startswith(f"{NAME_PREFIX}_")]


async def _remove_network(leftovers: Leftovers) -> None:
    network = NativeNetwork(cluster=leftovers.cluster, cluster_cidr="")
    with suppress(NetworkError):
        if not leftovers.node_name:
            await network.remove_cluster()
        elif leftovers.pod_cidr:
            await network.remove_range(leftovers.pod_cidr)


async def halt_node(cluster: str, node_name: str) -> None:
    """Kill every container of a node without telling anyone; nothing is removed. Raises EngineProblemError."""
    runtime = DockerRuntime()
    try:
        records = await _list_own(runtime, Leftovers(cluster=cluster, node_name=node_name))
        running = [record for record in records if record.state is ContainerState.RUNNING]
        await asyncio.gather(*(runtime.kill_container(record.id) for record in running))
    except EngineUnavailableError as error:
        raise EngineProblemError(explain_unreachable(str(error))) from error
    except RuntimeFailure as error:
        raise EngineProblemError(f"cannot kill the containers of {node_name}: {error}") from error
    finally:
        await runtime.close()


async def _stop_all(runtime: Runtime, records: list[ContainerRecord]) -> None:
    """Containers before sandboxes, each with its Pod's grace period."""
    running = [record for record in records if record.state is ContainerState.RUNNING and not _is_sandbox(record)]
    await asyncio.gather(*(_stop(runtime, record) for record in running))


async def _stop(runtime: Runtime, record: ContainerRecord) -> None:
    identity = parse_identity(record.labels)
    grace = identity.grace_period_seconds if identity is not None else None
    image = await runtime.find_image(record.image_id)
    signal = str((image.config.get("StopSignal") if image is not None else None) or "SIGTERM")
    await runtime.stop_container(
        record.id, signal=signal, grace_seconds=GRACE_SECONDS_DEFAULT if grace is None else grace
    )


async def _remove_all(runtime: Runtime, records: list[ContainerRecord]) -> None:
    slots = asyncio.Semaphore(PARALLEL_MAX)

    async def remove(record: ContainerRecord) -> None:
        async with slots:
            await runtime.remove_container(record.id)

    await asyncio.gather(*(remove(record) for record in records if not _is_sandbox(record)))
    await asyncio.gather(*(remove(record) for record in records if _is_sandbox(record)))


def _is_sandbox(record: ContainerRecord) -> bool:
    identity = parse_identity(record.labels)
    return identity is not None and identity.role is ContainerRole.SANDBOX


def _remove_log_links(records: list[ContainerRecord]) -> None:
    links = LogLinks()
    for record in records:
        identity = parse_identity(record.labels)
        if identity is not None:
            with suppress(OSError):
                links.remove_pod(namespace=identity.pod_namespace, name=identity.pod_name, uid=identity.pod_uid)
    with suppress(OSError):
        links.sweep()
    for directory in LOG_DIRECTORIES:
        with suppress(OSError):
            directory.rmdir()  # only succeeds when nothing is in it


async def _remove_files(leftovers: Leftovers) -> None:
    """Volumes may contain mounts, which their own code undoes before it removes directories."""
    if leftovers.state_dir is None or not leftovers.state_dir.is_dir():
        return
    for node in sorted(leftovers.state_dir.iterdir()):
        if leftovers.node_name and node.name != leftovers.node_name:
            continue
        volumes = PodVolumes(root=node / VOLUMES, objects=_NoObjects(), clock=SystemClock())
        await volumes.collect_garbage(frozenset())
        for name in (VOLUMES, FILES, PERSISTENT):
            shutil.rmtree(node / name, ignore_errors=True)


class _NoObjects:
    """Removing volumes reads nothing from the API."""

    async def get_config_map(self, namespace: str, name: str) -> None:
        """Nothing."""

    async def get_secret(self, namespace: str, name: str) -> None:
        """Nothing."""

    async def get_claim(self, namespace: str, name: str) -> None:
        """Nothing."""

    async def get_volume(self, name: str) -> None:
        """Nothing."""

    async def create_token(self, *arguments: object, **options: object) -> str:
        """Nothing."""
        return ""
