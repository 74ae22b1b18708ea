"""`kubectl patch`, `edit`, `label`, `annotate`, `replace`, `diff` and `set`: every way to change what exists."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kubectl.output import lines, read

pytestmark = pytest.mark.kubectl_since(20)
Run = Callable[..., Any]

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: one, image: "nginx:1"}
        - {name: two, image: "busybox:1"}
"""


@pytest.fixture
def web(kubectl: Run) -> str:
    """A Deployment of no Pods with two containers."""
    kubectl("apply", "-f", "-", stdin=WEB)
    return "deployment/web"


def containers(kubectl: Run, name: str) -> dict[str, Any]:
    """The containers of a workload's template by name."""
    return {item["name"]: item for item in read(kubectl, name)["spec"]["template"]["spec"]["containers"]}


def test_every_type_of_patch(kubectl: Run, web: str, tmp_path: Path) -> None:
    strategic = '{"spec":{"template":{"spec":{"containers":[{"name":"two","image":"busybox:2"}]}}}}'
    assert kubectl("patch", web, "-p", strategic).stdout == "deployment.apps/web patched\n"
    assert [item["image"] for item in containers(kubectl, web).values()] == ["nginx:1", "busybox:2"]
    assert kubectl("patch", web, "-p", strategic).stdout == "deployment.apps/web patched (no change)\n"
    delete = '{"spec":{"template":{"spec":{"containers":[{"name":"two","$patch":"delete"}]}}}}'
    kubectl("patch", web, "-p", delete)
    assert list(containers(kubectl, web)) == ["one"]
    merge = '{"spec":{"template":{"spec":{"containers":[{"name":"only","image":"x"}]}}}}'
    kubectl("patch", web, "--type=merge", "-p", merge)
    assert list(containers(kubectl, web)) == ["only"], "a merge patch replaces lists"
    operations = [
        {"op": "test", "path": "/spec/replicas", "value": 0},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "y"},
        {"op": "add", "path": "/metadata/labels/a~1b", "value": "c"},
    ]
    kubectl("patch", web, "--type=json", "-p", json.dumps(operations))
    assert containers(kubectl, web)["only"]["image"] == "y"
    assert read(kubectl, web)["metadata"]["labels"]["a/b"] == "c"
    failed = kubectl(
        "patch", web, "--type=json", "-p", '[{"op":"test","path":"/spec/replicas","value":5}]', check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("The request is invalid")
    shown = kubectl(
        "patch", web, "--dry-run=server", "-p", '{"spec":{"replicas":3}}', "-o", "jsonpath={.spec.replicas}"
    )
    assert shown.stdout == "3"
    assert read(kubectl, web)["spec"]["replicas"] == 0


def test_patches_that_cannot_be(kubectl: Run, web: str) -> None:
    invalid = kubectl("patch", web, "-p", '{"spec":{"replicas":-1}}', check=False)
    assert invalid.stderr == (
        'The Deployment "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0\n'
    )
    wrong = kubectl("patch", web, "-p", '{"spec":{"replicas":"many"}}', check=False)
    assert wrong.returncode == 1
    malformed = kubectl("patch", web, "-p", "{oops", check=False)
    assert malformed.returncode == 1
    assert "error" in malformed.stderr.lower()
    missing = kubectl("patch", "deployment/nobody", "-p", "{}", check=False)
    assert missing.stderr == 'Error from server (NotFound): deployments.apps "nobody" not found\n'


@pytest.mark.kubectl_since(27)
def test_patch_files_and_subresources(kubectl: Run, web: str, tmp_path: Path) -> None:
    (tmp_path / "patch.yaml").write_text("spec:\n  minReadySeconds: 5\n")
    kubectl("patch", web, f"--patch-file={tmp_path}/patch.yaml")
    assert read(kubectl, web)["spec"]["minReadySeconds"] == 5
    kubectl("patch", web, "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":0}}')
    kubectl("patch", web, "--subresource=status", "-p", '{"status":{"collisionCount":3}}')
    assert read(kubectl, web)["status"]["collisionCount"] == 3
    unchanged = kubectl("patch", web, "--subresource=status", "-p", '{"spec":{"minReadySeconds":9}}').stdout
    assert unchanged == "deployment.apps/web patched (no change)\n"


