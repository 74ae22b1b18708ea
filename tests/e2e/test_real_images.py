"""Images as people have them: nothing but a binary, an init system, programs that misbehave. Each is one Pod."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, wait_for
from tests.fakes.docker_images import ensure_busybox_image, import_image

pytestmark = pytest.mark.docker

SCRATCH_IMAGE = "podling-test/scratch:1"
# A server of one answer that insists on nothing: no libc, no shell, no files beside it.
SCRATCH_SOURCE = r"""
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
    char request[4096];
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 16)) return 1;
    for (;;) {
        int client = accept(server, 0, 0);
        if (client < 0) return 2;
        if (read(client, request, sizeof request) > 0 && write(client, answer, strlen(answer)) < 0) return 3;
        close(client);
    }
}
"""
# In a Pod's command `$$` stands for a dollar sign: this asks for the shell's own process.
INIT_SCRIPT = """
test $$$$ = 1 || { echo "must be process 1, am $$$$" >&2; exit 9; }
trap 'exit 0' TERM
echo started
(sleep 0.1; echo child) &
while :; do sleep 0.2; done
"""
# Each turn leaves a child behind whose parent has become another program, which waits for nobody.
ZOMBIES = "for i in $(seq 50); do (sh -c 'exit 0' & exec sleep 0.01); done; sleep 1; echo done; exec sleep 1000"
# On cgroup v1 the engine does not hear of what happens before it listens, nor of what is over before it looks: on a
# busy machine it may miss one end of the first process, but not each of several.
HUNGRY = "until [ -e /flags/begin ]; do sleep 0.1; done; sleep 1; exec tail /dev/zero"
FLAGS = {"volumeMounts": [{"name": "flags", "mountPath": "/flags"}]}
LINE = "0123456789" * 8
TALK = f"yes {LINE} | head -c 104857600; echo last"


def make_pod(name: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    main = {"name": "main", "image": ensure_busybox_image(), "imagePullPolicy": "IfNotPresent"} | container
    body = {"containers": [main], "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def shell(script: str, **fields: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **fields}


@pytest.fixture(scope="module")
def scratch_image() -> str:
    """A static binary and nothing else."""
    with tempfile.TemporaryDirectory() as directory:
        binary = Path(directory) / "serve"
        command = ["gcc", "-Os", "-static", "-s", "-x", "c", "-", "-o", str(binary)]
        subprocess.run(command, input=SCRATCH_SOURCE, text=True, check=True)
        content = binary.read_bytes()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("serve")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    import_image(archive.getvalue, SCRATCH_IMAGE, ['ENTRYPOINT ["/serve"]'])
    return SCRATCH_IMAGE


@pytest.fixture(scope="module")
def pods(cluster: Cluster, scratch_image: str) -> Iterator[str]:
    """All Pods of this module in one namespace, created together."""
    namespace = "real-images"
    cluster.kubectl("create", "namespace", namespace)
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    memory = {"limits": {"memory": "24Mi"}}
    items = [
        make_pod("scratch", {"image": scratch_image, "readinessProbe": probe, "livenessProbe": probe}),
        make_pod("scratch-exec", {"image": scratch_image, "livenessProbe": {"exec": {"command": ["/serve"]}}}),
        make_pod("init", shell(INIT_SCRIPT), shareProcessNamespace=False),
        make_pod("deaf", shell("trap '' TERM; echo deaf; while :; do sleep 1; done"), terminationGracePeriodSeconds=3),
        make_pod("zombies", shell(ZOMBIES)),
        make_pod("talkative", shell(TALK), restartPolicy="Never"),
        make_pod("hungry", shell(HUNGRY, resources=memory, **FLAGS), volumes=[{"name": "flags", "emptyDir": {}}]),
    ]
    cluster.kubectl(
        "create", "-n", namespace, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )
    yield namespace
    cluster.kubectl("delete", "namespace", namespace)


def status_of(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("-n", namespace, "pod", name)["status"]
    return found


def wait_for_end(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    def ended() -> Any:
        status = status_of(cluster, namespace, name)
        return status["phase"] in ("Succeeded", "Failed") and status

    found: dict[str, Any] = wait_for(ended, f"{name} has ended", seconds_max=180)
    return found


def test_a_static_binary_on_scratch_is_run_and_probed(cluster: Cluster, pods: str) -> None:
    cluster.wait("-n", pods, "--for=condition=Ready", "pod/scratch")
    (status,) = status_of(cluster, pods, "scratch")["containerStatuses"]
    assert status["restartCount"] == 0
    answer = cluster.kubectl("exec", "-n", pods, "scratch", "--", "sh", check=False)
    assert answer.returncode == 126
    assert "executable file not found" in answer.stdout + answer.stderr


def test_a_command_probe_without_a_shell_runs_the_command_itself(cluster: Cluster, pods: str) -> None:
    """The port is taken, so the second copy of the server fails: the probe did run."""
    cluster.wait("-n", pods, "--for=jsonpath={.status.phase}=Running", "pod/scratch-exec")
    wait_for(
        lambda: status_of(cluster, pods, "scratch-exec")["containerStatuses"][0]["restartCount"] >= 1,
        "the probe fails and restarts the container",
        seconds_max=120,
    )


def test_an_init_system_is_process_one_and_ends_gracefully(cluster: Cluster, pods: str) -> None:
    cluster.wait("-n", pods, "--for=condition=Ready", "pod/init")
    wait_for(lambda: "child" in cluster.kubectl("logs", "-n", pods, "init").stdout, "its child runs")
    (record,) = cluster.containers("init", "main")
    cluster.kubectl("delete", "-n", pods, "pod", "init", "--grace-period=30", "--wait=false")
    code = subprocess.run(["docker", "wait", record["Id"]], capture_output=True, text=True, check=False).stdout.strip()
    # Removed before the question came, or ended by itself: never killed.
    assert code in ("0", "")
    wait_for(lambda: cluster.kubectl("get", "-n", pods, "pod", "init", check=False).returncode, "the Pod is gone")


def test_a_program_that_ignores_the_signal_is_killed_after_its_grace_period(cluster: Cluster, pods: str) -> None:
    cluster.wait("-n", pods, "--for=condition=Ready", "pod/deaf")
    wait_for(lambda: "deaf" in cluster.kubectl("logs", "-n", pods, "deaf").stdout, "the trap is set")
    cluster.kubectl("delete", "-n", pods, "pod", "deaf", "--wait=false")
    assert len(cluster.containers("deaf", "main")) == 1
    wait_for(lambda: cluster.kubectl("get", "-n", pods, "pod", "deaf", check=False).returncode, "the Pod is gone")
    wait_for(lambda: cluster.containers("deaf", everything=True) == [], "it leaves no container")


def test_orphans_are_reaped(cluster: Cluster, pods: str) -> None:
    wait_for(lambda: "done" in cluster.kubectl("logs", "-n", pods, "zombies").stdout, "the program has forked")
    listing = "cat /proc/[0-9]*/stat 2>/dev/null | cut -d' ' -f3"
    wait_for(
        lambda: "Z" not in cluster.kubectl("exec", "-n", pods, "zombies", "--", "sh", "-c", listing).stdout.split(),
        "no process is left that nobody waits for",
    )


def test_a_hundred_megabytes_of_log_are_rotated_and_their_end_is_kept(cluster: Cluster, pods: str) -> None:
    assert wait_for_end(cluster, pods, "talkative")["phase"] == "Succeeded"
    assert cluster.kubectl("logs", "-n", pods, "talkative", "--tail=1").stdout.endswith("last\n")
    (record,) = cluster.containers("talkative", "main", everything=True)
    files = Path(record["LogPath"]).parent.glob("*-json.log*")
    assert sum(file.stat().st_size for file in files) < 60 << 20


def test_a_program_that_runs_out_of_memory_is_reported(cluster: Cluster, pods: str) -> None:
    cluster.wait("-n", pods, "--for=condition=Ready", "pod/hungry")
    cluster.kubectl("exec", "-n", pods, "hungry", "--", "touch", "/flags/begin")

    def killed() -> Any:
        status = status_of(cluster, pods, "hungry")
        (container,) = status["containerStatuses"]
        ends = [container[field].get("terminated") or {} for field in ("state", "lastState")]
        return status["phase"] == "Running" and [end for end in ends if end.get("reason") == "OOMKilled"]

    ends = wait_for(killed, "hungry has ended for want of memory", seconds_max=180)
    assert {end["exitCode"] for end in ends} == {137}
