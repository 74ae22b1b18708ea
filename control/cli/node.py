"""`podling node`: list nodes, add and remove them, shut one down, let one die, bring it back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from control.api.pods import is_mirror_pod
from control.cli.api_probe import ApiProbe, wait_until
from control.cli.clusters import (
    DEFAULT_NAME,
    ClusterName,
    DataDirectory,
    exclusive,
    get_cluster,
    ports_of_others,
)
from control.cli.down import clean_up
from control.cli.failure import CommandError
from control.cli.host_lock import choosing_on_host
from control.cli.node_choice import add_node as add_to_config
from control.cli.node_choice import parse_kubelet_args
from control.cli.progress import step
from control.cli.supervisor_client import ask, write_processes
from control.cli.up import wait_for_nodes
from control.config import ClusterConfig, ClusterDirectory, NodeConfig
from control.private_file import write_private_file

STOP_SECONDS_MAX = 30.0
DRAIN_SECONDS_MAX = 120.0

node_app = typer.Typer(
    help="List nodes, add and remove them, shut one down, let one die, bring it back.", no_args_is_help=True
)
NodeName = Annotated[str, typer.Argument(help="Name of the node.")]


@node_app.command("list")
def list_nodes(name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """List the cluster's nodes: Ready or not, the agent, and the port of its API."""
    directory, config = get_cluster(name, data_dir)
    answer = ask(directory, "status") or {"processes": []}
    pids = {item["name"]: item["pid"] for item in answer["processes"]}
    conditions = ApiProbe(directory, config).node_conditions()
    for node in config.nodes:
        ready = "Ready" if conditions.get(node.name) == "True" else "NotReady"
        pid = pids.get(_agent(node.name), 0)
        print(
            f"{node.name}\t{ready}\tagent {f'pid {pid}' if pid else 'halted' if node.halted else 'down'}\t{node.port}"
        )


@node_app.command("add")
def add_node(
    node: Annotated[str | None, typer.Argument(help="Its name; by default the first free number.")] = None,
    kubelet_arg: Annotated[list[str] | None, typer.Option(help="Flag of its agent, NAME=VALUE; repeatable.")] = None,
    name: ClusterName = DEFAULT_NAME,
    data_dir: DataDirectory = None,
) -> None:
    """Add a node to the cluster and wait until it is Ready."""
    kubelet_args = parse_kubelet_args(kubelet_arg or ())
    directory, config = get_cluster(name, data_dir)
    with exclusive(directory), choosing_on_host():
        _require_running(directory, name)
        added = add_to_config(config, ports_of_others(name, data_dir), node, kubelet_args)
        from control.credentials import ensure_credentials

        ensure_credentials(directory, config)
        directory.save(config)
        _reload(directory, config)
        wait_for_nodes(directory, config)
    print(f"Node {added.name} is added.")


