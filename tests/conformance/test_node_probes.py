"""Requirements of sig-node on probes. All Pods are created up front; what must not restart is looked at last."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from tests.conformance.batch import Batch, Object, is_ready, make_object, make_pod, shell

pytestmark = pytest.mark.docker

# A health service of gRPC: nginx speaks HTTP/2, the answer and its trailer are files and settings.
NGINX_CONFIGURATION = """
worker_processes 1; error_log /dev/stderr; pid /tmp/nginx.pid; user root;
events {}
http {
  access_log off; client_body_temp_path /tmp/body; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
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
HTTP_SERVER = "mkdir -p /tmp/www; echo ok > /tmp/www/healthz; httpd -p 8080 -h /tmp/www; "


def probe(**fields: Any) -> Object:
    return {"initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 5, **fields}


def running(name: str, container: Object, **spec: Any) -> Object:
    return make_pod(name, container, restartPolicy="Always", **spec)


HTTP = probe(httpGet={"path": "/healthz", "port": 8080}, failureThreshold=1)
STEADY: dict[str, Object] = {
    "http": running("http", shell(HTTP_SERVER + "sleep 1000", livenessProbe=HTTP)),
    "exec": running(
        "exec", shell("touch /tmp/health; sleep 1000", livenessProbe=probe(exec={"command": ["cat", "/tmp/health"]}))
    ),
    "tcp": running("tcp", shell(HTTP_SERVER + "sleep 1000", livenessProbe=probe(tcpSocket={"port": 8080}))),
    "grpc": running(
        "grpc", {**GRPC_SERVER, "livenessProbe": probe(grpc={"port": 5000}, failureThreshold=3)}, volumes=GRPC_VOLUMES
    ),
    "never-ready": running("never-ready", shell("sleep 1000", readinessProbe=probe(exec={"command": ["/bin/false"]}))),
    # The server goes on listening and answers errors.
    "tcp-of-a-sick-server": running(
        "tcp-of-a-sick-server",
        shell(HTTP_SERVER + "sleep 2; rm -r /tmp/www; sleep 1000", livenessProbe=probe(tcpSocket={"port": 8080})),
    ),
}
FAILING: dict[str, tuple[Object, int]] = {
    "grpc-wrong-port": (
        running("grpc-wrong-port", {**GRPC_SERVER, "livenessProbe": probe(grpc={"port": 5333})}, volumes=GRPC_VOLUMES),
        1,
    ),
    "http-fails": (
        running("http-fails", shell(HTTP_SERVER + "sleep 2; rm /tmp/www/healthz; sleep 1000", livenessProbe=HTTP)),
        2,
    ),
    "no-shell": (
        running(
            "no-shell",
            {"command": ["/bin/busybox", "sleep", "1000"], "livenessProbe": probe(httpGet={"port": 8081})},
        ),
        1,
    ),
}


@pytest.fixture(scope="module")
def probed(batch: Batch) -> Batch:
    files = {"serving": b64encode(SERVING).decode()}
    batch.create(make_object("ConfigMap", "health", data={"nginx.conf": NGINX_CONFIGURATION}, binaryData=files))
    batch.create(*STEADY.values(), *(pod for pod, _ in FAILING.values()))
    return batch


def restarts(pod: Object) -> int:
    statuses = pod["status"].get("containerStatuses") or [{}]
    return int(statuses[0].get("restartCount", 0))


@pytest.mark.parametrize("name", FAILING)
def test_probing_container_should_be_restarted(probed: Batch, name: str) -> None:
    """Requirements "should be restarted with a GRPC liveness probe", "… monotonically increasing restart count"."""
    seen = [0]

    def count(pod: Object) -> bool:
        seen.append(restarts(pod))
        return seen[-1] >= FAILING[name][1]

    probed.wait(count, name, what="the liveness probe restarts the container")
    assert seen == sorted(seen)
    reasons = {event["reason"]: event["message"] for event in probed.events(name)}
    assert reasons["Unhealthy"].startswith("Liveness probe failed: ")
    assert reasons["Killing"] == "Container main failed liveness probe, will be restarted"


@pytest.mark.parametrize("name", STEADY)
def test_probing_container_should_not_be_restarted(probed: Batch, name: str) -> None:
    """Requirements "should *not* be restarted with a …" and "readiness probe that fails should never be ready"."""
    ready = name != "never-ready"
    probed.wait(lambda pod: is_ready(pod) == ready, name, what="the Pod is as ready as it gets")

    def has_lived(pod: Object) -> bool:
        """The kubelet's failing probes above have been through several periods meanwhile."""
        return pod["status"]["phase"] == "Running"

    probed.wait(has_lived, name, what="the Pod runs")
    pod = probed.pods()[name]
    assert restarts(pod) == 0
    assert is_ready(pod) == ready
    unhealthy = [event["message"] for event in probed.events(name) if event["reason"] == "Unhealthy"]
    assert bool(unhealthy) == (not ready), unhealthy


def test_the_grpc_server_of_these_tests_is_asked(probed: Batch) -> None:
    """A probe by the service's name reaches the same server: the answer is the server's own."""
    named = {**GRPC_SERVER, "readinessProbe": probe(grpc={"port": 5000, "service": "any"})}
    probed.create(running("grpc-named", named, volumes=GRPC_VOLUMES))
    probed.wait(is_ready, "grpc-named", what="the named service is healthy")
