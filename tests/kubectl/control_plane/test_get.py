"""`kubectl get`: every output, selection, order, paging, watching and subresource."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from control.api.builtin_kinds import BUILTIN_KINDS
from tests.cluster import Cluster, Kubectl
from tests.kubectl.output import lines, read

pytestmark = pytest.mark.kubectl_since(20)
Run = Callable[..., Any]

PODS = "".join(
    f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{tier: {tier}, size: "{size}"}}}}
spec: {{schedulerName: nobody, containers: [{{name: c, image: "image:{size}"}}, {{name: d, image: other}}]}}
"""
    for name, tier, size in (("one", "front", 3), ("two", "back", 1), ("three", "front", 2))
)


@pytest.fixture
def pods(kubectl: Run) -> None:
    """Three Pods that no scheduler takes."""
    kubectl("apply", "-f", "-", stdin=PODS)


@pytest.mark.usefixtures("pods")
def test_every_output(kubectl: Run, namespace: str) -> None:
    table = lines(kubectl("get", "pods").stdout)
    assert table[0] == "NAME READY STATUS RESTARTS AGE"
    assert [line.split()[:4] for line in table[1:]] == [
        [name, "0/2", "Pending", "0"] for name in ("one", "three", "two")
    ]
    wide = lines(kubectl("get", "pod", "one", "-o", "wide").stdout)
    assert wide[0] == "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
    assert wide[1].split()[5:] == ["<none>"] * 4
    one = read(kubectl, "pod", "one")
    assert (one["kind"], one["metadata"]["name"]) == ("Pod", "one")
    assert yaml.safe_load(kubectl("get", "pod", "one", "-o", "yaml").stdout) == one
    assert kubectl("get", "pods", "-o", "name").stdout.split() == ["pod/one", "pod/three", "pod/two"]
    path = '{range .items[*]}{.metadata.name}:{.spec.containers[?(@.name=="c")].image}{"\\n"}{end}'
    assert kubectl("get", "pods", "-o", f"jsonpath={path}").stdout == "one:image:3\nthree:image:2\ntwo:image:1\n"
    template = "{{range .items}}{{.metadata.name}} {{len .spec.containers}};{{end}}"
    assert kubectl("get", "pods", "-o", "go-template", f"--template={template}").stdout == "one 2;three 2;two 2;"
    columns = "NAME:.metadata.name,IMAGES:.spec.containers[*].image,NODE:.spec.nodeName"
    assert lines(kubectl("get", "pods", "-o", f"custom-columns={columns}").stdout) == [
        "NAME IMAGES NODE",
        "one image:3,other <none>",
        "three image:2,other <none>",
        "two image:1,other <none>",
    ]
    everywhere = lines(kubectl("get", "pods", "-A", "--field-selector", f"metadata.namespace={namespace}").stdout)
    assert everywhere[0].startswith("NAMESPACE NAME READY")
    assert len(everywhere) == 4


@pytest.mark.usefixtures("pods")
def test_columns_and_templates_from_files(kubectl: Run, tmp_path: Path) -> None:
    (tmp_path / "columns").write_text("NAME           SIZE\n.metadata.name .metadata.labels.size\n")
    assert lines(kubectl("get", "pod", "two", "-o", f"custom-columns-file={tmp_path}/columns").stdout)[1] == "two 1"
    (tmp_path / "template").write_text("{{.metadata.labels.tier}}")
    assert kubectl("get", "pod", "two", "-o", f"go-template-file={tmp_path}/template").stdout == "back"
    (tmp_path / "path").write_text("{.metadata.labels.tier}")
    assert kubectl("get", "pod", "two", "-o", f"jsonpath-file={tmp_path}/path").stdout == "back"


@pytest.mark.usefixtures("pods")
def test_selection_order_and_labels(kubectl: Run) -> None:
    def names(*options: str) -> list[str]:
        return kubectl("get", "pods", "-o", "name", *options).stdout.replace("pod/", "").split()

    assert names("--sort-by=.metadata.labels.size") == ["two", "three", "one"]
    assert names("-l", "tier=front") == ["one", "three"]
    assert names("-l", "tier!=front") == ["two"]
    assert names("-l", "size in (1,3),tier") == ["one", "two"]
    assert names("-l", "!tier") == []
    assert names("--field-selector", "metadata.name!=one,status.phase=Pending") == ["three", "two"]
    assert names("--field-selector", "spec.schedulerName=nobody", "--chunk-size=1") == ["one", "three", "two"]
    labelled = lines(kubectl("get", "pods", "-L", "tier,size", "--show-labels", "--no-headers").stdout)
    assert labelled[0].split()[5:] == ["front", "3", "size=3,tier=front"]
    wrong = kubectl("get", "pods", "--field-selector", "spec.nothing=1", check=False)
    assert 'Unable to find "/v1, Resource=pods" that match label selector "", field selector "spec.nothing=1": ' in (
        wrong.stderr
    )
    assert wrong.stderr.rstrip().endswith("field label not supported: spec.nothing")
    malformed = kubectl("get", "pods", "-l", "a=b=c", check=False)
    assert malformed.returncode == 1


