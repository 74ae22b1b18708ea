"""How many Pods and containers the agent has tried to start, for `/metrics`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from agent.pods.pod_spec import is_ephemeral, is_init
from control.api.objects import ReadOnlyObject


@dataclass(slots=True)
class StartTally:
    """Tries, failed ones included. Containers by type, their failures by type and the reason in their status."""

    pods: int = 0
    pod_failures: int = 0
    containers: Counter[str] = field(default_factory=Counter)
    container_failures: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count_container(self, pod: ReadOnlyObject, container_name: str, failure: str = "") -> None:
        """A try has ended: well, or with a reason."""
        kind = container_type(pod, container_name)
        self.containers[kind] += 1
        if failure:
            self.container_failures[kind, failure] += 1


def container_type(pod: ReadOnlyObject, container_name: str) -> str:
    """The kubelet's word (pkg/kubelet/metrics/metrics.go, v1.36)."""
    if is_init(pod, container_name):
        return "init_container"
    return "ephemeral_container" if is_ephemeral(pod, container_name) else "container"
