"""Requirements of sig-node on how containers begin and end: init containers, hooks, ephemeral containers."""

from __future__ import annotations

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import BUSYBOX, Batch, Object, is_finished, is_ready, make_pod, shell

pytestmark = pytest.mark.docker

IMAGE = {"image": BUSYBOX, "imagePullPolicy": "IfNotPresent"}


def serve(script: str) -> str:
    """A web server whose /cgi-bin/call runs the script; it serves what is below /tmp/www."""
    program = "/tmp/www/cgi-bin/call"
    start = f"mkdir -p /tmp/www/cgi-bin; cat > {program} <<'END'\n#!/bin/sh\necho\n{script}\nEND\n"
    return f"{start}chmod +x {program}; touch /tmp/www/calls; exec httpd -f -p 8080 -h /tmp/www"


NOTE = 'echo "$QUERY_STRING$(test "$REQUEST_METHOD" != POST || cat) $HTTP_X_TEST" >> /tmp/www/calls'
SERVER = make_pod(
    "server",
    shell(serve(NOTE), ports=[{"containerPort": 8080}], readinessProbe={"tcpSocket": {"port": 8080}}),
)
TARGET = make_pod("target", shell("exec sleep 10000"))


@pytest.fixture(scope="module")
def started(batch: Batch) -> Batch:
    """The Pods of this module, created before anything is waited for."""
    terminated = [make_pod(name, container) for name, container, _, _ in TERMINATIONS.values()]
    batch.create(SERVER, TARGET, HOSTS, HOSTS_OF_THE_NODE, *terminated)
    return batch


# --- termination messages ---------------------------------------------------------------------------------------------

BLACKBOX = "[sig-node] Container Runtime blackbox test on terminated container should report termination message "
CUSTOM = {"terminationMessagePath": "/dev/termination-custom-log", "securityContext": {"runAsUser": 10000}}
FALLBACK = {"terminationMessagePolicy": "FallbackToLogsOnError"}
#: requirement → name of the Pod, its container, its phase in the end, its message
TERMINATIONS: dict[str, tuple[str, Object, str, str]] = {
    BLACKBOX + "if TerminationMessagePath is set as non-root user and at a non-default path": (
        "message-of-a-user",
        shell("echo -n DONE > /dev/termination-custom-log", **CUSTOM),
        "Succeeded",
        "DONE",
    ),
    BLACKBOX + "from log output if TerminationMessagePolicy FallbackToLogsOnError is set": (
        "message-of-the-log",
        shell("echo -n DONE; exit 1", **FALLBACK),
        "Failed",
        "DONE",
    ),
    BLACKBOX + "as empty when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set": (
        "no-message",
        shell("echo -n DONE", **FALLBACK),
        "Succeeded",
        "",
    ),
    BLACKBOX + "from file when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set": (
        "message-of-the-file",
        shell("echo -n OK > /dev/termination-log; echo DONE", **FALLBACK),
        "Succeeded",
        "OK",
    ),
}


@pytest.mark.parametrize("requirement", TERMINATIONS)
def test_container_runtime_on_terminated_container_should_report_termination_message(
    started: Batch, requirement: str
) -> None:
    name, _, phase, message = TERMINATIONS[requirement]
    started.wait(is_finished, name, what="the Pod has ended")
    status = started.pod(name)["status"]
    (container,) = status["containerStatuses"]
    assert (status["phase"], container["state"]["terminated"].get("message", "")) == (phase, message)


# --- /etc/hosts -------------------------------------------------------------------------------------------------------

MOUNT = {"volumeMounts": [{"name": "hosts", "mountPath": "/etc/hosts"}]}
HOST_FILE = [{"name": "hosts", "hostPath": {"path": "/etc/hosts", "type": "File"}}]
PRINT = shell("cat /etc/hosts")
HOSTS = make_pod("hosts", PRINT, PRINT, PRINT | MOUNT, volumes=HOST_FILE)
HOSTS_OF_THE_NODE = make_pod("hosts-of-the-node", PRINT, hostNetwork=True)


