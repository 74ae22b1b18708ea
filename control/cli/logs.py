"""`podling logs`: the logs of a cluster's own processes."""

from __future__ import annotations

import subprocess
from typing import Annotated

import typer

from control.cli.clusters import DEFAULT_NAME, ClusterName, DataDirectory, get_cluster
from control.cli.failure import CommandError


def logs(
    process: Annotated[str, typer.Argument(help="supervisor, control, or agent-<node>.")] = "control",
    name: ClusterName = DEFAULT_NAME,
    data_dir: DataDirectory = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
    tail: Annotated[int, typer.Option(help="Lines from the end; 0 for all.")] = 0,
) -> None:
    """Print the log of one process of the cluster."""
    directory, _ = get_cluster(name, data_dir)
    path = directory.log_file(process)
    if not path.exists():
        known = ", ".join(sorted(item.stem for item in directory.logs.glob("*.log"))) or "none yet"
        raise CommandError(f"there is no log of {process!r}", f"logs: {known}")
    command = ["tail", "-n", str(tail) if tail else "+1", *(["-F"] if follow else []), str(path)]
    raise SystemExit(subprocess.call(command))
