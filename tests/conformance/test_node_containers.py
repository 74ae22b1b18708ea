"""Requirements of sig-node on how containers begin and end: policies, init containers, hooks, ephemeral containers."""

from __future__ import annotations

import json

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import BUSYBOX, Batch, Object, is_finished, is_ready, make_pod, shell

pytestmark = pytest.mark.docker

SERVE = "mkdir -p /tmp/www/cgi-bin; printf '#!/bin/sh\\necho; echo \"$QUERY_STRING $HTTP_X_TEST\" >> /tmp/calls\\n'"
SERVE += " > /tmp/www/cgi-bin/note; chmod +x /tmp/www/cgi-bin/note; touch /tmp/calls; exec httpd -f -p 8080 -h /tmp/www"


def container_status(pod: Object, field: str = "containerStatuses") -> Object:
    found: Object = (pod["status"].get(field) or [{}])[0]
    return found


# --- Container Runtime blackbox test ----------------------------------------------------------------------------------

# A file of a volume counts the starts; the program fails on the first two.
COUNT = "n=$(cat /w/n 2>/dev/null || echo 0); n=$((n+1)); echo $n > /w/n; test $n -ge 3 || exit 1; "
POLICIES = {
    "always": ("Always", COUNT + "exec sleep 1000", "Running", 2, True),
    "on-failure": ("OnFailure", COUNT + "exit 0", "Succeeded", 2, False),
    "never": ("Never", COUNT + "exit 0", "Failed", 0, False),
}


