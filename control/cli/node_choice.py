"""What a new node of a cluster is called and which port its agent takes."""

from __future__ import annotations

from control.api.names import dns1123_subdomain_errors
from control.cli import ranges
from control.cli.failure import CommandError
from control.config import ClusterConfig, NodeConfig

NODES_MAX = 250


def add_node(config: ClusterConfig, taken_ports: set[int], name: str | None = None) -> NodeConfig:
    """Add a node to the configuration, by default with the first free number as its name. Raises CommandError."""
    names = {node.name for node in config.nodes}
    if len(names) >= NODES_MAX:
        raise CommandError(f"cluster {config.name!r} has {NODES_MAX} nodes already", "podling node remove one")
    if name is None:
        name = next(free for number in range(1, NODES_MAX + 2) if (free := _numbered(config, number)) not in names)
    if name in names:
        raise CommandError(f"cluster {config.name!r} has a node {name!r} already", "choose another name")
    if errors := dns1123_subdomain_errors(name):
        raise CommandError(f"{name!r} is no name of a node ({errors[0]})", "choose another name")
    taken = taken_ports | {config.port} | {node.port for node in config.nodes}
    node = NodeConfig(name=name, port=ranges.choose_port(ranges.AGENT_PORT_FIRST, taken, ranges.is_port_free))
    config.nodes.append(node)
    return node


def _numbered(config: ClusterConfig, number: int) -> str:
    return f"{config.name}-node-{number}"