@pytest.mark.requirement("[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file")
def test_kubelet_managed_etc_hosts_should_test_kubelet_managed_etc_hosts_file(started: Batch) -> None:
    started.wait(is_finished, "hosts", "hosts-of-the-node", what="the Pods have ended")
    printed = {
        (pod, container): started.api.text(started.path(f"pods/{pod}/log"), container=container)
        for pod, container in (("hosts", "main"), ("hosts", "c1"), ("hosts", "c2"), ("hosts-of-the-node", "main"))
    }
    managed = {key for key, text in printed.items() if text.startswith("# Kubernetes-managed hosts file.")}
    assert managed == {("hosts", "main"), ("hosts", "c1")}


# --- hooks ------------------------------------------------------------------------------------------------------------

#: requirement → name of the Pod, its hook, what the server hears of it and when
HOOKS: dict[str, tuple[str, str, str]] = {
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart exec hook "
    "properly": ("poststart-exec", "postStart", "poststart-exec"),
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop exec hook "
    "properly": ("prestop-exec", "preStop", "prestop-exec"),
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop http hook "
    "properly": ("prestop-http", "preStop", "prestop-http header"),
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart http hook "
    "properly": ("poststart-http", "postStart", "poststart-http header"),
    "[sig-node] PreStop should call prestop when killing a pod": ("tester", "preStop", '{"Source": "prestop"}'),
}


def hooked_pods(address: str) -> list[Object]:
    """The Pods with hooks that call the server."""
    url = f"http://{address}:8080/cgi-bin/call"

    def call(*arguments: str) -> Object:
        return {"exec": {"command": ["wget", "-q", "-O", "-", *arguments]}}

    # The hook calls its own Pod's sidecar, which lives until the hook is done and tells the server.
    relay = f'wget -q -O - --header "X-Test: $HTTP_X_TEST" "{url}?$QUERY_STRING"'
    probe = {"httpGet": {"port": 8080, "path": "/calls"}, "periodSeconds": 1, "failureThreshold": 100}
    sidecar = {"name": "relay", **IMAGE, **shell(serve(relay)), "restartPolicy": "Always", "startupProbe": probe}
    headers = [{"name": "X-Test", "value": "header"}]
    handlers = {
        "poststart-exec": call(f"{url}?poststart-exec"),
        "prestop-exec": call(f"{url}?prestop-exec"),
        "prestop-http": {"httpGet": {"port": 8080, "path": "/cgi-bin/call?prestop-http", "httpHeaders": headers}},
        "poststart-http": {"httpGet": {"port": 8080, "path": "/cgi-bin/call?poststart-http", "httpHeaders": headers}},
        "tester": call('--post-data={"Source": "prestop"}', url),
    }
    pods = []
    for name, kind, _ in HOOKS.values():
        spec = {"initContainers": [sidecar]} if name.endswith("-http") else {}
        container = shell("exec sleep 600", lifecycle={kind: handlers[name]})
        pods.append(make_pod(name, container, terminationGracePeriodSeconds=30, **spec))
    return pods


@pytest.fixture(scope="module")
def calls(started: Batch) -> tuple[list[str], list[str]]:
    """What the server has heard when the Pods with hooks run, and when they are gone."""

    def heard() -> list[str]:
        # Through the API server, as upstream's test asks its server.
        return [line.strip() for line in started.api.text(started.path("pods/server/proxy/calls")).splitlines()]

    started.wait(is_ready, "server", what="the server is ready")
    pods = hooked_pods(started.pod("server")["status"]["podIP"])
    names = [pod["metadata"]["name"] for pod in pods]
    started.create(*pods)
    started.wait(is_ready, *names, what="the Pods with hooks run")
    running = heard()
    started.kubectl("delete", "pod", "--grace-period=15", *names)
    assert not set(names) & set(started.pods())
    return running, heard()


