"""What a new node of a cluster is called and which port its agent takes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from control.api.names import dns1123_subdomain_errors
from control.cli import ranges
from control.cli.failure import CommandError
from control.config import ClusterConfig, NodeConfig

NODES_MAX = 250
_FLAG = re.compile(r"[a-z][a-z0-9-]*(=|\Z)")


def parse_kubelet_args(given: Sequence[str]) -> list[str]:
    """`NAME=VALUE`, or a NAME that stands alone, with or without its dashes. Raises CommandError."""
    arguments = [item.removeprefix("--") for item in given]
    for item in arguments:
        if not _FLAG.match(item):
            raise CommandError(f"{item!r} is no flag of an agent", "write NAME=VALUE, as in max-pods=20")
    return arguments


def add_node(
    config: ClusterConfig, taken_ports: set[int], name: str | None = None, kubelet_args: Sequence[str] = ()
) -> NodeConfig:
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
    port = ranges.choose_port(ranges.AGENT_PORT_FIRST, taken, ranges.is_port_free)
    node = NodeConfig(name=name, port=port, kubelet_args=list(kubelet_args))
    config.nodes.append(node)
    return node


def _numbered(config: ClusterConfig, number: int) -> str:
    return f"{config.name}-node-{number}"
