"""The end of all trouble: everything that was broken, stopped or shut off is put right."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from control.api.builtin_kinds import DEPLOYMENTS, NODES

if TYPE_CHECKING:
    from tests.simulation.cluster import SimulatedCluster


async def repair(cluster: SimulatedCluster) -> None:
    """Faults heal themselves; what may be left is what a user began and could not end while the API was away."""
    cluster.control.start()
    cluster.control.clock.error = timedelta()
    for node in cluster.nodes.values():
        node.clock.error = timedelta()
        node.start()
    for name in await cluster.user.names(NODES):
        if name not in cluster.nodes:
            await cluster.user.delete(NODES, name)
            continue
        node = await cluster.user.insist(lambda name=name: cluster.user.client.get(NODES, name))
        taints = [item for item in (node or {}).get("spec", {}).get("taints") or () if item["key"] != "simulated"]
        patch = {"spec": {"unschedulable": None, "taints": taints or None}}
        await cluster.user.patch(NODES, name, patch)
    for name in await cluster.user.names(DEPLOYMENTS):
        await cluster.user.patch(DEPLOYMENTS, name, {"spec": {"paused": None}})