@pytest.mark.parametrize("requirement", HOOKS)
def test_a_hook_calls_a_server(calls: tuple[list[str], list[str]], requirement: str) -> None:
    (running, gone), (_, kind, call) = calls, HOOKS[requirement]
    assert running.count(call) == (1 if kind == "postStart" else 0)
    assert gone.count(call) == 1


# --- Ephemeral Containers ---------------------------------------------------------------------------------------------


def add_ephemeral(batch: Batch, pod: str, *containers: Object) -> None:
    body = {"spec": {"ephemeralContainers": list(containers)}}
    batch.api.patch(batch.path(f"pods/{pod}/ephemeralcontainers"), body)


def running_debuggers(pod: Object) -> list[str]:
    statuses = pod["status"].get("ephemeralContainerStatuses") or ()
    return [item["name"] for item in statuses if "running" in item["state"]]


@pytest.fixture(scope="module")
def debugged(started: Batch) -> Batch:
    """The target with an ephemeral container that runs."""
    started.wait(is_ready, "target", what="the target runs")
    assert started.pod("target")["metadata"]["generation"] == 1
    debugger = {"name": "debugger", **IMAGE, **shell("while true; do echo polo; sleep 2; done")}
    add_ephemeral(started, "target", debugger | {"stdin": True, "tty": True})
    started.wait(lambda pod: running_debuggers(pod) == ["debugger"], "target", what="the debugger runs")
    assert started.pod("target")["metadata"]["generation"] == 2
    return started


@pytest.mark.requirement(
    "[sig-node] Ephemeral Containers [NodeConformance] will start an ephemeral container in an existing pod"
)
def test_ephemeral_containers_will_start_an_ephemeral_container_in_an_existing_pod(debugged: Batch) -> None:
    assert is_ready(debugged.pod("target"))
    assert debugged.kubectl("exec", "target", "-c", "debugger", "--", "/bin/echo", "marco") == "marco\n"
    wait_for(lambda: "polo" in debugged.logs("target", "-c", "debugger"), "it has printed")


@pytest.mark.requirement(
    "[sig-node] Ephemeral Containers [NodeConformance] should update the ephemeral containers in an existing pod"
)
def test_ephemeral_containers_should_update_the_ephemeral_containers_in_an_existing_pod(debugged: Batch) -> None:
    path = debugged.path("pods/target/ephemeralcontainers")
    pod = debugged.api.get(path)
    assert len(pod["spec"]["ephemeralContainers"]) == 1
    second = {"name": "debugger2", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", **shell("sleep 1000")}
    pod["spec"]["ephemeralContainers"].append(second | {"terminationMessagePolicy": "File"})
    debugged.api.update(path, pod)
    names = [item["name"] for item in debugged.api.get(path)["spec"]["ephemeralContainers"]]
    assert names == ["debugger", "debugger2"]
    debugged.wait(lambda pod: running_debuggers(pod) == names, "target", what="both debuggers run")


def test_kubectl_debug_attaches_a_shell_to_the_processes_of_a_container(started: Batch) -> None:
    batch = started
    batch.create(make_pod("two", shell("exec sleep 4321"), shell("exec sleep 1234"), shareProcessNamespace=False))
    batch.wait(is_ready, "two", what="the Pod runs")
    options = ["--image", BUSYBOX, "--image-pull-policy=IfNotPresent", "--target=main", "-i", "-q", "-c", "shell"]
    output = batch.kubectl("debug", "two", *options, "--", "sh", stdin="sleep 1; ps; exit 3\n")
    assert "sleep 4321" in output
    assert "sleep 1234" not in output
    state = wait_for(
        lambda: batch.pod("two")["status"]["ephemeralContainerStatuses"][0]["state"].get("terminated"),
        "the debugger's end is reported",
    )
    assert state["exitCode"] == 3
    assert is_ready(batch.pod("two"))
