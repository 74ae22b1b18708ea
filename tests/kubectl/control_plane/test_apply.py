"""`kubectl apply` in its first form: a three-way merge by the client, with the last applied form in an annotation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubectl.output import lines, read

pytestmark = pytest.mark.kubectl_since(20)
Run = Callable[..., Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: one
          image: nginx:1
          env: [{name: A, value: "1"}, {name: B, value: "2"}]
          ports: [{containerPort: 80}]
        - {name: two, image: "busybox:1"}
"""


def config_map(name: str, **data: str) -> str:
    """A ConfigMap as JSON."""
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def test_what_leaves_the_manifest_leaves_the_object_and_nothing_else(kubectl: Run) -> None:
    assert kubectl("apply", "-f", "-", stdin=config_map("c", a="1", b="2")).stdout == "configmap/c created\n"
    kubectl("patch", "configmap", "c", "-p", '{"data":{"foreign":"3"}}')
    assert kubectl("apply", "-f", "-", stdin=config_map("c", a="9")).stdout == "configmap/c configured\n"
    assert read(kubectl, "configmap", "c")["data"] == {"a": "9", "foreign": "3"}
    assert kubectl("apply", "-f", "-", stdin=config_map("c", a="9")).stdout == "configmap/c unchanged\n"
    annotation = read(kubectl, "configmap", "c")["metadata"]["annotations"][LAST_APPLIED]
    assert json.loads(annotation)["data"] == {"a": "9"}


def test_lists_are_merged_by_their_keys(kubectl: Run) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    other = '{"spec":{"template":{"spec":{"containers":[{"name":"three","image":"busybox:3"}]}}}}'
    kubectl("patch", "deployment", "web", "-p", other)
    changed = WEB.replace('{name: B, value: "2"}', '{name: C, value: "3"}').replace("nginx:1", "nginx:2")
    kubectl("apply", "-f", "-", stdin=changed)
    spec = read(kubectl, "deployment", "web")["spec"]["template"]["spec"]
    containers = {item["name"]: item for item in spec["containers"]}
    assert sorted(containers) == ["one", "three", "two"]
    assert containers["one"]["image"] == "nginx:2"
    assert [item["name"] for item in containers["one"]["env"]] == ["A", "C"]
    without_two = "\n".join(line for line in changed.splitlines() if "name: two" not in line)
    kubectl("apply", "-f", "-", stdin=without_two)
    names = kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[*].name}").stdout
    assert sorted(names.split()) == ["one", "three"]


def test_an_object_made_otherwise_is_taken_over_with_a_warning(kubectl: Run) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    applied = kubectl("apply", "-f", "-", stdin=config_map("c", a="1"))
    assert applied.stdout == "configmap/c configured\n"
    assert f"resource configmaps/c is missing the {LAST_APPLIED} annotation which is required by" in applied.stderr
    assert kubectl("apply", "-f", "-", stdin=config_map("c", a="1")).stderr == ""


def test_immutable_fields_are_refused_and_forced(kubectl: Run) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    uid = read(kubectl, "deployment", "web")["metadata"]["uid"]
    changed = WEB.replace("app: web", "app: other")
    refused = kubectl("apply", "-f", "-", stdin=changed, check=False)
    assert refused.returncode == 1
    assert 'The Deployment "web" is invalid: ' in refused.stderr
    assert "spec.selector: Invalid value: " in refused.stderr
    assert refused.stderr.rstrip().endswith("field is immutable")
    kubectl("apply", "--force", "-f", "-", stdin=changed)
    forced = read(kubectl, "deployment", "web")
    assert forced["metadata"]["uid"] != uid
    assert forced["spec"]["selector"] == {"matchLabels": {"app": "other"}}


