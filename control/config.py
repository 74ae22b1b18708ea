"""The cluster's configuration: what `podling up` fixed at first start and every later start reads back.

Kept as `cluster.json` in the cluster's directory. Everything else of a cluster is either in its store or derived.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from control.private_file import write_private_file

Profile = Literal["default", "upstream"]
PROFILES = ("default", "upstream")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


class ConfigError(ValueError):
    """A configuration that cannot be; the message names the field."""


@dataclass(slots=True, kw_only=True)
class NodeConfig:
    """One node: its name and the port of its agent's API. `halted` is set by `podling node kill`.

    `kubelet_args` (NAME=VALUE) are flags of its agent beyond the cluster's.
    """

    name: str
    port: int
    halted: bool = False
    kubelet_args: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class ClusterConfig:
    """The whole configuration of a cluster. Raises ConfigError when made of values that cannot be.

    A plain dataclass: the command line and the control plane both read it before anything else, and a validation
    library would add a fifth to the cluster's start-up time.
    """

    name: str
    port: int
    pod_cidr: str
    service_cidr: str
    profile: Profile = "default"
    host: str = "127.0.0.1"
    controllers: bool = True
    scheduler: bool = True
    #: whether nodes must show a serving certificate of the cluster's authority
    node_verification: bool = True
    #: whether the API server stands for a metrics-server
    metrics: bool = True
    token_auth_file: str | None = None
    #: flags of every node's agent, NAME=VALUE
    kubelet_args: list[str] = field(default_factory=list)
    nodes: list[NodeConfig] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"name {self.name!r} must be 1 to 30 lower-case letters, digits or dashes")
        if self.profile not in PROFILES:
            raise ConfigError(f"profile {self.profile!r} must be one of {', '.join(PROFILES)}")
        self.pod_cidr = _parse_range("pod_cidr", self.pod_cidr)
        self.service_cidr = _parse_range("service_cidr", self.service_cidr)

    @property
    def serves_metrics(self) -> bool:
        """Whether metrics.k8s.io is served: not by a bare API server, which has what a kube-apiserver has."""
        return self.metrics and (self.controllers or bool(self.nodes))

    @property
    def server_url(self) -> str:
        """URL of the API server."""
        return f"https://{self.host}:{self.port}"

    @classmethod
    def from_json(cls, text: bytes) -> ClusterConfig:
        """Read what `to_json` wrote. Raises ConfigError."""
        try:
            fields: dict[str, Any] = json.loads(text)
            nodes = [NodeConfig(**node) for node in fields.pop("nodes", [])]
            return cls(**fields, nodes=nodes)
        except (TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ConfigError(str(error)) from error

    def to_json(self) -> bytes:
        """The configuration as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2).encode() + b"\n"

    def copy(self) -> ClusterConfig:
        """A copy that shares nothing."""
        return ClusterConfig.from_json(self.to_json())


def _parse_range(name: str, value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise ConfigError(f"{name} {value!r} is not an IPv4 range ({error})") from error
    if not 12 <= network.prefixlen <= 24:
        raise ConfigError(f"{name} {value} must have a prefix length between 12 and 24")
    return str(network)


class ClusterDirectory:
    """The files of one cluster below the data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config_file = root / "cluster.json"
        self.store_file = root / "store.db"
        self.pki = root / "pki"
        self.admin_kubeconfig = root / "admin.kubeconfig"
        self.scheduler_kubeconfig = root / "scheduler.kubeconfig"
        self.controllers_kubeconfig = root / "controller-manager.kubeconfig"
        self.processes_file = root / "processes.json"
        self.supervisor_socket = root / "supervisor.sock"
        self.control_lock = root / "control.lock"
        self.logs = root / "logs"

    def node(self, name: str) -> Path:
        """Directory of a node: its credentials and its Pods' volumes."""
        return self.root / "nodes" / name

    def manifests(self, node: str) -> Path:
        """Directory of a node's static Pods."""
        return self.node(node) / "manifests"

    def shutdown_request(self, node: str) -> Path:
        """What its agent reads when it is to shut the node down."""
        return self.node(node) / "shutdown.json"

    def log_file(self, process: str) -> Path:
        """Log of a process (`supervisor`, `control`, `agent-<node>`)."""
        return self.logs / f"{process}.log"

    def load(self) -> ClusterConfig | None:
        """Read the configuration, None if the cluster does not exist. Raises ConfigError if it is damaged."""
        try:
            return ClusterConfig.from_json(self.config_file.read_bytes())
        except FileNotFoundError:
            return None

    def save(self, config: ClusterConfig) -> None:
        """Write the configuration atomically."""
        write_private_file(self.config_file, config.to_json())
