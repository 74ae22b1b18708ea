"""Parts of the control plane as processes of their own, beside a cluster of `podling up --no-scheduler ...`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.cluster import Cluster, wait_for

#: short, so that a standby takes over soon
ELECTION = ("--leader-elect-lease-duration=4s", "--leader-elect-renew-deadline=3s", "--leader-elect-retry-period=500ms")


class PartProcess:
    """`python -m control scheduler|controllers` with the cluster's own kubeconfig for it; its log is kept."""

    def __init__(self, cluster: Cluster, part: str, *arguments: str) -> None:
        kubeconfig = cluster.state / (
            "scheduler.kubeconfig" if part == "scheduler" else "controller-manager.kubeconfig"
        )
        self.log_file = Path(cluster.directory / f"{part}-{id(self)}.log")
        command = [sys.executable, "-m", "control", part, "--kubeconfig", str(kubeconfig), *ELECTION, *arguments]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(command, env=cluster.env, stdin=subprocess.DEVNULL, stderr=log)

    @property
    def log(self) -> str:
        """All it has logged."""
        return self.log_file.read_text()

    @property
    def identity(self) -> str:
        """Under which name it has led, empty if it never has."""
        match = re.search(r"Became leader lease=\S+ identity=(\S+)", self.log)
        return match[1] if match else ""

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; returns the exit status. Does nothing to a process that has ended."""
        self._process.terminate()
        return self._process.wait()


def holder_of(cluster: Cluster, lease: str) -> str:
    """Who holds a Lease of kube-system, empty if nobody."""
    answer = cluster.kubectl(
        "get", "lease", "-n", "kube-system", lease, "-o", "jsonpath={.spec.holderIdentity}", check=False
    )
    return answer.stdout


def wait_for_leader(cluster: Cluster, lease: str, candidates: list[PartProcess]) -> PartProcess:
    """Wait until one of the candidates holds the Lease."""

    def leader() -> PartProcess | None:
        holder = holder_of(cluster, lease)
        return next((item for item in candidates if holder and item.identity == holder), None)

    found: PartProcess = wait_for(leader, f"one of {len(candidates)} processes leads {lease}")
    return found