def test_the_last_applied_form_is_viewed_set_and_edited(kubectl: Run) -> None:
    def view(name: str) -> Any:
        return json.loads(kubectl("apply", "view-last-applied", f"configmap/{name}", "-o", "json").stdout)["data"]

    kubectl("apply", "-f", "-", stdin=config_map("c", colour="red"))
    assert view("c") == {"colour": "red"}
    kubectl("apply", "edit-last-applied", "configmap/c", editor="sed -i s/red/blue/")
    assert view("c") == {"colour": "blue"}
    assert read(kubectl, "configmap", "c")["data"] == {"colour": "red"}, "the annotation alone is edited"
    kubectl("create", "configmap", "bare", "--from-literal=a=1")
    refused = kubectl("apply", "set-last-applied", "-f", "-", stdin=config_map("bare", a="1"), check=False)
    assert "no last-applied-configuration annotation found on resource: bare" in refused.stderr
    kubectl("apply", "set-last-applied", "--create-annotation", "-f", "-", stdin=config_map("bare", a="1"))
    assert view("bare") == {"a": "1"}


def test_folders_are_applied_and_deleted(kubectl: Run, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.json").write_text(config_map("one", a="1"))
    (tmp_path / "deep" / "two.yaml").write_text(config_map("two", a="1"))
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert lines(kubectl("apply", "-f", str(tmp_path)).stdout) == ["configmap/one created"]
    assert sorted(lines(kubectl("apply", "-R", "-f", str(tmp_path)).stdout)) == [
        "configmap/one unchanged",
        "configmap/two created",
    ]
    assert kubectl("apply", "-f", str(tmp_path / "one.json"), "-o", "name").stdout == "configmap/one\n"
    listed = read(kubectl, "-R", "-f", str(tmp_path))
    assert sorted(item["metadata"]["name"] for item in listed["items"]) == ["one", "two"]
    assert len(lines(kubectl("delete", "-R", "-f", str(tmp_path)).stdout)) == 2


def test_dry_runs_change_nothing(kubectl: Run) -> None:
    kubectl("apply", "-f", "-", stdin=config_map("c", a="1"))
    manifest = config_map("c", a="2")
    client = kubectl("apply", "--dry-run=client", "-f", "-", stdin=manifest)
    assert client.stdout == "configmap/c configured (dry run)\n"
    server = kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest)
    assert server.stdout == "configmap/c configured (server dry run)\n"
    shown = json.loads(kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", stdin=manifest).stdout)
    assert shown["data"] == {"a": "2"}
    assert read(kubectl, "configmap", "c")["data"] == {"a": "1"}


@pytest.mark.kubectl_since(27)
def test_unknown_fields_are_refused_warned_of_or_ignored(kubectl: Run) -> None:
    manifest = WEB.replace("replicas: 0", "replicas: 0\n  replica: 1")
    refused = kubectl("apply", "--validate=strict", "-f", "-", stdin=manifest, check=False)
    assert refused.returncode == 1
    assert 'Deployment in version "v1" cannot be handled as a Deployment: ' in refused.stderr
    assert 'strict decoding error: unknown field "spec.replica"' in refused.stderr
    warned = kubectl("apply", "--validate=warn", "-f", "-", stdin=manifest)
    assert warned.stdout == "deployment.apps/web created\n"
    assert warned.stderr == 'Warning: unknown field "spec.replica"\n'
    ignored = kubectl("apply", "--validate=ignore", "-f", "-", stdin=manifest.replace("replica: 1", "replica: 2"))
    assert ignored.stderr == ""


@pytest.mark.kubectl_since(31)
def test_an_apply_set_prunes_what_left_it(kubectl: Run, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL_APPLYSET", "true")
    pair = yaml.dump_all(json.loads(config_map(name, a="1")) for name in ("one", "two"))
    options = ("--server-side", "--prune", "--applyset=set", "-f", "-")
    assert lines(kubectl("apply", *options, stdin=pair).stdout) == [
        "configmap/one serverside-applied",
        "configmap/two serverside-applied",
    ]
    parent = read(kubectl, "secret", "set")["metadata"]
    assert parent["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"
    identity = parent["labels"]["applyset.kubernetes.io/id"]
    member = read(kubectl, "configmap", "one")["metadata"]["labels"]
    assert member == {"applyset.kubernetes.io/part-of": identity}
    assert lines(kubectl("apply", *options, stdin=config_map("one", a="1")).stdout) == [
        "configmap/one serverside-applied",
        "configmap/two pruned",
    ]
    left = read(kubectl, "configmaps", "-l", f"applyset.kubernetes.io/part-of={identity}")["items"]
    assert [item["metadata"]["name"] for item in left] == ["one"]
