"""What a Pod may ask for, on real containers: environment, volumes, probes, resources, graceful termination."""

from __future__ import annotations

import base64
import json
import os
import signal
from typing import Any

import pytest

from tests.cluster import Cluster, wait_for
from tests.e2e.test_failing_pods import make_pod, wait_for_event, wait_for_log

pytestmark = pytest.mark.docker


def create(cluster: Cluster, namespace: str, manifest: str, *, ready: str = "") -> None:
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)
    if ready:
        cluster.wait("-n", namespace, "--for=condition=Ready", f"pod/{ready}")


def sh(cluster: Cluster, namespace: str, pod: str, script: str) -> str:
    output: str = cluster.kubectl("exec", "-n", namespace, pod, "--", "sh", "-c", script).stdout
    return output


def test_environment_from_every_source_and_expansion_in_arguments(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "-n", namespace, "configmap", "settings", "--from-literal=COLOUR=red")
    cluster.kubectl("create", "-n", namespace, "secret", "generic", "hidden", "--from-literal=word=mellon")
    container = {
        "command": ["sh", "-c", "echo '$(GREETING) $$(LITERAL)'; env; echo printed; sleep 1000"],
        "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "CM_"}],
        "env": [
            {"name": "GREETING", "value": "hello-$(WHO)"},
            {"name": "WHO", "value": "late"},
            {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "word"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "TWICE", "value": "$(WORD)-$(POD)"},
        ],
        "resources": {"limits": {"cpu": "250m", "memory": "64Mi"}},
    }
    create(cluster, namespace, make_pod("env", container), ready="env")
    lines = wait_for_log(cluster, namespace, "env", "printed\n").splitlines()
    assert lines[0] == "hello-$(WHO) $(LITERAL)"
    env = dict(line.split("=", 1) for line in lines[1:] if "=" in line)
    pod = cluster.get("-n", namespace, "pod", "env")
    assert env["CM_COLOUR"] == "red"
    assert env["TWICE"] == "mellon-env"
    assert env["NODE"] == pod["spec"]["nodeName"]
    assert env["IP"] == pod["status"]["podIP"]
    assert env["CPU"] == "250"
    assert env["KUBERNETES_SERVICE_PORT"] == "443"
    [inspected] = cluster.containers("env", "main")
    assert inspected["HostConfig"]["Memory"] == 64 * 1024 * 1024
    assert inspected["HostConfig"]["CpuQuota"] == inspected["HostConfig"]["CpuPeriod"] // 4
    assert pod["status"]["qosClass"] == "Guaranteed"


def test_volumes_of_every_supported_type(cluster: Cluster, namespace: str, tmp_path: Any) -> None:
    (tmp_path / "from-host").write_text("host\n")
    cluster.kubectl("create", "-n", namespace, "configmap", "settings", "--from-literal=colour=red")
    cluster.kubectl("create", "-n", namespace, "secret", "generic", "hidden", "--from-literal=word=mellon")
    volumes = [
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "host", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "secret", "secret": {"secretName": "hidden", "defaultMode": 0o400}},
        {"name": "about", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {
            "name": "all",
            "projected": {"sources": [{"configMap": {"name": "settings"}}, {"secret": {"name": "hidden"}}]},
        },
    ]
    container = {
        "command": ["sleep", "1000"],
        "volumeMounts": [{"name": item["name"], "mountPath": f"/{item['name']}"} for item in volumes],
    }
    create(cluster, namespace, make_pod("volumes", container, volumes=volumes), ready="volumes")
    assert sh(cluster, namespace, "volumes", "cat /host/from-host /config/colour /secret/word /about/name") == (
        "host\nredmellonvolumes"
    )
    assert sh(cluster, namespace, "volumes", "cat /all/colour /all/word") == "redmellon"
    assert "tmpfs" in sh(cluster, namespace, "volumes", "grep ' /memory ' /proc/mounts")
    assert sh(cluster, namespace, "volumes", "stat -L -c %a /secret/word") == "400\n"
    token = sh(cluster, namespace, "volumes", "cat /var/run/secrets/kubernetes.io/serviceaccount/token")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default"
    assert claims["kubernetes.io"]["pod"]["name"] == "volumes"
    assert sh(cluster, namespace, "volumes", "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace") == namespace
    sh(cluster, namespace, "volumes", "echo kept > /scratch/a; echo kept > /memory/a")
    [container_record] = cluster.containers("volumes", "main")
    cluster.kubectl("exec", "-n", namespace, "volumes", "--", "true")

    os.kill(container_record["State"]["Pid"], signal.SIGKILL)
    wait_for(
        lambda: cluster.get("-n", namespace, "pod", "volumes")["status"]["containerStatuses"][0]["restartCount"] == 1,
        "the container is restarted",
    )
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/volumes")
    assert sh(cluster, namespace, "volumes", "cat /scratch/a /memory/a") == "kept\nkept\n"


def test_a_changed_config_map_appears_in_the_volume(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "-n", namespace, "configmap", "settings", "--from-literal=colour=red")
    container = {"command": ["sleep", "1000"], "volumeMounts": [{"name": "config", "mountPath": "/config"}]}
    volumes = [{"name": "config", "configMap": {"name": "settings"}}]
    create(cluster, namespace, make_pod("reader", container, volumes=volumes), ready="reader")
    assert sh(cluster, namespace, "reader", "cat /config/colour") == "red"
    cluster.kubectl("patch", "-n", namespace, "configmap", "settings", "-p", '{"data":{"colour":"blue"}}')
    wait_for(
        lambda: sh(cluster, namespace, "reader", "cat /config/colour") == "blue", "the volume follows", seconds_max=120
    )


