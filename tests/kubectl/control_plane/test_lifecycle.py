"""`kubectl scale`, `rollout`, `wait`, `delete`: how objects live and end."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, Kubectl, wait_for
from tests.kubectl.output import lines, read

pytestmark = pytest.mark.kubectl_since(20)
Run = Callable[..., Any]

PODS = "".join(
    f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{set: pods}}}}
spec: {{schedulerName: nobody, containers: [{{name: c, image: i}}]}}
"""
    for name in ("one", "two")
)


@pytest.fixture
def web(kubectl: Run) -> str:
    """A Deployment of no Pods whose first rollout is done."""
    kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=0")
    kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    return "deployment/web"


def test_scale_with_its_conditions(kubectl: Run, web: str) -> None:
    assert kubectl("scale", web, "--replicas=2").stdout == "deployment.apps/web scaled\n"
    wrong = kubectl("scale", web, "--current-replicas=5", "--replicas=3", check=False)
    assert "Expected replicas to be 5, was 2" in wrong.stderr
    stale = kubectl("scale", web, "--resource-version=1", "--replicas=3", check=False)
    assert stale.returncode == 1
    kubectl("scale", web, "--current-replicas=2", "--replicas=0")
    kubectl("create", "deployment", "other", "--image=nginx", "--replicas=0")
    assert sorted(lines(kubectl("scale", web, "deployment/other", "--replicas=1").stdout)) == [
        "deployment.apps/other scaled",
        "deployment.apps/web scaled",
    ]
    negative = kubectl("scale", web, "--replicas=-1", check=False)
    assert "--replicas=COUNT" in negative.stderr
    unscalable = kubectl("scale", "serviceaccount/default", "--replicas=1", check=False)
    assert "could not find the requested resource" in unscalable.stderr


