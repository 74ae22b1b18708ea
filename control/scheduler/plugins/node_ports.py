"""NodePorts: a host port can be had once per node, address and protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.api.fit import NODE_PORTS_REASON, has_port_conflict, host_ports_of
from control.scheduler.framework import Change, Cluster, ClusterEvent, Code, Interest, Rejections, Resource, Status
from control.scheduler.prepared import PreparedNode, PreparedPod


class NodePorts:
    """Compares the host ports a Pod asks for with those in use."""

    name = "NodePorts"
    _refusal = Status(Code.UNSCHEDULABLE, (NODE_PORTS_REASON,), name)

    def interests(self) -> Iterable[Interest]:
        """A Pod that gives a wanted port back, or a new node."""
        return (
            Interest(Resource.ASSIGNED_POD, frozenset({Change.DELETE}), _frees_port),
            Interest(Resource.NODE, frozenset({Change.ADD})),
        )

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes where the ports are free."""
        wanted = pod.host_ports
        if not wanted:
            return nodes
        refused = {node.name for node in nodes if node.ports_used and has_port_conflict(wanted, node.ports_used)}
        rejected.update(dict.fromkeys(refused, self._refusal))
        return [node for node in nodes if node.name not in refused]


def _frees_port(pod: PreparedPod, event: ClusterEvent) -> bool:
    return event.old is not None and has_port_conflict(pod.host_ports, host_ports_of(event.old))