def test_edit_changes_refuses_and_asks_again(kubectl: Run, web: str, tmp_path: Path) -> None:
    assert kubectl("edit", web, editor="sed -i s/nginx:1/nginx:2/").stdout == "deployment.apps/web edited\n"
    assert containers(kubectl, web)["one"]["image"] == "nginx:2"
    same = kubectl("edit", web, editor="true", check=False)
    assert "Edit cancelled, no changes made." in same.stdout + same.stderr
    invalid = kubectl("edit", web, editor="sed -i s/replicas:.*/replicas:\\ -1/", check=False)
    assert invalid.returncode == 1
    # It opens the editor again with the reason; nothing is changed there, so it gives up.
    assert invalid.stderr.startswith('error: deployments.apps "web" is invalid\n')
    assert "error: Edit cancelled, no valid changes were saved." in invalid.stderr
    kubectl("edit", web, "-o", "json", "--save-config", editor="sed -i s/nginx:2/nginx:3/")
    item = read(kubectl, web)
    assert item["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:3"
    assert "nginx:3" in item["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]


def test_replace_sends_the_whole_object(kubectl: Run, web: str) -> None:
    item = read(kubectl, web)
    item["metadata"]["labels"] = {"new": "label"}
    assert kubectl("replace", "-f", "-", stdin=json.dumps(item)).stdout == "deployment.apps/web replaced\n"
    assert read(kubectl, web)["metadata"]["labels"] == {"new": "label"}
    stale = kubectl("replace", "-f", "-", stdin=json.dumps(item), check=False)
    assert stale.stderr == (
        'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on '
        'deployments.apps "web": the object has been modified; please apply your changes to the latest version and '
        "try again\n"
    )
    missing = kubectl("replace", "-f", "-", stdin=WEB.replace("name: web,", "name: nobody,"), check=False)
    assert missing.stderr == (
        'Error from server (NotFound): error when replacing "STDIN": deployments.apps "nobody" not found\n'
    )
    uid = item["metadata"]["uid"]
    assert lines(kubectl("replace", "--force", "-f", "-", stdin=WEB).stdout)[-1] == "deployment.apps/web replaced"
    assert read(kubectl, web)["metadata"]["uid"] != uid


def test_diff_by_client_and_server(kubectl: Run, web: str) -> None:
    assert kubectl("diff", "-f", "-", stdin=WEB).stdout == ""
    changed = kubectl("diff", "-f", "-", stdin=WEB.replace("nginx:1", "nginx:2"), check=False)
    assert changed.returncode == 1
    assert "-      - image: nginx:1\n+      - image: nginx:2\n" in changed.stdout
    new = kubectl("diff", "-f", "-", stdin=WEB.replace("name: web,", "name: new,"), check=False)
    assert new.returncode == 1
    assert "+  name: new\n" in new.stdout
    invalid = kubectl("diff", "-f", "-", stdin=WEB.replace("replicas: 0", "replicas: -1"), check=False)
    assert invalid.returncode > 1
    assert "spec.replicas: Invalid value: -1" in invalid.stderr
    assert read(kubectl, web)["spec"]["replicas"] == 0
    server = kubectl("diff", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-",
                     stdin=WEB.replace("nginx:1", "nginx:3"), check=False)  # fmt: skip
    assert server.returncode == 1
    assert "+      - image: nginx:3\n" in server.stdout


def test_set_changes_parts_of_the_template(kubectl: Run, web: str) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=SIZE=big", "--from-literal=COLOUR=red")
    assert kubectl("set", "image", web, "one=nginx:2", "two=busybox:2").stdout == "deployment.apps/web image updated\n"
    unknown = kubectl("set", "image", web, "three=x", check=False)
    assert 'unable to find container named "three"' in unknown.stderr
    kubectl("set", "image", web, "*=same:1")
    assert {item["image"] for item in containers(kubectl, web).values()} == {"same:1"}
    assert kubectl("set", "env", web, "A=1", "B=2", "-c", "one").stdout == "deployment.apps/web env updated\n"
    kubectl("set", "env", web, "--from=configmap/settings", "--prefix=S_", "-c", "two")
    kubectl("set", "env", web, "B-", "-c", "one")
    found = containers(kubectl, web)
    assert found["one"]["env"] == [{"name": "A", "value": "1"}]
    reference = {"configMapKeyRef": {"name": "settings", "key": "SIZE"}}
    assert {"name": "S_SIZE", "valueFrom": reference} in found["two"]["env"]
    listed = lines(kubectl("set", "env", web, "--list", "--resolve").stdout)
    assert "A=1" in listed
    assert "S_SIZE=big" in listed
    kubectl("set", "resources", web, "-c=one", "--limits=cpu=200m,memory=64Mi", "--requests=cpu=100m")
    assert containers(kubectl, web)["one"]["resources"] == {
        "limits": {"cpu": "200m", "memory": "64Mi"},
        "requests": {"cpu": "100m"},
    }
    wrong = kubectl("set", "resources", web, "-c=one", "--requests=cpu=300m", check=False)
    assert "must be less than or equal to cpu limit of 200m" in wrong.stderr
    assert kubectl("set", "serviceaccount", web, "robot").stdout == "deployment.apps/web serviceaccount updated\n"
    assert read(kubectl, web)["spec"]["template"]["spec"]["serviceAccountName"] == "robot"


def test_set_selector_and_subject(kubectl: Run, namespace: str) -> None:
    kubectl("create", "service", "clusterip", "web", "--tcp=80")
    assert kubectl("set", "selector", "service/web", "app=other,tier=x").stdout == "service/web selector updated\n"
    assert read(kubectl, "service/web")["spec"]["selector"] == {"app": "other", "tier": "x"}
    kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "b", "--role=r", "--user=ann")
    kubectl("set", "subject", "rolebinding", "b", "--user=bob", f"--serviceaccount={namespace}:robot")
    assert [item["name"] for item in read(kubectl, "rolebinding/b")["subjects"]] == ["ann", "bob", "robot"]


def test_labels_and_annotations(kubectl: Run) -> None:
    for name in ("one", "two"):
        kubectl("create", "configmap", name)
    selected = ("configmaps", "--field-selector", "metadata.name!=kube-root-ca.crt")
    assert sorted(lines(kubectl("label", *selected, "set=all").stdout)) == [
        "configmap/one labeled",
        "configmap/two labeled",
    ]
    kubectl("label", "configmaps", "-l", "set=all", "tier=x")
    assert sorted(kubectl("label", "configmap", "one", "--list").stdout.split()) == ["set=all", "tier=x"]
    refused = kubectl("label", "configmap", "one", "tier=y", check=False)
    assert "'tier' already has a value (x), and --overwrite is false" in refused.stderr
    conflict = kubectl("label", "configmap", "one", "tier=y", "--overwrite", "--resource-version=1", check=False)
    assert "the object has been modified" in conflict.stderr
    kubectl("annotate", "configmaps", "-l", "set=all", "note=two words")
    assert read(kubectl, "configmap/two")["metadata"]["annotations"] == {"note": "two words"}
    kubectl("annotate", "configmap", "two", "note-")
    assert "annotations" not in read(kubectl, "configmap/two")["metadata"]
    long = kubectl("label", "configmap", "one", f"tier={'x' * 64}", "--overwrite", check=False)
    assert "must be no more than 63" in long.stderr
