"""manifests/shared-localhost.yaml: the containers of a Pod share network, processes and IPC, and nothing else."""

from __future__ import annotations

import pytest

from tests.cluster import MANIFESTS, Cluster

pytestmark = pytest.mark.docker


@pytest.fixture
def pod(cluster: Cluster, namespace: str) -> str:
    """Name of the Ready Pod of the manifest."""
    cluster.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "shared-localhost.yaml"))
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/shared-localhost")
    return "shared-localhost"


def test_the_sidecar_sees_page_processes_and_queue_of_its_neighbour(cluster: Cluster, namespace: str, pod: str) -> None:
    output = cluster.kubectl("logs", "-n", namespace, pod, "-c", "sidecar").stdout
    assert "page over localhost: <title>" in output
    assert "nginx in my process list: 1" in output
    assert "message queue of my neighbour: podling" in output


def test_localhost_works_both_ways(cluster: Cluster, namespace: str, pod: str) -> None:
    in_sidecar = ("exec", "-n", namespace, pod, "-c", "sidecar", "--")
    in_nginx = ("exec", "-n", namespace, pod, "-c", "nginx", "--")
    cluster.kubectl(*in_sidecar, "sh", "-c", "echo hello > /tmp/index.html; httpd -p 127.0.0.1:8099 -h /tmp")
    assert cluster.kubectl(*in_nginx, "wget", "-q", "-O", "-", "http://127.0.0.1:8099/").stdout == "hello\n"
    assert "httpd -p 127.0.0.1:8099" in cluster.kubectl(*in_nginx, "ps").stdout
    cluster.kubectl(*in_sidecar, "rm", "/dev/mqueue/podling")
    assert cluster.kubectl(*in_nginx, "ls", "/dev/mqueue").stdout == ""


def test_process_one_is_pause_and_no_signal_from_inside_ends_it(cluster: Cluster, namespace: str, pod: str) -> None:
    in_sidecar = ("exec", "-n", namespace, pod, "-c", "sidecar", "--")
    assert "pause" in cluster.kubectl(*in_sidecar, "cat", "/proc/1/cmdline").stdout
    [before] = cluster.containers(pod, "POD")
    cluster.kubectl(*in_sidecar, "sh", "-c", "kill 1; kill -INT 1; kill -QUIT 1; kill -KILL 1; kill -HUP 1")
    cluster.kubectl(*in_sidecar, "true")
    [after] = cluster.containers(pod, "POD")
    assert after["Id"] == before["Id"]
    assert after["State"]["Running"]


def test_file_systems_are_not_shared(cluster: Cluster, namespace: str, pod: str) -> None:
    cluster.kubectl("exec", "-n", namespace, pod, "-c", "sidecar", "--", "touch", "/only-here")
    result = cluster.kubectl("exec", "-n", namespace, pod, "-c", "nginx", "--", "ls", "/only-here", check=False)
    assert result.returncode == 1


def test_share_process_namespace_false_isolates_processes(cluster: Cluster, namespace: str) -> None:
    manifest = (
        (MANIFESTS / "shared-localhost.yaml")
        .read_text()
        # Alone in its namespace the sidecar's shell is process 1, which no signal ends: it uses up its grace period.
        .replace("shareProcessNamespace: true", "shareProcessNamespace: false\n  terminationGracePeriodSeconds: 1")
    )
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/shared-localhost")
    output = cluster.kubectl("logs", "-n", namespace, "shared-localhost", "-c", "sidecar").stdout
    assert "page over localhost: <title>" in output
    assert "nginx in my process list: 0" in output


def test_the_default_profile_shares_processes_visibly(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("run", "-n", namespace, "plain", "--image=busybox", "--image-pull-policy=IfNotPresent",
                    "--command", "--", "sleep", "1000")  # fmt: skip
    assert cluster.get("-n", namespace, "pod", "plain")["spec"]["shareProcessNamespace"] is True
