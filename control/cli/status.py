"""`podling status`: what runs, and whether the cluster answers."""

from __future__ import annotations

from typing import Annotated

import typer

from control.cli.api_probe import ApiProbe
from control.cli.clusters import DEFAULT_NAME, ClusterName, DataDirectory, get_cluster, list_clusters
from control.cli.supervisor_client import ask


def status(
    name: ClusterName = DEFAULT_NAME,
    data_dir: DataDirectory = None,
    all_clusters: Annotated[bool, typer.Option("--all", help="List all clusters.")] = False,
) -> None:
    """Show a cluster's processes, API server and nodes. Exit status 1 if something that should run does not."""
    if all_clusters:
        for item in list_clusters(data_dir):
            print(f"{item.name}\t{item.server_url}\t{len(item.nodes)} nodes")
        return
    directory, config = get_cluster(name, data_dir)
    answer = ask(directory, "status")
    if answer is None:
        print(f"Cluster {name!r} is down (podling up brings it back).")
        raise SystemExit(1)
    print(f"Cluster {name!r}, profile {config.profile}, Pods {config.pod_cidr}, Services {config.service_cidr}")
    healthy = True
    for item in answer["processes"]:
        state = f"running, pid {item['pid']}" if item["pid"] else ("not running" if item["wanted"] else "halted")
        healthy = healthy and bool(item["pid"] or not item["wanted"])
        print(f"  {item['name']:<24} {state}, {item['restarts']} restarts")
    probe = ApiProbe(directory, config)
    ready = probe.is_ready()
    print(f"  API server {config.server_url} is {'ready' if ready else 'not ready'}")
    page = probe.get("/podling/v1/cluster") if ready else None
    if page is not None and page[0] == 200:
        print(f"  store at revision {page[1]['revision']}, {page[1]['objects']} objects")
    conditions = probe.node_conditions()
    for node in config.nodes:
        node_ready = conditions.get(node.name) == "True"
        healthy = healthy and (node_ready or node.halted)
        print(f"  node {node.name:<19} {'Ready' if node_ready else 'NotReady'}")
    if not (healthy and ready):
        raise SystemExit(1)
