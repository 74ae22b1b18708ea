"""Requirements of sig-node on probes. All Pods are created up front; what must not restart is looked at last."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import Batch, Object, is_ready, make_object, make_pod, message_of, shell

pytestmark = pytest.mark.docker

# A health service of gRPC: nginx speaks HTTP/2, the answer and its trailer are files and settings.
NGINX_CONFIGURATION = """
worker_processes 1; error_log /dev/stderr; pid /tmp/nginx.pid; user root;
events {}
http {
  access_log /dev/stdout; client_body_temp_path /tmp/body; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; default_type application/grpc;
  server {
    listen 5000 http2;
    root /etc/health;
    add_trailer grpc-status 0;
    error_page 405 =200 $uri;
    location = /grpc.health.v1.Health/Check { try_files /serving =404; error_page 405 =200 /serving; }
  }
}
"""
SERVING = b"\0\0\0\0\x02\x08\x01"
GRPC_SERVER = {
    "image": "nginx",
    "command": ["nginx", "-g", "daemon off;", "-c", "/etc/health/nginx.conf"],
    "volumeMounts": [{"name": "health", "mountPath": "/etc/health"}],
}
GRPC_VOLUMES = [{"name": "health", "configMap": {"name": "health"}}]
HTTP_SERVER = "mkdir -p /tmp/www; echo ok > /tmp/www/healthz; exec httpd -f -vv -p 8080 -h /tmp/www"
# Whoever connects gets an error; that somebody did is logged.
SICK_SERVER = """cat > /tmp/answer <<'END'
#!/bin/sh
printf 'HTTP/1.0 500 Internal Server Error\\r\\n\\r\\n'
echo probed >&2
END
chmod +x /tmp/answer; exec nc -ll -p 8080 -e /tmp/answer"""
# A pipe that is filled whenever somebody reads it, which is logged. The pause lets the reader go first: a pipe that is
# written when its reader has just gone would end the shell.
READ_FILE = "trap '' PIPE; mkfifo /tmp/health; while true; do echo ok > /tmp/health && echo probed; sleep 0.3; done"
#: how many probes are seen before a container counts as not restarted
PROBES = 5


def probe(**fields: Any) -> Object:
    return {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 5, **fields}


def patient_probe(**fields: Any) -> Object:
    """For what must not be restarted, on a machine with much else to do too."""
    return probe(**fields) | {"initialDelaySeconds": 1, "failureThreshold": 10}


def running(name: str, container: Object) -> Object:
    return make_pod(name, container, restartPolicy="Always", volumes=GRPC_VOLUMES)


#: requirement → name of the Pod, its container, and what its log has for each probe
STEADY: dict[str, tuple[str, Object, str]] = {
    "[sig-node] Probing container should *not* be restarted with a /healthz http liveness probe": (
        "http",
        shell(HTTP_SERVER, livenessProbe=patient_probe(httpGet={"path": "/healthz", "port": 8080})),
        "response:200",
    ),
    '[sig-node] Probing container should *not* be restarted with a exec "cat /tmp/health" liveness probe': (
        "exec",
        shell(READ_FILE, livenessProbe=patient_probe(exec={"command": ["cat", "/tmp/health"]})),
        "probed",
    ),
    "[sig-node] Probing container should *not* be restarted with a tcp:8080 liveness probe": (
        "tcp",
        shell(SICK_SERVER, livenessProbe=patient_probe(tcpSocket={"port": 8080})),
        "probed",
    ),
    "[sig-node] Probing container should *not* be restarted with a GRPC liveness probe": (
        "grpc",
        {**GRPC_SERVER, "livenessProbe": patient_probe(grpc={"port": 5000})},
        'POST /grpc.health.v1.Health/Check HTTP/2.0" 200',
    ),
}
FAILING: dict[str, tuple[str, Object]] = {
    "[sig-node] Probing container should be restarted with a GRPC liveness probe": (
        "grpc-wrong-port",
        {**GRPC_SERVER, "livenessProbe": probe(grpc={"port": 5333})},
    ),
    "an image whose program does not listen": (
        "no-shell",
        {"command": ["/bin/busybox", "sleep", "1000"], "livenessProbe": probe(httpGet={"port": 8081})},
    ),
}
NEVER_READY = running("never-ready", shell("sleep 1000", readinessProbe=probe(exec={"command": ["/bin/false"]})))


@pytest.fixture(scope="module")
def probed(batch: Batch) -> Batch:
    """The Pods of this module, created before anything is waited for."""
    files = {"serving": b64encode(SERVING).decode()}
    batch.create(make_object("ConfigMap", "health", data={"nginx.conf": NGINX_CONFIGURATION}, binaryData=files))
    pods = [(name, container) for name, container, _ in STEADY.values()] + list(FAILING.values())
    batch.create(NEVER_READY, *(running(name, container) for name, container in pods))
    return batch


def restarts(pod: Object) -> int:
    statuses = pod["status"].get("containerStatuses") or [{}]
    return int(statuses[0].get("restartCount", 0))


@pytest.mark.parametrize("requirement", FAILING)
def test_probing_container_should_be_restarted(probed: Batch, requirement: str) -> None:
    name, _ = FAILING[requirement]
    probed.wait(lambda pod: restarts(pod) >= 1, name, what="the liveness probe restarts the container")
    assert message_of(probed, name, "Unhealthy").startswith("Liveness probe failed: ")
    assert message_of(probed, name, "Killing") == "Container main failed liveness probe, will be restarted"


@pytest.mark.parametrize("requirement", STEADY)
def test_probing_container_should_not_be_restarted(probed: Batch, requirement: str) -> None:
    name, _, line = STEADY[requirement]
    probed.wait(is_ready, name, what="the Pod runs")
    log = probed.path(f"pods/{name}/log")
    wait_for(lambda: probed.api.text(log).count(line) >= PROBES, "several probes were answered")
    pod = probed.pod(name)
    assert restarts(pod) == 0
    assert is_ready(pod)


@pytest.mark.requirement(
    "[sig-node] Probing container with readiness probe that fails should never be ready and never restart"
)
def test_probing_container_with_readiness_probe_that_fails_should_never_be_ready_and_never_restart(
    probed: Batch,
) -> None:
    def failures() -> int:
        return sum(event["count"] for event in probed.events("never-ready") if event["reason"] == "Unhealthy")

    with probed.api.watch(probed.path("pods"), "name=never-ready") as changes:
        wait_for(lambda: failures() >= PROBES, "several probes have failed")
        probed.api.patch(probed.path("pods/never-ready"), {"metadata": {"labels": {"seen": "enough"}}})
        for _, pod in changes:
            assert not is_ready(pod)
            assert restarts(pod) == 0
            if "seen" in pod["metadata"]["labels"]:
                break
    assert pod["status"]["phase"] == "Running"


def test_the_grpc_server_of_these_tests_is_asked(probed: Batch) -> None:
    """A probe by the service's name reaches the same server: the answer is the server's own."""
    named = {**GRPC_SERVER, "readinessProbe": probe(grpc={"port": 5000, "service": "any"})}
    probed.create(running("grpc-named", named))
    probed.wait(is_ready, "grpc-named", what="the named service is healthy")