def test_rollouts_are_told_paused_and_undone(kubectl: Run, web: str) -> None:
    assert kubectl("rollout", "status", web).stdout == 'deployment "web" successfully rolled out\n'
    kubectl("set", "image", web, "nginx=nginx:2")
    kubectl("rollout", "status", web, "--timeout=120s")
    assert [line.split()[0] for line in lines(kubectl("rollout", "history", web).stdout)[2:]] == ["1", "2"]
    assert "nginx:1" in kubectl("rollout", "history", web, "--revision=1").stdout
    assert kubectl("rollout", "undo", web, "--to-revision=1").stdout == "deployment.apps/web rolled back\n"
    assert kubectl("rollout", "pause", web).stdout == "deployment.apps/web paused\n"
    assert "is already paused" in kubectl("rollout", "pause", web, check=False).stderr
    refused = kubectl("rollout", "undo", web, check=False)
    assert "cannot rollback a paused deployment; resume it first" in refused.stderr.replace("you ", "")
    restart = kubectl("rollout", "restart", web, check=False)
    assert "can't restart paused deployment (run rollout resume first)" in restart.stderr
    assert kubectl("rollout", "resume", web).stdout == "deployment.apps/web resumed\n"
    assert "is not paused" in kubectl("rollout", "resume", web, check=False).stderr
    assert kubectl("rollout", "restart", web).stdout == "deployment.apps/web restarted\n"
    annotations = read(kubectl, web)["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in annotations
    missing = kubectl("rollout", "status", "deployment/nobody", check=False)
    assert missing.stderr == 'Error from server (NotFound): deployments.apps "nobody" not found\n'


def test_a_rollout_that_does_not_come_to_an_end(kubectl: Run, web: str) -> None:
    kubectl("scale", web, "--replicas=1")
    waiting = kubectl("rollout", "status", web, "--timeout=5s", check=False)
    assert waiting.returncode == 1
    assert "Waiting for deployment" in waiting.stdout
    assert "0 of 1 updated replicas are available..." in waiting.stdout or "0 out of 1 new replicas" in waiting.stdout
    assert "error: timed out waiting for the condition" in waiting.stderr
    assert "Waiting for deployment" in kubectl("rollout", "status", web, "--watch=false").stdout


def test_waiting_for_conditions(kubectl: Run, web: str) -> None:
    assert kubectl("wait", "--for=condition=Available", web, "--timeout=120s").stdout == (
        "deployment.apps/web condition met\n"
    )
    kubectl("apply", "-f", "-", stdin=PODS)
    late = kubectl("wait", "--for=condition=Ready", "pod", "-l", "set=pods", "--timeout=3s", check=False)
    assert late.returncode == 1
    assert "timed out waiting for the condition on pods/one" in late.stderr
    missing = kubectl("wait", "--for=condition=Ready", "pod/nobody", "--timeout=3s", check=False)
    assert 'pods "nobody" not found' in missing.stderr
    none = kubectl("wait", "--for=condition=Ready", "pod", "-l", "set=none", "--timeout=3s", check=False)
    assert "no matching resources found" in none.stderr


@pytest.mark.kubectl_since(27)
def test_waiting_for_values_and_deletion(
    cluster: Cluster, namespace: str, binary: Kubectl, kubectl: Run, web: str
) -> None:
    kubectl("wait", "--for=jsonpath={.spec.replicas}=0", web, "--timeout=120s")
    command = [binary.path, "-n", namespace, "wait", "--for=jsonpath={.spec.replicas}=2", web, "--timeout=120s"]
    waiting = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    kubectl("scale", web, "--replicas=2")
    output, _ = waiting.communicate(timeout=180)
    assert output == "deployment.apps/web condition met\n"
    kubectl("wait", "--for=condition=Available=False", web, "--timeout=120s")
    kubectl("delete", web, "--wait=false")
    kubectl("wait", "--for=delete", web, "--timeout=120s")
    assert kubectl("wait", "--for=delete", web, "--timeout=120s").returncode == 0, "it is gone already"


def test_deleting_by_name_label_field_and_all(kubectl: Run) -> None:
    kubectl("apply", "-f", "-", stdin=PODS)
    for name in ("a", "b"):
        kubectl("create", "configmap", name)
    assert lines(kubectl("delete", "pods", "--field-selector", "metadata.name=one").stdout)[0].startswith('pod "one"')
    assert 'pod "two" deleted' in kubectl("delete", "pods", "-l", "set=pods", "--now").stdout
    dry = kubectl("delete", "configmap", "a", "--dry-run=server").stdout
    assert dry.startswith('configmap "a" deleted')
    assert dry.rstrip().endswith("(server dry run)")
    deleted = lines(kubectl("delete", "configmaps", "a", "b").stdout)
    assert [line.split()[1] for line in deleted] == ['"a"', '"b"']
    missing = kubectl("delete", "configmap", "a", check=False)
    assert (missing.returncode, missing.stderr) == (1, 'Error from server (NotFound): configmaps "a" not found\n')
    assert kubectl("delete", "configmap", "a", "--ignore-not-found").stdout == ""
    kubectl("apply", "-f", "-", stdin=PODS)
    forced = kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    assert "Immediate deletion does not wait for confirmation" in forced.stderr
    assert read(kubectl, "pods")["items"] == []


def test_a_finalizer_holds_an_object(kubectl: Run, namespace: str) -> None:
    kubectl("create", "configmap", "held")
    kubectl("patch", "configmap", "held", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    waiting = kubectl("delete", "configmap", "held", "--timeout=3s", check=False)
    assert waiting.returncode == 1
    assert "timed out waiting for the condition on configmaps/held" in waiting.stderr
    held = read(kubectl, "configmap", "held")["metadata"]
    assert (held["finalizers"], held["deletionGracePeriodSeconds"]) == (["example.com/hold"], 0)
    path = f"/api/v1/namespaces/{namespace}/configmaps/held"
    assert json.loads(kubectl("delete", "--raw", path).stdout)["metadata"]["name"] == "held"
    more = kubectl("patch", "configmap", "held", "--type=json", "-p",
                   '[{"op":"add","path":"/metadata/finalizers/-","value":"a.example.com/b"}]', check=False)  # fmt: skip
    assert (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted" in more.stderr
    )
    kubectl("patch", "configmap", "held", "-p", '{"metadata":{"finalizers":null}}')
    assert "not found" in kubectl("get", "configmap", "held", check=False).stderr


def test_cascades(kubectl: Run, web: str) -> None:
    owned = ("replicasets", "-l", "app=web")
    assert len(read(kubectl, *owned)["items"]) == 1
    kubectl("delete", web, "--cascade=orphan")
    (orphan,) = read(kubectl, *owned)["items"]
    assert "ownerReferences" not in orphan["metadata"]
    kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=0")
    wait_for(lambda: "ownerReferences" in read(kubectl, *owned)["items"][0]["metadata"], "the orphan is adopted")
    kubectl("delete", web, "--cascade=foreground")
    assert read(kubectl, *owned)["items"] == []
    kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=0")
    kubectl("rollout", "status", web, "--timeout=120s")
    kubectl("delete", web, "--cascade=background")
    wait_for(lambda: read(kubectl, *owned)["items"] == [], "the garbage collector removes what is owned")


def test_a_namespace_takes_its_content_along(kubectl: Run, namespace: str) -> None:
    name = f"{namespace}-inner"
    kubectl("create", "namespace", name)
    kubectl("-n", name, "create", "deployment", "web", "--image=nginx", "--replicas=0")
    kubectl("-n", name, "create", "configmap", "held")
    kubectl("-n", name, "patch", "configmap", "held", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    kubectl("delete", "namespace", name, "--wait=false")
    late = kubectl("-n", name, "create", "configmap", "late", check=False)
    assert f'configmaps "late" is forbidden: unable to create new content in namespace {name} because it is being' in (
        late.stderr
    )

    def conditions() -> dict[str, str]:
        found = read(kubectl, "namespace", name)["status"].get("conditions", ())
        return {item["type"]: item["status"] for item in found}

    wait_for(lambda: conditions().get("NamespaceFinalizersRemaining") == "True", "the namespace says what holds it")
    kubectl("-n", name, "patch", "configmap", "held", "-p", '{"metadata":{"finalizers":null}}')
    gone = lambda: "not found" in kubectl("get", "namespace", name, check=False).stderr  # noqa: E731
    wait_for(gone, "the namespace is gone")


@pytest.mark.kubectl_since(27)
def test_kustomizations_are_built_compared_and_applied(kubectl: Run, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "pods.yaml").write_text(PODS)
    (tmp_path / "base" / "kustomization.yaml").write_text("resources: [pods.yaml]\n")
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [base]\n"
        "nameSuffix: -x\n"
        "images: [{name: i, newName: other, newTag: '3'}]\n"
        "configMapGenerator: [{name: settings, literals: [a=1]}]\n"
        "generatorOptions: {disableNameSuffixHash: true}\n"
    )
    built = kubectl("kustomize", str(tmp_path)).stdout
    assert built.count("image: other:3") == 2
    assert sorted(lines(kubectl("apply", "-k", str(tmp_path)).stdout)) == [
        "configmap/settings-x created",
        "pod/one-x created",
        "pod/two-x created",
    ]
    assert kubectl("diff", "-k", str(tmp_path)).stdout == ""
    assert len(read(kubectl, "-k", str(tmp_path))["items"]) == 3
    assert len(re.findall("deleted", kubectl("delete", "-k", str(tmp_path)).stdout)) == 3
