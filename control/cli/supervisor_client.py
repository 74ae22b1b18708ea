"""Starting a cluster's supervisor and talking to it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

from control.cli.failure import CommandError
from control.config import ClusterConfig, ClusterDirectory
from control.private_file import write_private_file

ANSWER_SECONDS_MAX = 10.0
START_SECONDS_MAX = 30.0


def ask(directory: ClusterDirectory, command: str, **arguments: str) -> dict[str, Any] | None:
    """Send one command; returns the answer, or None if no supervisor runs (any more)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS_MAX)
        try:
            # The path of a Unix socket may have about 100 bytes; a relative one is short wherever the state lies.
            with contextlib.chdir(directory.root):
                connection.connect(directory.supervisor_socket.name)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        try:
            connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            line = connection.makefile("r").readline()
        except (ConnectionResetError, BrokenPipeError):
            return None
    if not line:
        return None
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise CommandError(f"the supervisor refused {command}", answer["error"])
    return answer


def write_processes(directory: ClusterDirectory, config: ClusterConfig) -> None:
    """Write the list of processes that the supervisor keeps running."""
    control = ["-m", "control", "run", "--state-dir", str(directory.root), "--lifeline"]
    entries = [_process(directory, "control", control, config.port)]
    for node in config.nodes:
        arguments = ["-m", "agent", "run", *agent_arguments(directory, config, node.name, node.port), "--lifeline"]
        # The user's come last: of a flag given twice the later one counts.
        arguments += [f"--{item}" for item in (*config.kubelet_args, *node.kubelet_args)]
        if node is config.nodes[0]:
            # A host has one loopback: the first node's Pods get it.
            arguments.append("--ports-on-loopback")
        entries.append(_process(directory, f"agent-{node.name}", arguments, node.port, wanted=not node.halted))
    write_private_file(directory.processes_file, json.dumps(entries, indent=2).encode())


def agent_arguments(directory: ClusterDirectory, config: ClusterConfig, node: str, port: int) -> list[str]:
    """Command-line arguments of the agent of one node."""
    state = directory.node(node)
    return [
        *("--cluster", config.name, "--node-name", node, "--profile", config.profile, "--port", str(port)),
        *("--kubeconfig", str(state / "kubeconfig"), "--state-dir", str(state)),
        *("--tls-cert", str(state / "serving.crt"), "--tls-key", str(state / "serving.key")),
        *("--client-ca", str(directory.pki / "ca.crt"), "--cluster-cidr", config.pod_cidr),
        *("--pod-manifest-path", str(directory.manifests(node))),
    ]


def _process(
    directory: ClusterDirectory, name: str, arguments: list[str], port: int, *, wanted: bool = True
) -> dict[str, object]:
    return {
        "name": name,
        "command": [sys.executable, *arguments],
        "log": str(directory.log_file(name)),
        "port": port,
        "wanted": wanted,
    }


def start_supervisor(directory: ClusterDirectory) -> subprocess.Popen[bytes]:
    """Start the supervisor as a process of its own session and return once it answers. Raises CommandError."""
    directory.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    with directory.log_file("supervisor").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "control.cli.supervisor", str(directory.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=os.getcwd(),
        )
    deadline = time.monotonic() + START_SECONDS_MAX
    while ask(directory, "status") is None:
        if process.poll() is not None or time.monotonic() > deadline:
            # One that is only late would run a cluster that nobody knows of.
            process.kill()
            process.wait()
            raise CommandError("the supervisor did not start", f"see {directory.log_file('supervisor')}")
        time.sleep(0.005)
    return process


def stop_supervisor(directory: ClusterDirectory) -> None:
    """Stop the supervisor and its processes; returns when they have ended. Succeeds if none runs."""
    answer = ask(directory, "stop")
    while answer is not None:
        time.sleep(0.02)
        answer = ask(directory, "status")
