"""A node that joins a cluster by hand: an agent that was told a kubeconfig and a name, as on a machine of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from control.auth.pki import CertificateAuthority, KeyPair
from control.client.kubeconfig import Access, merge_context
from tests.cluster import Cluster, run, wait_for


@contextmanager
def joined_node(cluster: Cluster, name: str, *arguments: str) -> Iterator[Path]:
    """Run an agent with these flags while the node is used, and remove all of it; yields the node's kubeconfig."""
    kubeconfig = _write_kubeconfig(cluster, name)
    command = [sys.executable, "-m", "agent", "run", "--node-name", name, "--kubeconfig", str(kubeconfig), *arguments]
    with (cluster.directory / f"{name}.log").open("wb") as log:
        agent = subprocess.Popen(command, env=cluster.env, stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_for(lambda: cluster.kubectl("get", "node", name, check=False).returncode == 0, "the node has registered")
        cluster.wait("--for=condition=Ready", f"node/{name}")
        yield kubeconfig
    finally:
        agent.terminate()
        agent.wait()
        agents = cluster.directory / "data" / "agents" / cluster.name
        cleanup = ["cleanup", "--cluster", cluster.name, "--node-name", name, "--state-dir", str(agents)]
        run([sys.executable, "-m", "agent", *cleanup], env=cluster.env)
        cluster.kubectl("delete", "node", name)


def _write_kubeconfig(cluster: Cluster, name: str) -> Path:
    """A kubeconfig with a certificate for a node, as an administrator of any cluster makes it."""
    pki = cluster.state / "pki"
    authority = CertificateAuthority(KeyPair((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes()))
    pair = authority.issue_client(f"system:node:{name}", ("system:nodes",), now=datetime.now(UTC))
    config = json.loads((cluster.state / "cluster.json").read_text())
    access = Access(
        server=f"https://127.0.0.1:{config['port']}",
        ca_pem=authority.certificate_pem.decode(),
        client_certificate_pem=pair.certificate_pem.decode(),
        client_key_pem=pair.key_pem.decode(),
    )
    path = cluster.directory / f"{name}.kubeconfig"
    merge_context(path, f"podling-{cluster.name}", access)
    return path
