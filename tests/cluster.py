"""A real cluster for tests: `podling up` in a directory of its own, driven by stock kubectl and the docker command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ROOT / "manifests"
#: Deadlines bound failures alone; a machine with much else to do needs many times what an idle one does.
COMMAND_SECONDS_MAX = 240.0
CONDITION_SECONDS_MAX = 120.0
VALIDATES_BY_VERSION_2_ALONE = (1, 23)
OLD_KUBECTL = (1, 20)  # what Debian 12 ships
NOT_THERE_YET = ("no matching resources found", "(NotFound)")


class FailedCommandError(AssertionError):
    """A command of a test ended with another status than the test expected; the message has all it printed."""


def run(
    command: Sequence[str],
    *,
    env: dict[str, str] | None = None,
    stdin: str | None = None,
    check: bool = True,
    timeout: float = COMMAND_SECONDS_MAX,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end with captured output. Raises FailedCommandError if it fails and `check` is true."""
    result = subprocess.run(
        list(command), env=env, input=stdin, capture_output=True, text=True, check=False, timeout=timeout
    )
    if check and result.returncode != 0:
        raise FailedCommandError(
            f"{' '.join(command)}\nexit status {result.returncode}\n{result.stdout}\n{result.stderr}"
        )
    return result


def wait_for(condition: Callable[[], Any], what: str, *, seconds_max: float = CONDITION_SECONDS_MAX) -> Any:
    """Poll until the condition is truthy and return it; the deadline only bounds a failure."""
    deadline = time.monotonic() + seconds_max
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max} s: {what}")
        time.sleep(0.05)
    return value


@dataclass(frozen=True)
class Kubectl:
    """A kubectl binary and its version."""

    path: str
    version: tuple[int, int]

    def __str__(self) -> str:
        return f"kubectl-{self.version[0]}.{self.version[1]}"


@cache
def find_kubectls() -> tuple[Kubectl, ...]:
    """All kubectl binaries on this machine, one per minor version, oldest first.

    Looked for in PODLING_KUBECTLS (paths), on PATH, and beside the one on PATH (`kubectl.1.33`, as some
    distributions install several).
    """
    candidates = [Path(item) for item in os.environ.get("PODLING_KUBECTLS", "").split(os.pathsep) if item]
    for directory in os.environ["PATH"].split(os.pathsep):
        candidates += sorted(Path(directory).glob("kubectl*"))
    if found := shutil.which("kubectl"):
        candidates += sorted(Path(found).resolve().parent.glob("kubectl.*"))
    by_version: dict[tuple[int, int], Kubectl] = {}
    for path in candidates:
        if not os.access(path, os.X_OK) or not path.is_file():
            continue
        answer = run([str(path), "version", "--client", "--output=json"], check=False)
        if answer.returncode == 0 and (version := parse_client_version(answer.stdout)):
            by_version.setdefault(version, Kubectl(str(path), version))
    return tuple(by_version[version] for version in sorted(by_version))


def parse_client_version(output: str) -> tuple[int, int] | None:
    """Major and minor version of `kubectl version --client -o json`; None for a dispatcher that stands for others."""
    version = json.loads(output)["clientVersion"]["gitVersion"]
    match = re.match(r"v(\d+)\.(\d+)\.\d+$", version.split("+")[0])
    return (int(match[1]), int(match[2])) if match else None


def oldest_and_newest(minimum: tuple[int, int] = (1, 31)) -> tuple[Kubectl, ...]:
    """The oldest and the newest kubectl from `minimum` on; fewer than two when the machine has no more."""
    fitting = [item for item in find_kubectls() if item.version >= minimum]
    return tuple(dict.fromkeys((fitting[0], fitting[-1]))) if fitting else ()


def unpack_old_kubectl(directory: Path) -> Kubectl | None:
    """A kubectl that knows /openapi/v2 alone: of this machine, or of the distribution's package, unpacked there."""
    old = [item for item in find_kubectls() if item.version <= VALIDATES_BY_VERSION_2_ALONE]
    if old:
        return old[0]
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        script = "apt-get download kubernetes-client && dpkg-deb -x *.deb ."
        run(["sh", "-c", f"cd {directory} && {script}"], check=False)
    unpacked = directory / "usr" / "bin" / "kubectl"
    return Kubectl(str(unpacked), OLD_KUBECTL) if unpacked.exists() else None


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def docker(*arguments: str, check: bool = True) -> str:
    """Run the docker command and return what it printed, stripped."""
    return run(["docker", *arguments], check=check).stdout.strip()


@dataclass
class Cluster:
    """A cluster of `podling up` with its own data directory and kubeconfig."""

    directory: Path
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:7]}")

    @property
    def env(self) -> dict[str, str]:
        """Environment of every command: nothing of the user's own clusters and kubeconfig is touched."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {
            "KUBECONFIG": str(self.directory / "kubeconfig"),
            "PODLING_DATA_DIR": str(self.directory / "data"),
            "HOME": str(self.directory),
            "PATH": path,
        }

    @property
    def state(self) -> Path:
        """The cluster's own files."""
        return self.directory / "data" / "clusters" / self.name

    def podling(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a podling command on this cluster."""
        return run([sys.executable, "-m", "control.cli", *arguments, "--name", self.name], env=self.env, check=check)

    def up(self, *arguments: str) -> None:
        """`podling up`."""
        self.podling("up", *arguments)

    def delete(self) -> None:
        """`podling delete`."""
        self.podling("delete")

    def kubectl(
        self,
        *arguments: str,
        binary: str = "kubectl",
        stdin: str | None = None,
        check: bool = True,
        timeout: float = COMMAND_SECONDS_MAX,
        editor: str = "false",
    ) -> subprocess.CompletedProcess[str]:
        """Run a kubectl command on this cluster; `editor` is the command that `kubectl edit` runs on the file."""
        env = self.env | {"KUBE_EDITOR": editor}
        return run([binary, *arguments], env=env, stdin=stdin, check=check, timeout=timeout)

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... -o json`, decoded."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def wait(self, *arguments: str, seconds: int = 120) -> None:
        """`kubectl wait`, which by itself gives up at once where what it shall wait for is not there yet."""
        command = ("wait", *arguments, f"--timeout={seconds}s")

        def is_met() -> bool:
            result = self.kubectl(*command, check=False, timeout=seconds + 60)
            if result.returncode == 0:
                return True
            if not any(text in result.stderr for text in NOT_THERE_YET):
                raise FailedCommandError(f"kubectl {' '.join(command)}\n{result.stdout}\n{result.stderr}")
            return False

        wait_for(is_met, f"kubectl {' '.join(command)}", seconds_max=seconds)

    def containers(self, pod: str, container: str | None = None, *, everything: bool = False) -> list[dict[str, Any]]:
        """`docker inspect` of a Pod's containers, newest attempt first; `POD` is the pause container."""
        filters = [f"label=io.podling.cluster={self.name}", f"label=io.kubernetes.pod.name={pod}"]
        if container is not None:
            filters.append(f"label=io.kubernetes.container.name={container}")
        options = [option for item in filters for option in ("--filter", item)]
        ids = docker("ps", "-q", "--no-trunc", *(["-a"] if everything else []), *options).split()
        # One that is removed between the two calls is left out by inspect, which then fails but prints the others.
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids, check=False)) if ids else []
        return found
