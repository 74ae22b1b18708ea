"""`podling kubeconfig`: write the cluster's context into the user's kubeconfig, or print it."""

from __future__ import annotations

from typing import Annotated

import typer

from control.cli.clusters import DEFAULT_NAME, ClusterName, DataDirectory, get_cluster
from control.cli.up import merge_kubeconfig


def kubeconfig(
    name: ClusterName = DEFAULT_NAME,
    data_dir: DataDirectory = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print it and change no file.")] = False,
) -> None:
    """Merge the context podling-NAME into the kubeconfig that KUBECONFIG or the default names."""
    directory, config = get_cluster(name, data_dir)
    if print_only:
        print(directory.admin_kubeconfig.read_text(), end="")
        return
    merge_kubeconfig(directory, config)
    print(f"Context podling-{name} is written and current.")