def test_what_is_not_there(kubectl: Run, namespace: str) -> None:
    assert kubectl("get", "pods").stderr == f"No resources found in {namespace} namespace.\n"
    missing = kubectl("get", "pod", "nobody", check=False)
    assert (missing.returncode, missing.stderr) == (1, 'Error from server (NotFound): pods "nobody" not found\n')
    unknown = kubectl("get", "nothings", check=False)
    assert unknown.stderr == 'error: the server doesn\'t have a resource type "nothings"\n'
    assert kubectl("get", "pod", "nobody", "--ignore-not-found").stdout == ""
    raw = kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/nobody", check=False)
    assert raw.stderr.startswith("Error from server (NotFound)")


@pytest.mark.usefixtures("pods")
def test_raw_paths_managed_fields_and_files(kubectl: Run, namespace: str, tmp_path: Path) -> None:
    listed = json.loads(kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods?limit=2").stdout)
    assert (len(listed["items"]), listed["metadata"]["remainingItemCount"]) == (2, 1)
    assert "managedFields" in listed["items"][0]["metadata"]
    assert kubectl("get", "--raw", "/readyz").stdout == "ok"
    (tmp_path / "pods.yaml").write_text(PODS)
    assert len(lines(kubectl("get", "-f", str(tmp_path / "pods.yaml"), "--no-headers").stdout)) == 3


@pytest.mark.kubectl_since(27)
@pytest.mark.usefixtures("pods")
def test_managed_fields_are_shown_on_request_and_subresources(kubectl: Run) -> None:
    assert "managedFields" not in kubectl("get", "pod", "one", "-o", "yaml").stdout
    assert "managedFields" in kubectl("get", "pod", "one", "-o", "yaml", "--show-managed-fields").stdout
    status = read(kubectl, "pod", "one", "--subresource=status")
    assert status["kind"] == "Pod"
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=0")
    scale = lines(kubectl("get", "deployment", "web", "--subresource=scale").stdout)
    assert scale[0] == "NAME DESIRED AVAILABLE AGE"
    assert scale[1].split()[:3] == ["web", "0", "0"]


@pytest.mark.usefixtures("pods")
def test_a_watch_begins_with_what_is_there(cluster: Cluster, namespace: str, binary: Kubectl, kubectl: Run) -> None:
    command = [
        binary.path,
        "-n",
        namespace,
        "get",
        "pods",
        "-l",
        "tier=front",
        "-w",
        "--no-headers",
        "--output-watch-events",
    ]
    watch = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout
        read = lambda: watch.stdout.readline().split()[:2]  # type: ignore[union-attr]  # noqa: E731
        assert sorted([read(), read()]) == [["ADDED", "one"], ["ADDED", "three"]]
        kubectl("label", "pod", "two", "tier=front", "--overwrite")
        assert read() == ["ADDED", "two"], "it begins to match"
        kubectl("label", "pod", "one", "tier=back", "--overwrite")
        assert read() == ["DELETED", "one"], "it no longer matches"
    finally:
        watch.terminate()
        watch.wait()


def test_every_kind_has_a_table(kubectl: Run) -> None:
    kinds = dict.fromkeys(kind.group_resource for kind in BUILTIN_KINDS if "list" in kind.verbs)
    shown = kubectl("get", ",".join(kinds), "-A", "-o", "wide")
    # One table for all, as their kinds are mixed; each has the columns of its own kind.
    assert "Warning: v1 ComponentStatus is deprecated in v1.19+" in shown.stderr
    rows = lines(shown.stdout)
    assert "default service/kubernetes ClusterIP 10.96.0.1 <none> 443/TCP" in [row[:61].rstrip() for row in rows]
    assert any(row.startswith("clusterrole.rbac.authorization.k8s.io/admin 20") for row in rows)
