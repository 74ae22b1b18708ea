"""`podling down` and `podling delete`: end a cluster, keeping its state or removing every trace."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress

from control.cli.clusters import (
    DEFAULT_NAME,
    ClusterName,
    DataDirectory,
    cluster_directory,
    exclusive,
    get_cluster,
    load_cluster,
)
from control.cli.failure import CommandError
from control.cli.progress import step
from control.cli.supervisor_client import stop_supervisor
from control.config import ClusterDirectory

CLEANUP_SECONDS_MAX = 300


def down(name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """Stop the cluster and its Pods; `podling up` brings the same cluster back."""
    directory, config = get_cluster(name, data_dir)
    with exclusive(directory):
        with step("Stopping the processes"):
            stop_supervisor(directory)
        if config.nodes:
            with step("Stopping the Pods"):
                clean_up(directory, name, keep_volumes=True)
    print(f"Cluster {name!r} is down; its state is kept.")


def delete(name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """Delete the cluster: processes, containers, networks, volumes, state, kubeconfig entries."""
    directory = cluster_directory(name, data_dir)
    if not directory.root.exists():
        print(f"There is no cluster {name!r}.")
        return
    with exclusive(directory):
        config = load_cluster(directory)
        with step("Stopping the processes"):
            stop_supervisor(directory)
        if config is None or config.nodes:
            with step("Removing the Pods"):
                clean_up(directory, name, keep_volumes=False)
        with step("Removing the state"):
            forget_kubeconfig(name)
            shutil.rmtree(directory.root)
    for parent in (directory.root.parent, directory.root.parent.parent / "locks", directory.root.parent.parent):
        # Only succeeds where nothing is in it; a data directory may also be a mount point.
        with suppress(OSError):
            parent.rmdir()
    print(f"Cluster {name!r} is deleted.")


def clean_up(directory: ClusterDirectory, name: str, *, keep_volumes: bool, node: str = "", pod_cidr: str = "") -> None:
    """Have the agent stop and remove all that the cluster, or one node of it, has on the engine and the host.

    Raises CommandError.
    """
    command = [
        sys.executable,
        "-m",
        "agent",
        "cleanup",
        "--cluster",
        name,
        "--state-dir",
        str(directory.root / "nodes"),
    ]
    if keep_volumes:
        command.append("--keep-volumes")
    if node:
        command += ["--node-name", node, "--pod-cidr", pod_cidr]
    result = subprocess.run(command, capture_output=True, timeout=CLEANUP_SECONDS_MAX, check=False)
    if result.returncode != 0:
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        raise CommandError(
            f"cannot remove the containers of {node or f'cluster {name!r}'}",
            lines[-1] if lines else "the clean-up failed",
        )


def forget_kubeconfig(name: str) -> None:
    """Remove the cluster's entries from the user's kubeconfig, leaving all others."""
    from control.client.kubeconfig import writable_path

    path = writable_path()
    if path.exists():
        from control.client.kubeconfig import remove_context
        from control.credentials import context_name

        remove_context(path, context_name(name))
