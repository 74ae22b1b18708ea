"""The cluster's configuration: what `podling up` fixed at first start and every later start reads back.

Kept as `cluster.json` in the cluster's directory. Everything else of a cluster is either in its store or derived.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Profile = Literal["default", "upstream"]


class NodeConfig(BaseModel):
    """One node: its name and the port of its agent's API. `halted` is set by `podling node kill`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    port: int
    halted: bool = False


class ClusterConfig(BaseModel):
    """The whole configuration of a cluster."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$")
    profile: Profile = "default"
    host: str = "127.0.0.1"
    port: int
    pod_cidr: str
    service_cidr: str
    controllers: bool = True
    scheduler: bool = True
    token_auth_file: str | None = None
    nodes: list[NodeConfig] = []

    @field_validator("pod_cidr", "service_cidr")
    @classmethod
    def _is_ipv4_network(cls, value: str) -> str:
        network = ipaddress.ip_network(value)
        if network.version != 4:
            raise ValueError(f"{value} is not an IPv4 range")
        if not 12 <= network.prefixlen <= 24:
            raise ValueError(f"{value} must have a prefix length between 12 and 24")
        return str(network)

    @property
    def server_url(self) -> str:
        """URL of the API server."""
        return f"https://{self.host}:{self.port}"


class ClusterDirectory:
    """The files of one cluster below the data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config_file = root / "cluster.json"
        self.store_file = root / "store.db"
        self.pki = root / "pki"
        self.admin_kubeconfig = root / "admin.kubeconfig"
        self.processes_file = root / "processes.json"
        self.supervisor_socket = root / "supervisor.sock"
        self.logs = root / "logs"

    def node(self, name: str) -> Path:
        """Directory of a node: its credentials and its Pods' volumes."""
        return self.root / "nodes" / name

    def log_file(self, process: str) -> Path:
        """Log of a process (`supervisor`, `control`, `agent-<node>`)."""
        return self.logs / f"{process}.log"

    def load(self) -> ClusterConfig | None:
        """Read the configuration, None if the cluster does not exist. Raises ValueError if it is damaged."""
        try:
            return ClusterConfig.model_validate_json(self.config_file.read_bytes())
        except FileNotFoundError:
            return None

    def save(self, config: ClusterConfig) -> None:
        """Write the configuration atomically."""
        write_private_file(self.config_file, config.model_dump_json(indent=2).encode() + b"\n")


def write_private_file(path: Path, content: bytes) -> None:
    """Replace a file atomically, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
