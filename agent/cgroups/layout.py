"""Where a Pod's cgroup is: the kubelet's tree, below a root for each node, because several share a host. Pure.

`/podling/CLUSTER/NODE/kubepods[/burstable|/besteffort]/podUID`: what a kubelet with that `--cgroup-root` would make
(pkg/kubelet/cm/pod_container_manager_linux.go, v1.36).
"""

from __future__ import annotations

from dataclasses import dataclass

from control.api.objects import ReadOnlyObject
from control.api.pods import qos_class

ROOT, PODS_ROOT, POD_PREFIX = "podling", "kubepods", "pod"
#: directory of a quality of service below the root of the Pods; Guaranteed Pods stand in the root itself
QOS_DIRECTORIES = {"Guaranteed": "", "Burstable": "burstable", "BestEffort": "besteffort"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLayout:
    """The names of one node. Paths begin at the root of a hierarchy and have no leading slash."""

    cluster: str
    node: str

    @property
    def pods_root(self) -> str:
        """The cgroup of all Pods of the node."""
        return f"{ROOT}/{self.cluster}/{self.node}/{PODS_ROOT}"

    def qos_directory(self, qos: str) -> str:
        """The cgroup that holds the Pods of a quality of service."""
        name = QOS_DIRECTORIES[qos]
        return f"{self.pods_root}/{name}" if name else self.pods_root

    def pod_directory(self, pod: ReadOnlyObject) -> str:
        """The cgroup of a Pod."""
        return f"{self.qos_directory(qos_class(pod))}/{POD_PREFIX}{pod['metadata']['uid']}"

    def pod_directories(self, pod_uid: str) -> tuple[str, ...]:
        """Where the cgroup of a Pod of unknown quality of service may be."""
        return tuple(f"{self.qos_directory(qos)}/{POD_PREFIX}{pod_uid}" for qos in QOS_DIRECTORIES)


def parse_pod_uid(directory_name: str) -> str:
    """The UID of the Pod whose cgroup is called that; empty for any other cgroup."""
    return directory_name.removeprefix(POD_PREFIX) if directory_name.startswith(POD_PREFIX) else ""
