"""`podling node`: list nodes, let one die, bring it back."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from control.cli.api_probe import ApiProbe
from control.cli.clusters import DEFAULT_NAME, ClusterName, DataDirectory, exclusive, get_cluster
from control.cli.failure import CommandError
from control.cli.supervisor_client import ask, write_processes
from control.config import ClusterConfig, NodeConfig

node_app = typer.Typer(help="List nodes, let one die, bring it back.", no_args_is_help=True)
NodeName = Annotated[str, typer.Argument(help="Name of the node.")]


@node_app.command("list")
def list_nodes(name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """List the cluster's nodes with their agents."""
    directory, config = get_cluster(name, data_dir)
    answer = ask(directory, "status") or {"processes": []}
    pids = {item["name"]: item["pid"] for item in answer["processes"]}
    conditions = ApiProbe(directory, config).node_conditions()
    for node in config.nodes:
        ready = "Ready" if conditions.get(node.name) == "True" else "NotReady"
        pid = pids.get(f"agent-{node.name}", 0)
        print(
            f"{node.name}\t{ready}\tagent {f'pid {pid}' if pid else 'halted' if node.halted else 'down'}\t{node.port}"
        )


@node_app.command("kill")
def kill_node(node: NodeName, name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """Let a node die as by a power cut: its agent and its containers are killed, nothing is told to anyone."""
    directory, config = get_cluster(name, data_dir)
    with exclusive(directory):
        record = _find(config, node)
        record.halted = True
        directory.save(config)
        write_processes(directory, config)
        if ask(directory, "kill", name=f"agent-{node}") is None:
            raise CommandError(f"cluster {name!r} is down", "podling up starts it")
        command = [sys.executable, "-m", "agent", "halt", "--cluster", name, "--node-name", node]
        result = subprocess.run(command, capture_output=True, check=False)
        if result.returncode != 0:
            raise CommandError(f"cannot kill the containers of {node}", result.stderr.decode(errors="replace").strip())
    print(f"Node {node} is dead; podling node start {node} brings it back.")


@node_app.command("start")
def start_node(node: NodeName, name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """Bring a dead node back."""
    directory, config = get_cluster(name, data_dir)
    with exclusive(directory):
        _find(config, node).halted = False
        directory.save(config)
        write_processes(directory, config)
        if ask(directory, "reload") is None:
            raise CommandError(f"cluster {name!r} is down", "podling up starts it")
    print(f"Node {node} is started.")


def _find(config: ClusterConfig, name: str) -> NodeConfig:
    for node in config.nodes:
        if node.name == name:
            return node
    known = ", ".join(node.name for node in config.nodes) or "none"
    raise CommandError(f"cluster {config.name!r} has no node {name!r}", f"its nodes are: {known}")