@node_app.command("remove")
def remove_node(node: NodeName, name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """Remove a node: its Pods end gracefully (their controllers replace them elsewhere), then all that was its own.

    `kubectl drain` before it respects disruption budgets; this does not.
    """
    with _held(name, data_dir, node) as (directory, config, record):
        api = ApiProbe(directory, config)
        pod_cidr = _pod_cidr(api, node)
        if pod_cidr is not None and not record.halted:
            with step(f"Ending the Pods of {node}"):
                _cordon(api, node)
                _delete_pods(api, node)
        was_first = config.nodes[0] is record
        config.nodes.remove(record)
        directory.save(config)
        with step(f"Removing {node}"):
            _reload(directory, config)
            _wait_gone(directory, node)
            if was_first and config.nodes:
                # The host's loopback passes to the next one, which hears of it by starting again.
                ask(directory, "restart", name=_agent(config.nodes[0].name))
            _request(api, "DELETE", f"/api/v1/nodes/{node}")
            clean_up(directory, name, keep_volumes=False, node=node, pod_cidr=pod_cidr or "")
            shutil.rmtree(directory.node(node), ignore_errors=True)
            # Those of a dead node, and what came in between: nothing of them is left to end gracefully.
            _delete_pods(api, node, options={"gracePeriodSeconds": 0})
        api.close()
    print(f"Node {node} is removed.")


@node_app.command("kill")
def kill_node(node: NodeName, name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """Let a node die as by a power cut: its agent and its containers are killed, nothing is told to anyone."""
    with _held(name, data_dir, node) as (directory, config, record):
        _set_halted(directory, config, record, True)
        ask(directory, "kill", name=_agent(node))
        _halt(name, node)
    print(f"Node {node} is dead; podling node start {node} brings it back.")


@node_app.command("stop")
def stop_node(
    node: NodeName,
    grace_period: Annotated[int, typer.Option(min=0, help="Seconds that all its Pods together may take to end.")] = 30,
    critical_grace_period: Annotated[
        int | None, typer.Option(min=0, help="Seconds of them that are kept for critical Pods (a third, at most 10).")
    ] = None,
    name: ClusterName = DEFAULT_NAME,
    data_dir: DataDirectory = None,
) -> None:
    """Shut a node down gracefully: its Pods end, critical ones last, and their controllers replace them elsewhere."""
    with _held(name, data_dir, node) as (directory, config, record):
        _set_halted(directory, config, record, True)
        critical = min(10, grace_period // 3) if critical_grace_period is None else critical_grace_period
        request = {"gracePeriodSeconds": grace_period, "criticalGracePeriodSeconds": critical}
        write_private_file(directory.shutdown_request(node), json.dumps(request).encode())
        with step(f"Ending the Pods of {node}"):
            ask(directory, "shutdown", name=_agent(node))
            _wait_gone(directory, node, seconds_max=grace_period + STOP_SECONDS_MAX)
        _halt(name, node)
    print(f"Node {node} is stopped; podling node start {node} brings it back.")


@node_app.command("start")
def start_node(node: NodeName, name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """Bring a stopped or dead node back."""
    with _held(name, data_dir, node) as (directory, config, record):
        _set_halted(directory, config, record, False)
        ask(directory, "reload")
    print(f"Node {node} is started.")


@contextmanager
def _held(
    cluster: str, data_dir: Path | None, node: str
) -> Iterator[tuple[ClusterDirectory, ClusterConfig, NodeConfig]]:
    """Hold a running cluster and find a node of it. Raises CommandError."""
    directory, config = get_cluster(cluster, data_dir)
    with exclusive(directory):
        record = _find(config, node)
        _require_running(directory, cluster)
        yield directory, config, record


def _agent(node: str) -> str:
    return f"agent-{node}"


def _find(config: ClusterConfig, name: str) -> NodeConfig:
    for node in config.nodes:
        if node.name == name:
            return node
    known = ", ".join(node.name for node in config.nodes) or "none"
    raise CommandError(f"cluster {config.name!r} has no node {name!r}", f"its nodes are: {known}")


def _require_running(directory: ClusterDirectory, name: str) -> None:
    if ask(directory, "status") is None:
        raise CommandError(f"cluster {name!r} is down", "podling up starts it")


def _set_halted(directory: ClusterDirectory, config: ClusterConfig, node: NodeConfig, halted: bool) -> None:
    """Write down whether the node is to run, for the next `podling up` and for the supervisor's next reload."""
    node.halted = halted
    directory.save(config)
    write_processes(directory, config)


def _reload(directory: ClusterDirectory, config: ClusterConfig) -> None:
    write_processes(directory, config)
    ask(directory, "reload")


def _halt(cluster: str, node: str) -> None:
    """Kill what still runs of a node whose agent has ended."""
    command = [sys.executable, "-m", "agent", "halt", "--cluster", cluster, "--node-name", node]
    result = subprocess.run(command, capture_output=True, check=False)
    if result.returncode != 0:
        raise CommandError(f"cannot kill the containers of {node}", result.stderr.decode(errors="replace").strip())


def _wait_gone(directory: ClusterDirectory, node: str, *, seconds_max: float = STOP_SECONDS_MAX) -> None:
    """Wait until the supervisor has seen the agent's end: until then it could register the node again."""

    def is_gone() -> bool:
        answer = ask(directory, "status") or {"processes": []}
        return not any(item["pid"] for item in answer["processes"] if item["name"] == _agent(node))

    if not wait_until(is_gone, seconds_max=seconds_max, give_up=lambda: False):
        raise CommandError(f"the agent of {node} does not end", f"see {directory.log_file(_agent(node))}")


def _pod_cidr(api: ApiProbe, node: str) -> str | None:
    """The node's Pod range, empty if it has none, None if there is no such Node."""
    found = _request(api, "GET", f"/api/v1/nodes/{node}")
    return None if found is None else str(found["spec"].get("podCIDR", ""))


def _cordon(api: ApiProbe, node: str) -> None:
    patch = {"spec": {"unschedulable": True}}
    _request(api, "PATCH", f"/api/v1/nodes/{node}", patch, "application/merge-patch+json")


def _delete_pods(api: ApiProbe, node: str, options: dict[str, Any] | None = None) -> None:
    """Delete the node's Pods and wait until they are gone; what has not ended by then is ended with its containers."""
    deleted: set[str] = set()

    def are_gone() -> bool:
        pods = (_request(api, "GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}") or {"items": []})["items"]
        if options is None:
            # The node's static Pods end with the node, and would come back before.
            pods = [pod for pod in pods if not is_mirror_pod(pod)]
        for pod in pods:
            metadata = pod["metadata"]
            if metadata["uid"] not in deleted:
                deleted.add(metadata["uid"])
                path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
                _request(api, "DELETE", path, {**(options or {}), "preconditions": {"uid": metadata["uid"]}})
        return not pods

    wait_until(are_gone, seconds_max=DRAIN_SECONDS_MAX, give_up=lambda: False)


def _request(api: ApiProbe, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
    """The decoded answer, None for what does not exist (any more). Raises CommandError."""
    answer = api.send(method, path, body, content_type=content_type)
    if answer is None:
        raise CommandError("the API server does not answer", "podling up repairs the cluster")
    status, decoded = answer
    if status in (404, 409):
        return None
    if status >= 400:
        detail = decoded.get("message", decoded) if isinstance(decoded, dict) else decoded
        raise CommandError(f"the API server refused {method} {path.partition('?')[0]}", str(detail))
    return decoded
