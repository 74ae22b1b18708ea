"""Every node has its own part of the Pod range, for as long as it exists.

All nodes are one key: two nodes decided at the same time could be given the same part.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import NODES
from control.api.objects import Object, ReadOnlyObject
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Notice, Patch, Result, Step
from control.controllers.context import ControllerContext, RecordingController

_ALL_NODES = "nodes"


def plan_pod_ranges(nodes: Iterable[ReadOnlyObject], pod_cidr: str, mask_bits: int) -> list[Step]:
    """Give each node without a range the lowest free one, oldest node first."""
    by_age = sorted(nodes, key=lambda node: (node["metadata"].get("creationTimestamp") or "", node["metadata"]["name"]))
    taken = [ipaddress.ip_network(cidr) for node in by_age if (cidr := _range_of(node))]
    free = (
        part
        for part in ipaddress.ip_network(pod_cidr).subnets(new_prefix=mask_bits)
        if not any(part.overlaps(other) for other in taken if other.version == part.version)
    )
    steps: list[Step] = []
    for node in by_age:
        if _range_of(node):
            continue
        part = next(free, None)
        if part is None:
            message = f"Node {node['metadata']['name']} status is now: CIDRNotAvailable"
            steps.append(Notice(regarding=node, reason="CIDRNotAvailable", message=message))
            continue
        steps.append(
            Patch(
                kind=NODES,
                name=node["metadata"]["name"],
                patch={
                    "metadata": {"uid": node["metadata"]["uid"]},
                    "spec": {"podCIDR": str(part), "podCIDRs": [str(part)]},
                },
                cause="the node has no Pod range",
                ignore_missing=True,
            )
        )
    return steps


def _range_of(node: ReadOnlyObject) -> str:
    return str((node.get("spec") or {}).get("podCIDR") or "")


def make_node_ipam(context: ControllerContext) -> RecordingController:
    """Make the controller that hands out Pod ranges."""
    options = context.options

    def reconcile(key: str, view: View, now: datetime) -> Result:
        return Result(steps=plan_pod_ranges(view.list(NODES), options.pod_cidr, options.node_mask_bits))

    controller = Controller(name="node-ipam", watches=(Watch(kind=NODES, keys=_keys_of_node),), reconcile=reconcile)
    return RecordingController(controller, context, "node-controller")


def _keys_of_node(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """A node without a range matters, and a range that came free."""
    return (_ALL_NODES,) if new is None or not _range_of(new) else ()