def test_readiness_decides_about_ready_and_liveness_restarts(cluster: Cluster, namespace: str) -> None:
    container = {
        "command": ["sh", "-c", "touch /tmp/live; sleep 1000"],
        "livenessProbe": {"exec": {"command": ["cat", "/tmp/live"]}, "periodSeconds": 1, "failureThreshold": 1,
                          "initialDelaySeconds": 1, "timeoutSeconds": 30},
        "startupProbe": {"exec": {"command": ["cat", "/tmp/live"]}, "periodSeconds": 1, "failureThreshold": 100},
        "readinessProbe": {"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1, "timeoutSeconds": 30},
    }  # fmt: skip
    create(cluster, namespace, make_pod("probed", container))
    cluster.wait("-n", namespace, "--for=jsonpath={.status.phase}=Running", "pod/probed")
    conditions = {item["type"]: item for item in cluster.get("-n", namespace, "pod", "probed")["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "False"
    assert conditions["Ready"]["reason"] == "ContainersNotReady"
    sh(cluster, namespace, "probed", "touch /tmp/ready")
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/probed")
    sh(cluster, namespace, "probed", "rm /tmp/live")
    wait_for(
        lambda: cluster.get("-n", namespace, "pod", "probed")["status"]["containerStatuses"][0]["restartCount"] >= 1,
        "the failed liveness probe restarts the container",
    )
    for start in (
        "Unhealthy: Liveness probe failed: cat: can't open '/tmp/live'",
        "Killing: Container main failed liveness probe, will be restarted",
    ):
        assert wait_for_event(cluster, namespace, "probed", start)


def test_tcp_and_startup_probes(cluster: Cluster, namespace: str) -> None:
    container = {
        "command": ["sh", "-c", "sleep 1; httpd -f -p 8080"],
        "startupProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 30},
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    create(cluster, namespace, make_pod("slow", container), ready="slow")
    status = cluster.get("-n", namespace, "pod", "slow")["status"]["containerStatuses"][0]
    assert status["started"] is True
    assert status["restartCount"] == 0


def test_termination_is_graceful_and_bounded(cluster: Cluster, namespace: str) -> None:
    polite = {"command": ["sh", "-c", "trap 'echo bye; exit 0' TERM; while true; do sleep 0.1; done"]}
    stubborn = {"command": ["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"]}
    create(cluster, namespace, make_pod("polite", polite, terminationGracePeriodSeconds=3600), ready="polite")
    create(cluster, namespace, make_pod("stubborn", stubborn, terminationGracePeriodSeconds=2), ready="stubborn")
    # Nobody waits that long for it: it ends by the signal.
    cluster.kubectl("delete", "pod", "-n", namespace, "polite")
    cluster.kubectl("delete", "pod", "-n", namespace, "stubborn")
    for name in ("stubborn", "polite"):
        assert cluster.containers(name, "main") == []
        wait_for(lambda name=name: cluster.containers(name, everything=True) == [], f"{name} leaves no container")


def test_init_containers_run_in_order_before_the_rest(cluster: Cluster, namespace: str) -> None:
    mount = [{"name": "shared", "mountPath": "/shared"}]
    init = [
        {"name": name, "image": "busybox", "imagePullPolicy": "IfNotPresent", "volumeMounts": mount,
         "command": ["sh", "-c", f"echo {name} >> /shared/order"]}
        for name in ("first", "second")
    ]  # fmt: skip
    container = {"command": ["sh", "-c", "cat /shared/order; sleep 1000"], "volumeMounts": mount}
    volumes = [{"name": "shared", "emptyDir": {}}]
    create(cluster, namespace, make_pod("ordered", container, volumes=volumes, initContainers=init), ready="ordered")
    assert wait_for_log(cluster, namespace, "ordered", "second\n") == "first\nsecond\n"


def test_hostname_hosts_and_resolver_of_a_pod(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, make_pod("named", {"command": ["sleep", "1000"]}), ready="named")
    ip = cluster.get("-n", namespace, "pod", "named")["status"]["podIP"]
    assert sh(cluster, namespace, "named", "hostname") == "named\n"
    assert f"{ip}\tnamed" in sh(cluster, namespace, "named", "cat /etc/hosts")
    assert f"search {namespace}.svc.cluster.local svc.cluster.local cluster.local" in sh(
        cluster, namespace, "named", "cat /etc/resolv.conf"
    )
    assert sh(cluster, namespace, "named", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "0\n"


def test_security_context_is_carried_out(cluster: Cluster, namespace: str) -> None:
    context = {"runAsUser": 1234, "runAsGroup": 2345, "readOnlyRootFilesystem": True,
               "capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False}  # fmt: skip
    create(
        cluster, namespace, make_pod("safe", {"command": ["sleep", "1000"], "securityContext": context}), ready="safe"
    )
    assert sh(cluster, namespace, "safe", "id -u; id -g") == "1234\n2345\n"
    assert "CapBnd:\t0000000000000000" in sh(cluster, namespace, "safe", "cat /proc/self/status")
    assert "NoNewPrivs:\t1" in sh(cluster, namespace, "safe", "cat /proc/self/status")
    assert "Read-only" in sh(cluster, namespace, "safe", "touch /x 2>&1 || true")


def test_host_network_uses_the_nodes_address(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, make_pod("host", {"command": ["sleep", "1000"]}, hostNetwork=True), ready="host")
    status = cluster.get("-n", namespace, "pod", "host")["status"]
    assert status["podIP"] == status["hostIP"]
    assert "docker0" in sh(cluster, namespace, "host", "ip link")