@pytest.fixture(scope="module")
def started(batch: Batch) -> Batch:
    """The Pods of this module that take their time, created before anything is waited for."""
    mount = {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    volumes = [{"name": "w", "emptyDir": {}}]
    for name, (policy, script, *_) in POLICIES.items():
        batch.create(make_pod(name, shell(script, **mount), restartPolicy=policy, volumes=volumes))
    server = make_pod("server", shell(SERVE, readinessProbe={"tcpSocket": {"port": 8080}}))
    batch.create(server, INITIALIZED)
    return batch


def init_container(name: str, script: str) -> Object:
    return {"name": name, "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", **shell(script)}


INITIALIZED = make_pod(
    "initialized",
    shell("exit 0"),
    initContainers=[init_container("init1", "exit 0"), init_container("init2", "exit 0")],
)


def test_init_container_should_invoke_init_containers_on_a_restart_never_pod(started: Batch) -> None:
    started.wait(is_finished, "initialized", what="the Pod has ended")
    pod = started.pods()["initialized"]
    assert pod["status"]["phase"] == "Succeeded"
    conditions = {item["type"]: item for item in pod["status"]["conditions"]}
    assert conditions["Initialized"]["status"] == "True"
    statuses = pod["status"]["initContainerStatuses"]
    assert [item["state"]["terminated"]["exitCode"] for item in statuses] == [0, 0]
    assert [item["ready"] for item in statuses] == [True, True]
    assert [item["restartCount"] for item in statuses] == [0, 0]


def test_hooks_call_a_server(started: Batch) -> None:
    """Requirements "Container Lifecycle Hook … should execute poststart exec hook", "… prestop exec hook", "… prestop
    http hook properly" and "PreStop should call prestop when killing a pod"."""
    batch = started
    batch.wait(is_ready, "server", what="the server is ready")
    address = batch.pods()["server"]["status"]["podIP"]

    def call(what: str) -> Object:
        return {"exec": {"command": ["wget", "-q", "-O", "-", f"http://{address}:8080/cgi-bin/note?{what}"]}}

    path = "/cgi-bin/note?prestop-http"
    headers = [{"name": "X-Test", "value": "header"}]
    get = {"httpGet": {"host": address, "port": 8080, "path": path, "httpHeaders": headers}}
    hooks = {
        "poststart-exec": {"postStart": call("poststart-exec")},
        "prestop-exec": {"preStop": call("prestop-exec")},
        "prestop-http": {"preStop": get},
    }
    pods = [make_pod(name, shell("sleep 1000", lifecycle=hook)) for name, hook in hooks.items()]
    for pod in pods:
        pod["spec"]["terminationGracePeriodSeconds"] = 30
    batch.create(*pods)
    batch.wait(is_ready, *hooks, what="the Pods with hooks run")
    assert batch.kubectl("exec", "server", "--", "cat", "/tmp/calls").split() == ["poststart-exec"]
    batch.kubectl("delete", "pod", "--grace-period=20", *hooks)
    calls = batch.kubectl("exec", "server", "--", "cat", "/tmp/calls").splitlines()
    assert sorted(line.strip() for line in calls) == ["poststart-exec", "prestop-exec", "prestop-http header"]


# --- Ephemeral Containers ---------------------------------------------------------------------------------------------


def ephemeral(name: str, script: str, **fields: str) -> Object:
    return {"name": name, "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", **shell(script), **fields}


def add_ephemeral(batch: Batch, pod: str, *containers: Object) -> None:
    patch = json.dumps({"spec": {"ephemeralContainers": list(containers)}})
    batch.kubectl("patch", "pod", pod, "--subresource=ephemeralcontainers", "-p", patch)


def running_debuggers(pod: Object) -> list[str]:
    statuses = pod["status"].get("ephemeralContainerStatuses") or ()
    return [item["name"] for item in statuses if "running" in item["state"]]


def test_ephemeral_containers_start_in_an_existing_pod_and_more_may_be_added(started: Batch) -> None:
    """Requirements "will start an ephemeral container in an existing pod" and "should update the ephemeral …"."""
    batch = started
    batch.wait(is_ready, "server", what="the server is ready")
    first, second = ephemeral("debugger1", "echo polo; sleep 1000"), ephemeral("debugger2", "sleep 1000")
    add_ephemeral(batch, "server", first)
    batch.wait(lambda pod: running_debuggers(pod) == ["debugger1"], "server", what="the first debugger runs")
    assert batch.logs("server", "-c", "debugger1") == "polo\n"
    assert "httpd" in batch.kubectl("exec", "server", "-c", "debugger1", "--", "ps")
    add_ephemeral(batch, "server", second)
    batch.wait(lambda pod: running_debuggers(pod) == ["debugger1", "debugger2"], "server", what="both debuggers run")
    assert len(batch.pods()["server"]["spec"]["ephemeralContainers"]) == 2


def test_kubectl_debug_attaches_a_shell_to_the_processes_of_a_container(started: Batch) -> None:
    batch = started
    batch.create(make_pod("target", shell("exec sleep 4321"), shell("exec sleep 1234"), shareProcessNamespace=False))
    batch.wait(is_ready, "target", what="the Pod runs")
    options = ["--image", BUSYBOX, "--image-pull-policy=IfNotPresent", "--target=main", "-i", "-q", "-c", "shell"]
    output = batch.kubectl("debug", "target", *options, "--", "sh", stdin="sleep 1; ps; exit 3\n")
    assert "sleep 4321" in output
    assert "sleep 1234" not in output
    state = wait_for(
        lambda: container_status(batch.pods()["target"], "ephemeralContainerStatuses")["state"].get("terminated"),
        "the debugger's end is reported",
    )
    assert state["exitCode"] == 3
    assert is_ready(batch.pods()["target"])


# --- Container Runtime blackbox test: last, for its back-off takes a while --------------------------------------------


def test_container_runtime_when_starting_a_container_that_exits_should_run_with_the_expected_status(
    started: Batch,
) -> None:
    for name, (_, _, phase, restarts, ready) in POLICIES.items():
        started.wait(
            lambda pod, phase=phase, restarts=restarts: (  # type: ignore[misc]
                pod["status"]["phase"] == phase and container_status(pod)["restartCount"] == restarts
            ),
            name,
            what=f"{name}: {phase} after {restarts} restarts",
        )
        status = container_status(started.pods()[name])
        assert status["ready"] is ready
        assert ("running" if ready else "terminated") in status["state"]
