"""What one agent is told: node, cluster, files, timings. Made from the command line by `agent/main.py`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.images.settings import ImageSettings
from agent.node.eviction.settings import NO_EVICTION, EvictionSettings
from agent.node.reservations import NOTHING_RESERVED, Reservations

#: the kubelet's, where operators and profiles of other projects put theirs
SECCOMP_PROFILE_ROOT = Path("/var/lib/kubelet/seccomp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How often the agent reports. The Lease says that the node lives; the status is sent when it changes."""

    lease_seconds: float
    status_seconds: float

    def with_lease(self, seconds: float) -> Timings:
        """The same with another interval of lease renewals."""
        return replace(self, lease_seconds=seconds)


# The default profile notices a dead node within seconds; `upstream` has the kubelet's timings.
PROFILES = {
    "default": Timings(lease_seconds=2.0, status_seconds=300.0),
    "upstream": Timings(lease_seconds=10.0, status_seconds=300.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """Configuration of `python -m agent run`.

    `address` is what the node gives as its InternalIP and where its API listens; empty
    means the node's address in its Pod range. Without TLS files the node API (logs, exec) has a certificate signed by
    itself; clients are those whose certificate is of `client_ca_pem`. `ports_on_loopback`: host ports without a hostIP
    are bound on 127.0.0.1 as well as at the node's address. `cluster_cidr` is the range of all Pods, empty if it is not
    known; `pod_cidr` is for API servers without a controller that assigns ranges. `pod_pids_max` bounds the processes
    of each Pod; 0 is no bound.
    """

    cluster: str
    node_name: str
    state_dir: Path
    timings: Timings
    address: str = ""
    bind_address: str = ""
    port: int = 10250
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca_pem: str = ""
    cluster_cidr: str = ""
    pod_cidr: str = ""
    ports_on_loopback: bool = False
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    pause_image: str = ""
    network: str = "auto"
    labels: tuple[tuple[str, str], ...] = ()
    pods_max: int = 110
    pod_pids_max: int = 0
    reservations: Reservations = NOTHING_RESERVED
    eviction: EvictionSettings = NO_EVICTION
    container_restart_seconds_max: float = 300.0
    images: ImageSettings = field(default_factory=ImageSettings)
    lifeline: bool = False
    #: directory of manifests of static Pods; None: there are none
    pod_manifest_path: Path | None = None
    #: what an unset shareProcessNamespace of a static Pod means
    static_pods_share_processes: bool = False
    #: sysctls (`net.core.somaxconn`, `kernel.msg*`) that Pods may have beside the safe ones
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    #: where `localhostProfile` of a seccomp profile is looked for
    seccomp_profile_root: Path = SECCOMP_PROFILE_ROOT
    #: whether Docker's seccomp profile confines containers that name none
    seccomp_default: bool = False

    @property
    def pod_volumes_root(self) -> Path:
        """Where the volumes of Pods are, a directory for each Pod."""
        return self.state_dir / "volumes"

    @property
    def volume_root(self) -> Path:
        """Where the node keeps the local volumes that it makes for claims."""
        return self.state_dir / "persistent"
