"""The cluster's credentials on disk: keys of the control plane, the kubeconfigs of the administrator, the scheduler and
the controllers, and for every node a kubeconfig and a serving certificate. Made at first start, renewed before they
expire; idempotent.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from control.auth.pki import (
    ClusterKeys,
    KeyPair,
    covers_hosts,
    ensure_client,
    ensure_cluster_keys,
    is_expiring,
)
from control.client.kubeconfig import Access, format_kubeconfig, make_kubeconfig
from control.config import ClusterConfig, ClusterDirectory, NodeConfig
from control.private_file import write_private_file

NODE_GROUP = "system:nodes"
SCHEDULER_USER = "system:kube-scheduler"
CONTROLLER_MANAGER_USER = "system:kube-controller-manager"
NODES_MAX = 256


def context_name(cluster: str) -> str:
    """Name of the cluster's context, cluster and user in a kubeconfig."""
    return f"podling-{cluster}"


def admin_access(directory: ClusterDirectory, config: ClusterConfig) -> Access:
    """The administrator's way in, from the files of the cluster."""
    return Access(
        server=config.server_url,
        ca_pem=(directory.pki / "ca.crt").read_text(),
        client_certificate_pem=(directory.pki / "admin.crt").read_text(),
        client_key_pem=(directory.pki / "admin.key").read_text(),
    )


def ensure_credentials(directory: ClusterDirectory, config: ClusterConfig) -> None:
    """Make what is missing and replace what expires or fits no longer."""
    now = datetime.now(UTC)
    keys = ensure_cluster_keys(directory.pki, serving_hosts(config), now=now)
    _write_kubeconfig(directory.admin_kubeconfig, config, keys, keys.admin)
    # For the parts of the control plane that run as processes of their own.
    for path, user in (
        (directory.scheduler_kubeconfig, SCHEDULER_USER),
        (directory.controllers_kubeconfig, CONTROLLER_MANAGER_USER),
    ):
        client = ensure_client(directory.pki, path.stem, keys.authority, user, (), now=now)
        _write_kubeconfig(path, config, keys, client)
    for node in config.nodes:
        _ensure_node(directory, config, node, keys, now)


def serving_hosts(config: ClusterConfig) -> list[str]:
    """Names and addresses under which clients reach the API server."""
    first_service_ip = str(ipaddress.IPv4Network(config.service_cidr)[1])
    services = [f"kubernetes.default{suffix}" for suffix in ("", ".svc", ".svc.cluster.local")]
    return sorted({config.host, "127.0.0.1", "localhost", "kubernetes", *services, first_service_ip})


def _ensure_node(
    directory: ClusterDirectory,
    config: ClusterConfig,
    node: NodeConfig,
    keys: ClusterKeys,
    now: datetime,
) -> None:
    state = directory.node(node.name)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.manifests(node.name).mkdir(exist_ok=True, mode=0o700)
    client = ensure_client(state, "client", keys.authority, f"system:node:{node.name}", (NODE_GROUP,), now=now)
    _write_kubeconfig(state / "kubeconfig", config, keys, client)
    # Every address of the node's range is covered by name: the agent learns its address after it has its certificate.
    hosts = [node.name, "127.0.0.1", "localhost", *node_addresses(config)]
    if not _is_fit(state / "serving.crt", hosts, now):
        _write_pair(state, "serving", keys.authority.issue_serving(f"system:node:{node.name}", hosts, now=now))


def node_addresses(config: ClusterConfig) -> list[str]:
    """The first address of the first /24s of the Pod range: what a node's own address may be."""
    subnets = ipaddress.IPv4Network(config.pod_cidr).subnets(new_prefix=24)
    return [str(subnet[1]) for subnet in islice(subnets, NODES_MAX)]


def _is_fit(path: Path, hosts: list[str], now: datetime) -> bool:
    if not path.exists():
        return False
    certificate = path.read_bytes()
    return not is_expiring(certificate, now) and covers_hosts(certificate, hosts)


def _write_pair(directory: Path, name: str, pair: KeyPair) -> None:
    write_private_file(directory / f"{name}.key", pair.key_pem)
    write_private_file(directory / f"{name}.crt", pair.certificate_pem)


def _write_kubeconfig(path: Path, config: ClusterConfig, keys: ClusterKeys, client: KeyPair) -> None:
    access = Access(
        server=config.server_url,
        ca_pem=keys.authority.certificate_pem.decode(),
        client_certificate_pem=client.certificate_pem.decode(),
        client_key_pem=client.key_pem.decode(),
    )
    text = format_kubeconfig(make_kubeconfig(context_name(config.name), access)).encode()
    if not path.exists() or path.read_bytes() != text:
        write_private_file(path, text)
