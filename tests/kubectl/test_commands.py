"""Stock kubectl, command by command, as a user types them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster import MANIFESTS, Cluster, Kubectl, wait_for

pytestmark = pytest.mark.docker
Run = Callable[..., Any]

SLEEPER = """
apiVersion: v1
kind: Pod
metadata: {name: sleeper, labels: {app: sleeper}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: busybox
      imagePullPolicy: IfNotPresent
      command: ["sh", "-c", "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done"]
"""


@pytest.fixture
def sleeper(kubectl: Run) -> str:
    """A Ready Pod that prints a line five times a second."""
    kubectl("apply", "-f", "-", stdin=SLEEPER)
    kubectl("wait", "--for=condition=Ready", "pod/sleeper", "--timeout=120s")
    return "sleeper"


@pytest.fixture
def web(kubectl: Run) -> str:
    """The rolled out Deployment of manifests/nginx.yaml."""
    kubectl("apply", "-f", str(MANIFESTS / "nginx.yaml"))
    kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    return "web"


def test_apply_twice_is_unchanged_and_create_twice_already_exists(kubectl: Run) -> None:
    manifest = str(MANIFESTS / "nginx.yaml")
    assert "pod/nginx created" in kubectl("apply", "-f", manifest).stdout
    assert kubectl("apply", "-f", manifest).stdout.splitlines() == [
        "pod/nginx unchanged",
        "deployment.apps/web unchanged",
    ]
    again = kubectl("create", "-f", manifest, check=False)
    assert again.returncode == 1
    assert "Error from server (AlreadyExists): error when creating" in again.stderr
    assert 'pods "nginx" already exists' in again.stderr
    assert 'deployments.apps "web" already exists' in again.stderr


@pytest.mark.parametrize("name", ["po", "pod", "pods", "pods.v1."])
def test_get_knows_short_singular_and_plural_names(kubectl: Run, sleeper: str, name: str) -> None:
    assert kubectl("get", name, "-o", "name").stdout == "pod/sleeper\n"


def test_get_prints_every_output_format(kubectl: Run, sleeper: str) -> None:
    assert kubectl("get", "pod", sleeper).stdout.split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert "NOMINATED NODE" in kubectl("get", "pod", sleeper, "-o", "wide").stdout
    assert kubectl("get", "pod", sleeper, "-o", "yaml").stdout.startswith("apiVersion: v1\nkind: Pod\n")
    assert json.loads(kubectl("get", "pod", sleeper, "-o", "json").stdout)["kind"] == "Pod"
    assert kubectl("get", "pod", sleeper, "-o", "jsonpath={.spec.containers[0].image}").stdout == "busybox"
    columns = kubectl("get", "pod", sleeper, "-o", "custom-columns=N:.metadata.name,I:.spec.containers[0].image")
    assert columns.stdout.split() == ["N", "I", "sleeper", "busybox"]
    assert kubectl("get", "pods", "--no-headers").stdout.split()[:3] == ["sleeper", "1/1", "Running"]


def test_get_selects_by_label_field_and_namespace(kubectl: Run, sleeper: str) -> None:
    assert kubectl("get", "pods", "-l", "app=sleeper", "-o", "name").stdout == "pod/sleeper\n"
    assert kubectl("get", "pods", "-l", "app in (a, b)", "-o", "name").stdout == ""
    assert kubectl("get", "pods", "--field-selector", "status.phase=Running", "-o", "name").stdout == "pod/sleeper\n"
    everywhere = kubectl("get", "pods", "-A", "-o", "wide").stdout
    assert everywhere.split()[0] == "NAMESPACE"
    assert "sleeper" in everywhere
    assert "No resources found" in kubectl("get", "pods", "-l", "app=none").stderr


def test_get_watch_sees_changes_as_they_happen(cluster: Cluster, namespace: str, binary: Kubectl, kubectl: Run) -> None:
    command = [binary.path, "-n", namespace, "get", "configmaps", "--watch-only", "-o", "name"]
    watch = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout
        # A watch has no sign that it began: create until it shows one.
        wait_for(lambda: _sees(watch, kubectl), "the watch shows a new ConfigMap")
    finally:
        watch.terminate()
        watch.wait()


def _sees(watch: subprocess.Popen[str], kubectl: Run) -> bool:
    import select

    kubectl("create", "configmap", "seen")
    kubectl("delete", "configmap", "seen")
    assert watch.stdout
    readable, _, _ = select.select([watch.stdout], [], [], 0)
    return bool(readable) and "configmap/seen" in watch.stdout.readline()


def test_describe_shows_the_pod_and_its_events(kubectl: Run, sleeper: str) -> None:
    # Events are written beside what they tell of.
    text = wait_for(lambda: "Started" in (text := kubectl("describe", "pod", sleeper).stdout) and text, "its Events")
    assert re.search(r"Status:\s+Running", text)
    assert re.search(r"Container ID:\s+docker://[0-9a-f]{64}", text)
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        assert re.search(rf"Normal\s+{reason}\s", text), reason
    assert "Successfully assigned" in text


def test_describe_nodes_and_deployments(kubectl: Run, web: str) -> None:
    assert re.search(r"Container Runtime Version:\s+docker://", kubectl("describe", "nodes").stdout)
    text = kubectl("describe", "deployment", web).stdout
    assert "3 desired | 3 updated | 3 total | 3 available | 0 unavailable" in text
    assert "MinimumReplicasAvailable" in text


def test_logs_with_their_options(kubectl: Run, sleeper: str) -> None:
    wait_for(lambda: "line 5" in kubectl("logs", sleeper).stdout, "six lines are logged")
    assert kubectl("logs", sleeper).stdout.startswith("line 0\nline 1\n")
    assert len(kubectl("logs", sleeper, "--tail=2").stdout.splitlines()) == 2
    stamped = kubectl("logs", sleeper, "--timestamps", "--tail=1").stdout
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) line \d+\n", stamped)
    assert len(kubectl("logs", "-l", "app=sleeper", "--tail=3").stdout.splitlines()) == 3
    assert kubectl("logs", sleeper, "--since=1h", "--limit-bytes=6").stdout == "line 0"
    missing = kubectl("logs", sleeper, "-c", "none", check=False)
    assert "container none is not valid for pod sleeper" in missing.stderr


def test_logs_of_a_previous_container_that_never_was(kubectl: Run) -> None:
    kubectl("run", "once", "--image=busybox", "--image-pull-policy=Never", "--restart=Never", "--", "echo", "done")
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/once", "--timeout=120s")
    assert kubectl("logs", "once").stdout == "done\n"
    missing = kubectl("logs", "once", "--previous", check=False)
    assert missing.returncode == 1
    assert missing.stderr == (
        'Error from server (BadRequest): previous terminated container "once" in pod "once" not found\n'
    )


def test_logs_follow_prints_what_comes_and_ends_with_the_container(
    cluster: Cluster, namespace: str, binary: Kubectl, kubectl: Run, sleeper: str
) -> None:
    command = [binary.path, "-n", namespace, "logs", "-f", sleeper]
    follow = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    assert follow.stdout
    first = [follow.stdout.readline() for _ in range(10)]
    assert first == [f"line {number}\n" for number in range(10)]
    kubectl("delete", "pod", sleeper)
    follow.stdout.read()
    assert follow.wait(timeout=120) == 0


def test_exec_passes_output_input_and_exit_code(kubectl: Run, sleeper: str) -> None:
    assert kubectl("exec", sleeper, "--", "echo", "hello").stdout == "hello\n"
    assert kubectl("exec", "-i", sleeper, "--", "cat", stdin="over stdin\n").stdout == "over stdin\n"
    failed = kubectl("exec", sleeper, "--", "sh", "-c", "echo wrong >&2; exit 7", check=False)
    assert failed.returncode == 7
    assert "wrong" in failed.stderr
    assert "command terminated with exit code 7" in failed.stderr
    missing = kubectl("exec", sleeper, "--", "no-such-program", check=False)
    assert missing.returncode != 0


def test_exec_with_a_terminal(cluster: Cluster, namespace: str, binary: Kubectl, sleeper: str) -> None:
    import os
    import pty

    leader, follower = pty.openpty()
    command = [binary.path, "-n", namespace, "exec", "-it", sleeper, "--", "sh"]
    shell = subprocess.Popen(command, env=cluster.env, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    os.write(leader, b"tty; stty size; exit 3\n")
    seen = b""
    while shell.poll() is None or b"exit" not in seen:
        try:
            seen += os.read(leader, 4096)
        except OSError:
            break
    os.close(leader)
    assert shell.wait(timeout=120) == 3
    assert b"/dev/pts/" in seen


def test_scale_rollout_history_and_undo(kubectl: Run, web: str) -> None:
    assert "deployment.apps/web scaled" in kubectl("scale", "deployment", web, "--replicas=1").stdout
    kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    ready = ("get", "deployment", web, "-o", "jsonpath={.status.readyReplicas}")
    wait_for(lambda: kubectl(*ready).stdout == "1", "one is left")
    kubectl("set", "env", "deployment/web", "COLOUR=green")
    status = kubectl("rollout", "status", "deployment/web", "--timeout=120s").stdout
    assert 'deployment "web" successfully rolled out' in status
    history = kubectl("rollout", "history", "deployment/web").stdout.splitlines()
    assert [line.split()[0] for line in history[2:] if line] == ["1", "2"]
    assert "COLOUR" in kubectl("rollout", "history", "deployment/web", "--revision=2").stdout
    assert "rolled back" in kubectl("rollout", "undo", "deployment/web").stdout
    kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    assert kubectl("get", "deployment", web, "-o", "jsonpath={.spec.template.spec.containers[0].env}").stdout == ""
    kubectl("rollout", "restart", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    kubectl("rollout", "pause", "deployment/web")
    kubectl("rollout", "resume", "deployment/web")


def test_label_annotate_patch_edit_and_replace(kubectl: Run) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=colour=red")
    assert "labeled" in kubectl("label", "configmap", "settings", "tier=front").stdout
    refused = kubectl("label", "configmap", "settings", "tier=back", check=False)
    assert "already has a value (front), and --overwrite is false" in refused.stderr
    kubectl("label", "configmap", "settings", "tier=back", "--overwrite")
    kubectl("annotate", "configmap", "settings", "note=hello")
    kubectl("patch", "configmap", "settings", "-p", '{"data":{"size":"big"}}')
    kubectl("patch", "configmap", "settings", "--type=json", "-p", '[{"op":"remove","path":"/data/colour"}]')
    found = json.loads(kubectl("get", "configmap", "settings", "-o", "json").stdout)
    assert found["metadata"]["labels"] == {"tier": "back"}
    assert found["metadata"]["annotations"] == {"note": "hello"}
    assert found["data"] == {"size": "big"}
    found["data"]["size"] = "small"
    assert "replaced" in kubectl("replace", "-f", "-", stdin=json.dumps(found)).stdout
    edited = kubectl("edit", "configmap", "settings", editor="sed -i s/small/tiny/")
    assert "edited" in edited.stdout
    assert kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.size}").stdout == "tiny"


def test_create_the_kinds_that_have_a_generator(kubectl: Run) -> None:
    kubectl("create", "deployment", "made", "--image=nginx", "--replicas=2")
    kubectl("create", "secret", "generic", "hidden", "--from-literal=key=value")
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "service", "clusterip", "made", "--tcp=80:80")
    kubectl("create", "job", "once", "--image=busybox", "--", "true")
    kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    token = kubectl("create", "token", "robot").stdout.strip()
    assert token.count(".") == 2
    assert kubectl("get", "service", "made", "-o", "jsonpath={.spec.clusterIP}").stdout.startswith("10.")
    assert kubectl("get", "deployment", "made", "-o", "jsonpath={.spec.replicas}").stdout == "2"


def test_delete_by_name_selector_and_file(kubectl: Run, sleeper: str) -> None:
    assert f'pod "{sleeper}"' in kubectl("delete", "pod", sleeper).stdout
    assert "NotFound" in kubectl("get", "pod", sleeper, check=False).stderr
    kubectl("apply", "-f", "-", stdin=SLEEPER)
    kubectl("delete", "-f", "-", stdin=SLEEPER)
    kubectl("apply", "-f", "-", stdin=SLEEPER)
    kubectl("delete", "pods", "-l", "app=sleeper", "--grace-period=0", "--force")
    assert kubectl("get", "pods", "-o", "name").stdout == ""
    assert "not found" in kubectl("delete", "pod", "nobody", check=False).stderr


def test_wait_for_conditions_json_paths_and_deletion(kubectl: Run, sleeper: str) -> None:
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/sleeper", "--timeout=120s")
    late = kubectl("wait", "--for=condition=Never", "pod/sleeper", "--timeout=1s", check=False)
    assert "timed out waiting for the condition" in late.stderr
    kubectl("delete", "pod", sleeper, "--wait=false")
    kubectl("wait", "--for=delete", "pod/sleeper", "--timeout=120s")


def test_events_are_listed(kubectl: Run, sleeper: str) -> None:
    events = ("events", "--for", "pod/sleeper")
    text = wait_for(lambda: "Started" in (text := kubectl(*events).stdout) and text, "its Events")
    assert "Scheduled" in text
    assert "Started" in kubectl("get", "events", "--sort-by=.metadata.creationTimestamp").stdout


def test_discovery_and_explain(kubectl: Run) -> None:
    resources = kubectl("api-resources").stdout
    assert re.search(r"^deployments\s+deploy\s+apps/v1\s+true\s+Deployment$", resources, re.MULTILINE)
    assert re.search(r"^pods\s+po\s+v1\s+true\s+Pod$", resources, re.MULTILINE)
    assert {"v1", "apps/v1", "batch/v1"} <= set(kubectl("api-versions").stdout.split())
    text = kubectl("explain", "pod.spec.containers.livenessProbe").stdout
    assert "FIELD: livenessProbe" in text
    assert "failureThreshold" in text
    assert "shareProcessNamespace" in kubectl("explain", "deployment.spec.template.spec", "--recursive").stdout


def test_cluster_info_and_version(cluster: Cluster, kubectl: Run) -> None:
    assert "Kubernetes control plane" in kubectl("cluster-info").stdout
    version = json.loads(kubectl("version", "-o", "json").stdout)["serverVersion"]
    assert version["gitVersion"].startswith("v1.36.")
    assert kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_nodes_and_namespaces(kubectl: Run) -> None:
    nodes = kubectl("get", "nodes").stdout
    assert re.search(r"^\S+\s+Ready\s+", nodes, re.MULTILINE)
    names = kubectl("get", "namespaces", "-o", "name").stdout.split()
    assert {f"namespace/{name}" for name in ("default", "kube-system", "kube-public", "kube-node-lease")} <= set(names)


def test_diff_and_dry_run(kubectl: Run) -> None:
    manifest = (MANIFESTS / "nginx.yaml").read_text()
    dry = kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest).stdout
    assert "pod/nginx created (server dry run)" in dry
    assert kubectl("get", "pods", "-o", "name").stdout == ""
    kubectl("apply", "-f", "-", stdin=manifest)
    changed = kubectl("diff", "-f", "-", stdin=manifest.replace("replicas: 3", "replicas: 2"), check=False)
    assert changed.returncode == 1
    assert "+  replicas: 2" in changed.stdout


def test_server_side_apply(kubectl: Run) -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owned}\ndata: {colour: red}\n"
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=manifest).stdout
    other = manifest.replace("red", "blue")
    refused = kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other, check=False)
    assert 'conflict with "kubectl": .data.colour' in refused.stderr
    kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=other)
    assert kubectl("get", "configmap", "owned", "-o", "jsonpath={.data.colour}").stdout == "blue"
