"""The conformance requirements of kubectl ([sig-cli]), each under its own name, with Pods that run."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, Kubectl, oldest_and_newest, wait_for

pytestmark = pytest.mark.docker
Run = Callable[..., Any]

IMAGE, OTHER_IMAGE = "busybox", "nginx"


@pytest.fixture
def binary() -> Kubectl:
    """The newest kubectl: the requirements are those of a server."""
    return oldest_and_newest()[-1]


def controller(name: str, replicas: int, *, image: str = OTHER_IMAGE) -> str:
    """A ReplicationController of Pods that run and print."""
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "ports": [{"containerPort": 80}]}
    pod_spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec}
    spec = {"replicas": replicas, "selector": {"app": name}, "template": template}
    return json.dumps({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name}, "spec": spec})


def running(kubectl: Run, name: str) -> list[str]:
    """The names of the controller's Pods that run and are not being deleted."""
    pods = json.loads(kubectl("get", "pods", "-l", f"app={name}", "-o", "json").stdout)["items"]
    return [
        pod["metadata"]["name"]
        for pod in pods
        if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def run_pod(kubectl: Run, name: str, *command: str) -> None:
    """`kubectl run` of a Pod that lives until it is deleted, once it is Ready."""
    overrides = '{"spec":{"terminationGracePeriodSeconds":0}}'
    options = (f"--image={IMAGE}", "--image-pull-policy=IfNotPresent", "--restart=Never", f"--overrides={overrides}")
    kubectl("run", name, *options, "--", *(command or ("sleep", "100000")))
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")


@pytest.mark.requirement(
    "[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions"
)
def test_api_versions_should_check_if_v1_is_in_available_api_versions(kubectl: Run) -> None:
    assert "v1" in kubectl("api-versions").stdout.splitlines()


@pytest.mark.requirement(
    "[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes "
    "control plane services is included in cluster-info"
)
def test_cluster_info_should_check_if_control_plane_services_is_included_in_cluster_info(kubectl: Run) -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", kubectl("cluster-info").stdout)
    assert re.search(r"^Kubernetes control plane is running at https://", text)


@pytest.mark.requirement("[sig-cli] Kubectl client Update Demo should create and stop a replication controller")
@pytest.mark.requirement("[sig-cli] Kubectl client Update Demo should scale a replication controller")
def test_update_demo_should_create_stop_and_scale_a_replication_controller(kubectl: Run) -> None:
    kubectl("create", "-f", "-", stdin=controller("demo", 2))
    wait_for(lambda: len(running(kubectl, "demo")) == 2, "two Pods run")
    for replicas in (1, 2):
        assert kubectl("scale", "rc", "demo", f"--replicas={replicas}", "--timeout=5m").stdout == (
            "replicationcontroller/demo scaled\n"
        )
        wait_for(lambda wanted=replicas: len(running(kubectl, "demo")) == wanted, "as many Pods run")
    kubectl("delete", "--grace-period=0", "--force", "-f", "-", stdin=controller("demo", 2))
    wait_for(lambda: kubectl("get", "rc,pods", "-l", "app=demo", "-o", "name").stdout == "", "nothing is left")


#: what descriptions of the objects below say
DESCRIPTIONS = {
    "pod/{pod}": (r"Name:\s+{pod}", r"Namespace:\s+{namespace}", r"Node:\s+\S", r"Labels:\s+app=primary",
                  r"Status:\s+Running", r"IP:\s+\d", r"Controlled By:\s+ReplicationController/primary",
                  r"Image:\s+nginx", r"State:\s+Running", r"QoS Class:\s+BestEffort"),
    "rc/primary": (r"Name:\s+primary", r"Namespace:\s+{namespace}", r"Selector:\s+app=primary",
                   r"Replicas:\s+1 current / 1 desired",
                   r"Pods Status:\s+1 Running / 0 Waiting / 0 Succeeded / 0 Failed",
                   r"Pod Template:", r"Image:\s+nginx", r"Events:", r"Created pod: {pod}"),
    "service/primary": (r"Name:\s+primary", r"Selector:\s+app=primary", r"Type:\s+ClusterIP", r"IP:\s+\d",
                        r"Port:\s+<unset>\s+6379/TCP", r"Endpoints:\s+\d[\d.]*:80", r"Session Affinity:\s+None"),
    "node/{node}": (r"Name:\s+{node}", r"Labels:", r"Annotations:", r"CreationTimestamp:", r"Conditions:",
                    r"LastHeartbeatTime", r"Addresses:", r"Capacity:", r"Kubelet Version:", r"{namespace}\s+{pod}"),
    "namespace/{namespace}": (r"Name:\s+{namespace}", r"Labels:", r"Annotations:", r"Status:\s+Active",
                              r"No resource quota", r"No LimitRange resource."),
}  # fmt: skip


@pytest.mark.requirement(
    "[sig-cli] Kubectl client Kubectl describe should check if kubectl describe "
    "prints relevant information for rc and pods"
)
def test_describe_should_print_relevant_information_for_rc_and_pods(kubectl: Run, namespace: str) -> None:
    kubectl("create", "-f", "-", stdin=controller("primary", 1))
    kubectl("expose", "rc", "primary", "--port=6379", "--target-port=80")
    (pod,) = wait_for(lambda: running(kubectl, "primary"), "the Pod runs")
    endpoints = ("get", "endpointslices", "-l", "kubernetes.io/service-name=primary", "-o")
    wait_for(lambda: kubectl(*endpoints, "jsonpath={.items[*].endpoints[*].addresses}").stdout, "the Service has it")
    names = {"pod": pod, "namespace": namespace}
    names["node"] = kubectl("get", "pod", pod, "-o", "jsonpath={.spec.nodeName}").stdout
    for name, patterns in DESCRIPTIONS.items():
        text, missing = "", [*patterns]

        def is_described(name: str = name, patterns: tuple[str, ...] = patterns) -> bool:
            """Events, and what controllers note, come a moment later."""
            nonlocal text, missing
            text = kubectl("describe", name.format(**names)).stdout
            missing = [pattern for pattern in patterns if not re.search(pattern.format(**names), text)]
            return not missing

        try:
            wait_for(is_described, f"{name} is described")
        except AssertionError as error:
            raise AssertionError(f"{error}: {missing} in {text}") from error


@pytest.mark.requirement(
    "[sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments"
)
def test_diff_should_check_if_kubectl_diff_finds_a_difference_for_deployments(kubectl: Run) -> None:
    kubectl("create", "deployment", "web", f"--image={OTHER_IMAGE}", "--replicas=1")
    manifest = kubectl("get", "deployment", "web", "-o", "yaml").stdout
    changed = manifest.replace(f"image: {OTHER_IMAGE}", f"image: {IMAGE}")
    found = kubectl("diff", "-f", "-", stdin=changed, check=False)
    assert found.returncode == 1
    assert re.search(rf"^-\s+- image: {OTHER_IMAGE}$", found.stdout, re.MULTILINE)
    assert re.search(rf"^\+\s+- image: {IMAGE}$", found.stdout, re.MULTILINE)


@pytest.mark.requirement("[sig-cli] Kubectl client Kubectl label should update the label on a resource")
def test_label_should_update_the_label_on_a_resource(kubectl: Run) -> None:
    run_pod(kubectl, "labelled")
    kubectl("label", "pods", "labelled", "testing-label=testing-label-value")
    assert "testing-label-value" in kubectl("get", "pod", "labelled", "-L", "testing-label").stdout
    assert kubectl("get", "pods", "-l", "testing-label", "-o", "name").stdout == "pod/labelled\n"
    kubectl("label", "pods", "labelled", "testing-label-")
    assert "testing-label-value" not in kubectl("get", "pod", "labelled", "-L", "testing-label").stdout
    assert kubectl("get", "pods", "-l", "testing-label", "-o", "name").stdout == ""


@pytest.mark.requirement("[sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc")
def test_patch_should_add_annotations_for_pods_in_rc(kubectl: Run) -> None:
    kubectl("create", "-f", "-", stdin=controller("patched", 1))
    for pod in wait_for(lambda: running(kubectl, "patched"), "the Pod runs"):
        kubectl("patch", "pod", pod, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    pods = json.loads(kubectl("get", "pods", "-l", "app=patched", "-o", "json").stdout)["items"]
    assert [pod["metadata"]["annotations"]["x"] for pod in pods] == ["y"]


@pytest.mark.requirement("[sig-cli] Kubectl client Kubectl replace should update a single-container pod's image")
def test_replace_should_update_a_single_container_pods_image(kubectl: Run) -> None:
    run_pod(kubectl, "replaced")
    pod = kubectl("get", "pod", "replaced", "-o", "json").stdout
    kubectl("replace", "-f", "-", stdin=pod.replace(f'"image": "{IMAGE}"', f'"image": "{OTHER_IMAGE}"'))
    assert kubectl("get", "pod", "replaced", "-o", "jsonpath={.spec.containers[0].image}").stdout == OTHER_IMAGE
    uid = json.loads(pod)["metadata"]["uid"]
    kubectl("replace", "--force", "-f", "-", stdin=pod)
    forced = json.loads(kubectl("get", "pod", "replaced", "-o", "json").stdout)
    assert (forced["spec"]["containers"][0]["image"], forced["metadata"]["uid"] != uid) == (IMAGE, True)


@pytest.mark.requirement(
    "[sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods"
)
def test_server_side_dry_run_should_check_if_kubectl_can_dry_run_update_pods(kubectl: Run) -> None:
    run_pod(kubectl, "dry")
    patch = json.dumps({"spec": {"containers": [{"name": "dry", "image": OTHER_IMAGE}]}})
    options = ("-o", "jsonpath={.spec.containers[0].image}")
    assert kubectl("patch", "pod", "dry", "-p", patch, "--dry-run=server", *options).stdout == OTHER_IMAGE
    assert kubectl("get", "pod", "dry", *options).stdout == IMAGE


@pytest.mark.requirement("[sig-cli] Kubectl logs logs should be able to retrieve and filter logs")
def test_logs_should_be_able_to_retrieve_and_filter_logs(kubectl: Run) -> None:
    run_pod(kubectl, "chatty", "sh", "-c", "i=0; while true; do echo line-$i; i=$((i+1)); sleep 0.1; done")
    wait_for(lambda: "line-9\n" in kubectl("logs", "chatty", "chatty").stdout, "ten lines are logged")
    assert kubectl("logs", "chatty").stdout.startswith("line-0\nline-1\n")
    assert len(kubectl("logs", "chatty", "--tail=1").stdout.splitlines()) == 1
    assert kubectl("logs", "chatty", "--limit-bytes=1").stdout == "l"
    (stamped,) = kubectl("logs", "chatty", "--tail=1", "--timestamps").stdout.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d) line-\d+", stamped)
    wait_for(lambda: int(kubectl("logs", "chatty", "--tail=1").stdout.split("-")[1]) > 20, "more lines are logged")
    recent = len(kubectl("logs", "chatty", "--since=1s").stdout.splitlines())
    older = len(kubectl("logs", "chatty", "--since=24h").stdout.splitlines())
    assert recent < older


@contextmanager
def proxy(cluster: Cluster, binary: Kubectl, *options: str) -> Iterator[str]:
    """A running `kubectl proxy`; yields the line in which it says where it listens."""
    command = [binary.path, "proxy", *options]
    process = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline()
    finally:
        process.kill()
        process.wait()


@pytest.mark.requirement("[sig-cli] Kubectl client Proxy server should support proxy with --port 0")
def test_proxy_server_should_support_proxy_with_port_0(cluster: Cluster, binary: Kubectl) -> None:
    with proxy(cluster, binary, "-p=0", "--disable-filter=true") as line:
        address = line.split()[-1]
        with urllib.request.urlopen(f"http://{address}/api/", timeout=30) as answer:
            assert json.load(answer)["versions"] == ["v1"]


@pytest.mark.requirement("[sig-cli] Kubectl client Proxy server should support --unix-socket=/path")
def test_proxy_server_should_support_unix_socket_path(
    cluster: Cluster, binary: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "proxy.sock"  # the paths of sockets are short: relative to a directory of the test's own
    monkeypatch.chdir(tmp_path)
    with proxy(cluster, binary, f"--unix-socket={path}"):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(path)
        connection.request("GET", "/api/")
        assert json.load(connection.getresponse())["versions"] == ["v1"]
        connection.close()
