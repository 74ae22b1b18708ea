"""More of kubectl, command by command, on objects that cost no containers: each test stays within seconds."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, Kubectl, wait_for
from tests.kubectl.output import lines, read

pytestmark = pytest.mark.kubectl_since(31)
Run = Callable[..., Any]

PAIR = """
apiVersion: v1
kind: ConfigMap
metadata: {name: first, labels: {set: pair}}
data: {colour: red}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: second, labels: {set: pair}}
"""
FIRST = PAIR.partition("---")[0]


@pytest.fixture
def web(kubectl: Run) -> str:
    """A Deployment of no Pods: it has revisions, ReplicaSets and a rollout status, and costs no container."""
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=0", "--port=80")
    kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    return "web"


def test_manifests_of_several_documents_are_created_pruned_and_replaced(kubectl: Run, tmp_path: Path) -> None:
    manifest = tmp_path / "pair.yaml"
    manifest.write_text(PAIR)
    assert lines(kubectl("apply", "-f", str(manifest)).stdout) == [
        "configmap/first created",
        "configmap/second created",
    ]
    again = kubectl("create", "-f", str(manifest), check=False)
    assert again.returncode == 1
    for name in ("first", "second"):
        assert (
            f'Error from server (AlreadyExists): error when creating "{manifest}": configmaps "{name}" already exists'
            in again.stderr
        )
    manifest.write_text(FIRST)
    pruned = kubectl("apply", "--prune", "-l", "set=pair", "-f", str(manifest)).stdout
    assert lines(pruned) == ["configmap/first unchanged", "configmap/second pruned"]
    uid = kubectl("get", "configmap", "first", "-o", "jsonpath={.metadata.uid}").stdout
    replaced = lines(kubectl("replace", "--force", "-f", str(manifest)).stdout)
    assert replaced[0].startswith('configmap "first" deleted')
    assert replaced[1:] == ["configmap/first replaced"]
    assert kubectl("get", "configmap", "first", "-o", "jsonpath={.metadata.uid}").stdout != uid
    assert lines(kubectl("delete", "-f", str(manifest)).stdout)[0].startswith('configmap "first" deleted')
    missing = kubectl("delete", "-f", str(manifest), check=False)
    assert (
        f'Error from server (NotFound): error when deleting "{manifest}": configmaps "first" not found'
        in missing.stderr
    )
    assert kubectl("delete", "-f", str(manifest), "--ignore-not-found").stdout == ""


def test_apply_takes_a_kustomization(kubectl: Run, tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(FIRST)
    generator = "configMapGenerator: [{name: made, literals: [size=big]}]"
    (tmp_path / "kustomization.yaml").write_text(f"namePrefix: one-\nresources: [first.yaml]\n{generator}\n")
    created = lines(kubectl("apply", "-k", str(tmp_path)).stdout)
    assert created[0] == "configmap/one-first created"
    assert re.fullmatch(r"configmap/one-made-[0-9a-z]{10} created", created[1])
    assert all(line.endswith(" unchanged") for line in lines(kubectl("apply", "-k", str(tmp_path)).stdout))
    kubectl("delete", "-k", str(tmp_path))


def test_labels_and_annotations_are_changed_and_removed(kubectl: Run) -> None:
    kubectl("create", "configmap", "first")
    assert kubectl("annotate", "configmap", "first", "note=1").stdout == "configmap/first annotated\n"
    refused = kubectl("annotate", "configmap", "first", "note=2", check=False)
    assert "--overwrite is false but found the following declared annotation(s): 'note' already has a value (1)" in (
        refused.stderr
    )
    kubectl("annotate", "configmap", "first", "note=2", "--overwrite")
    kubectl("label", "configmap", "first", "tier=front")
    assert lines(kubectl("get", "configmaps", "-l", "tier", "--show-labels", "--no-headers").stdout)[0].endswith(
        " tier=front"
    )
    assert lines(kubectl("get", "configmaps", "-L", "tier").stdout)[0] == "NAME DATA AGE TIER"
    assert kubectl("label", "configmap", "first", "tier-").stdout == "configmap/first unlabeled\n"
    assert 'label "tier" not found.' in kubectl("label", "configmap", "first", "tier-").stdout
    invalid = kubectl("label", "configmap", "first", "tier=not valid", check=False)
    assert "a valid label must be an empty string or consist of alphanumeric characters" in invalid.stderr
    found = read(kubectl, "configmap", "first")["metadata"]
    assert found["annotations"] == {"note": "2"}
    assert "labels" not in found


def test_output_is_sorted_and_put_through_templates(kubectl: Run) -> None:
    for name, size in (("b", "1"), ("c", "2"), ("a", "3")):
        kubectl("create", "configmap", name, f"--from-literal=size={size}")
    chosen = "metadata.name!=kube-root-ca.crt"
    names = kubectl("get", "configmaps", "--field-selector", chosen, "--sort-by=.data.size", "-o", "name").stdout
    assert names.split() == ["configmap/b", "configmap/c", "configmap/a"]
    template = '{{range .items}}{{.metadata.name}}={{.data.size}}{{"\\n"}}{{end}}'
    assert kubectl("get", "configmaps", "--field-selector", chosen, "-o", f"go-template={template}").stdout == (
        "a=3\nb=1\nc=2\n"
    )
    listed = read(kubectl, "configmaps", "a", "b")
    assert (listed["kind"], [item["metadata"]["name"] for item in listed["items"]]) == ("List", ["a", "b"])
    several = kubectl("get", "configmap/a", "serviceaccount/default", "-o", "name").stdout
    assert several.split() == ["configmap/a", "serviceaccount/default"]
    ignored = kubectl("get", "configmap", "a", "nobody", "--ignore-not-found", "-o", "name").stdout
    assert ignored == "configmap/a\n"


def test_watches_tell_what_happened(cluster: Cluster, namespace: str, binary: Kubectl, kubectl: Run) -> None:
    kubectl("create", "configmap", "first")
    command = [binary.path, "-n", namespace, "get", "configmap", "first", "-w", "--output-watch-events", "--no-headers"]
    watch = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout
        assert watch.stdout.readline().split()[:2] == ["ADDED", "first"]
        kubectl("patch", "configmap", "first", "-p", '{"data":{"a":"b"}}')
        assert watch.stdout.readline().split()[:3] == ["MODIFIED", "first", "1"]
        kubectl("delete", "configmap", "first")
        assert watch.stdout.readline().split()[:2] == ["DELETED", "first"]
    finally:
        watch.terminate()
        watch.wait()


def test_get_all_shows_the_kinds_of_the_category(kubectl: Run, web: str) -> None:
    kubectl("expose", "deployment", web)
    kubectl("autoscale", "deployment", web, "--min=1", "--max=3", "--cpu-percent=50")
    found = kubectl("get", "all", "-o", "name").stdout.split()
    assert found[:2] == ["service/web", "deployment.apps/web"]
    assert found[2].startswith("replicaset.apps/web-")
    assert found[3:] == ["horizontalpodautoscaler.autoscaling/web"]
    service = read(kubectl, "service", web)["spec"]
    assert service["selector"] == {"app": "web"}
    assert [(item["port"], item["protocol"], item["targetPort"]) for item in service["ports"]] == [(80, "TCP", 80)]
    assert re.search(r"^web\s+Deployment/web\s+(cpu: )?<unknown>/50%\s+1\s+3\s+0\s", kubectl("get", "hpa").stdout, re.M)
    kubectl("delete", "all", "--all")
    assert kubectl("get", "all").stderr.startswith("No resources found in ")


def test_set_changes_the_template_and_undo_goes_back_to_a_revision(kubectl: Run, web: str) -> None:
    target = f"deployment/{web}"
    assert kubectl("set", "image", target, "nginx=nginx:2").stdout == "deployment.apps/web image updated\n"
    kubectl("rollout", "status", target, "--timeout=120s")
    limits = kubectl("set", "resources", target, "--limits=cpu=200m,memory=64Mi", "--requests=cpu=100m")
    assert limits.stdout == "deployment.apps/web resource requirements updated\n"
    kubectl("rollout", "status", target, "--timeout=120s")
    assert kubectl("set", "serviceaccount", target, "robot").stdout == "deployment.apps/web serviceaccount updated\n"
    kubectl("rollout", "status", target, "--timeout=120s")
    kubectl("annotate", target, "kubernetes.io/change-cause=by hand")

    def causes() -> list[list[str]]:
        return [line.split(" ", 1) for line in lines(kubectl("rollout", "history", target).stdout)[2:]]

    wait_for(lambda: causes()[-1] == ["4", "by hand"], "the newest revision takes the cause of its Deployment over")
    assert [number for number, _ in causes()] == ["1", "2", "3", "4"]
    revision = kubectl("rollout", "history", target, "--revision=3").stdout
    assert revision.startswith("deployment.apps/web with revision #3\nPod Template:\n")
    assert re.search(r"Image:\s+nginx:2\n.*Limits:\n\s+cpu:\s+200m\n\s+memory:\s+64Mi\n", revision, re.DOTALL)
    assert kubectl("rollout", "undo", target, "--to-revision=1").stdout == "deployment.apps/web rolled back\n"
    kubectl("rollout", "status", target, "--timeout=120s")
    container = read(kubectl, target)["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["resources"]) == ("nginx", {})
    assert [number for number, _ in causes()] == ["2", "3", "4", "5"]
    gone = kubectl("rollout", "undo", target, "--to-revision=1", check=False)
    assert "unable to find specified revision 1 in history" in gone.stderr
    skipped = kubectl("rollout", "undo", target).stdout
    assert skipped == "deployment.apps/web rolled back\n"


def test_subresources_are_read_and_patched(kubectl: Run, web: str) -> None:
    target = f"deployment/{web}"
    scale = read(kubectl, target, "--subresource=scale")
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {}, "app=web")
    body = '{"spec":{"replicas":0,"paused":true},"metadata":{"labels":{"x":"y"}}}'
    patched = kubectl("patch", target, "--subresource=scale", "--type=merge", "-p", body)
    assert patched.stdout.split()[0] == "scale.autoscaling/web"
    condition = '{"status":{"conditions":[{"type":"Odd","status":"True"}]},"spec":{"paused":true}}'
    assert "deployment.apps/web patched" in kubectl("patch", target, "--subresource=status", "-p", condition).stdout
    kubectl("wait", "--for=condition=Odd", target, "--timeout=120s")
    found = read(kubectl, target)
    assert "paused" not in found["spec"]
    assert "x" not in found["metadata"].get("labels", {})


def test_delete_cascades_as_asked(kubectl: Run, web: str) -> None:
    owned = ("get", "replicasets", "-l", "app=web", "-o", "name")
    name = kubectl(*owned).stdout.strip()
    assert kubectl("delete", "deployment", web, "--cascade=orphan").stdout.startswith('deployment.apps "web" deleted')
    orphan = read(kubectl, name)
    assert "ownerReferences" not in orphan["metadata"]
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=0")
    kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    kubectl("delete", "deployment", web, "--cascade=foreground")
    # Foreground deletion waits for what the object owned; what it adopted is owned too.
    owners = "jsonpath={.items[*].metadata.ownerReferences[*].kind}"
    assert kubectl("get", "replicasets", "-l", "app=web", "-o", owners).stdout == ""


def test_wait_for_creation_and_its_time_out(cluster: Cluster, namespace: str, binary: Kubectl, kubectl: Run) -> None:
    command = [binary.path, "-n", namespace, "wait", "--for=create", "configmap/first", "--timeout=120s"]
    waiting = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    kubectl("create", "configmap", "first")
    output, _ = waiting.communicate(timeout=180)
    assert output == "configmap/first condition met\n"
    assert waiting.returncode == 0
    late = kubectl("wait", "--for=create", "configmap/second", "--timeout=3s", check=False)
    assert "timed out waiting for the condition" in late.stderr
    missing = kubectl("wait", "--for=condition=Ready", "pod/nobody", "--timeout=3s", check=False)
    assert 'pods "nobody" not found' in missing.stderr


def test_auth_tells_who_may_do_what(kubectl: Run, namespace: str) -> None:
    assert kubectl("auth", "can-i", "create", "pods").stdout == "yes\n"
    robot = f"--as=system:serviceaccount:{namespace}:robot"
    kubectl("create", "serviceaccount", "robot")
    refused = kubectl("auth", "can-i", "list", "pods", robot, check=False)
    assert (refused.returncode, refused.stdout) == (1, "no\n")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log")
    kubectl("create", "rolebinding", "readers", "--role=reader", f"--serviceaccount={namespace}:robot")
    wait_for(
        lambda: kubectl("auth", "can-i", "list", "pods", robot, check=False).stdout == "yes\n", "the binding counts"
    )
    assert kubectl("get", "pods", robot).returncode == 0
    secrets = kubectl("get", "secrets", robot, check=False)
    assert (
        f'Error from server (Forbidden): secrets is forbidden: User "system:serviceaccount:{namespace}:robot" '
        f'cannot list resource "secrets" in API group "" in the namespace "{namespace}"'
    ) in secrets.stderr
    rules = lines(kubectl("auth", "can-i", "--list", robot).stdout)
    assert rules[0] == "Resources Non-Resource URLs Resource Names Verbs"
    assert "pods [] [] [get list]" in rules
    assert "pods/log [] [] [get list]" in rules
    who = lines(kubectl("auth", "whoami", robot).stdout)
    assert f"Username system:serviceaccount:{namespace}:robot" in who
    assert f"Groups [system:serviceaccounts system:serviceaccounts:{namespace} system:authenticated]" in who


def test_resources_are_listed_by_scope_verb_and_group(kubectl: Run) -> None:
    cluster_wide = kubectl("api-resources", "--namespaced=false", "-o", "name").stdout.split()
    assert {"nodes", "namespaces", "persistentvolumes", "clusterroles.rbac.authorization.k8s.io"} <= set(cluster_wide)
    assert "pods" not in cluster_wide
    apps = lines(kubectl("api-resources", "--api-group=apps", "--no-headers").stdout)
    assert "deployments deploy apps/v1 true Deployment" in apps
    assert "replicasets rs apps/v1 true ReplicaSet" in apps
    assert "bindings" not in kubectl("api-resources", "--verbs=list,get", "-o", "name").stdout.split()
    assert re.search(r"^pods\s+po\s.*\sall$", kubectl("api-resources", "-o", "wide").stdout, re.MULTILINE)


def test_explain_reads_both_versions_of_the_schemas(kubectl: Run) -> None:
    old = kubectl("explain", "pod.spec.hostNetwork", "--output=plaintext-openapiv2").stdout
    assert old.startswith("KIND:     Pod\nVERSION:  v1\n\nFIELD:    hostNetwork <boolean>\n\nDESCRIPTION:\n     Host ")
    tree = kubectl("explain", "deployment.spec.strategy", "--recursive", "--output=plaintext-openapiv2").stdout
    assert "RESOURCE: strategy <Object>" in tree
    assert re.search(r"^   rollingUpdate\t<Object>\n      maxSurge\t<", tree, re.MULTILINE)
    assert "type\t<string>" in tree
    new = kubectl("explain", "pod.spec.hostNetwork").stdout
    assert "FIELD: hostNetwork <boolean>" in new
    unknown = kubectl("explain", "pod.spec.nothing", check=False)
    assert 'field "nothing" does not exist' in unknown.stderr
    assert 'the server doesn\'t have a resource type "nothings"' in kubectl("explain", "nothings", check=False).stderr


#: What makes an object, what describes it, and patterns that the description has, as a real cluster prints it.
DESCRIBED = [
    (
        ("create", "service", "clusterip", "web", "--tcp=80:http"),
        "service/web",
        (r"Selector:\s+app=web", r"Type:\s+ClusterIP", r"IP Family Policy:\s+SingleStack", r"IP Families:\s+IPv4",
         r"Port:\s+80-http\s+80/TCP", r"TargetPort:\s+http/TCP", r"Session Affinity:\s+None",
         r"Internal Traffic Policy:\s+Cluster"),
    ),
    (
        ("create", "configmap", "words", "--from-literal=a=b"),
        "configmap/words",
        (r"Data\n====\na:\n----\nb\n", r"BinaryData\n====\n"),
    ),
    (
        ("create", "secret", "generic", "hidden", "--from-literal=k=value"),
        "secret/hidden",
        (r"Type:\s+Opaque", r"Data\n====\nk:\s+5 bytes"),
    ),
    (
        ("create", "serviceaccount", "robot"),
        "serviceaccount/robot",
        (r"Name:\s+robot", r"Image pull secrets:\s+<none>"),
    ),
    (
        ("create", "job", "once", "--image=busybox", "--", "true"),
        "job/once",
        (r"Selector:\s+batch.kubernetes.io/controller-uid=", r"batch.kubernetes.io/job-name=once",
         r"Parallelism:\s+1", r"Completions:\s+1", r"Completion Mode:\s+NonIndexed", r"Backoff Limit:\s+6",
         r"Command:\n\s+true"),
    ),
    (
        ("create", "cronjob", "yearly", "--image=busybox", "--schedule=0 0 1 1 *"),
        "cronjob/yearly",
        (r"Schedule:\s+0 0 1 1 \*", r"Concurrency Policy:\s+Allow", r"Suspend:\s+False",
         r"Successful Job History Limit:\s+3", r"Failed Job History Limit:\s+1", r"Active Jobs:\s+<none>"),
    ),
    (
        ("create", "ingress", "front", "--class=any", "--rule=example.com/a*=web:80"),
        "ingress/front",
        (r"Ingress Class:\s+any", r"Host\s+Path\s+Backends", r"example.com\s+/a\s+web:80"),
    ),
    (
        ("create", "role", "reader", "--verb=get,list", "--resource=pods", "--resource-name=one"),
        "role/reader",
        (r"PolicyRule:\n\s+Resources\s+Non-Resource URLs\s+Resource Names\s+Verbs",
         r"pods\s+\[\]\s+\[one\]\s+\[get list\]"),
    ),
    (
        ("create", "rolebinding", "readers", "--role=reader", "--user=ann"),
        "rolebinding/readers",
        (r"Role:\n  Kind:\s+Role\n  Name:\s+reader\n", r"User\s+ann\s*$"),
    ),
    (
        ("create", "quota", "few", "--hard=pods=3"),
        "quota/few",
        (r"Name:\s+few", r"Resource\s+Used\s+Hard"),
    ),
    (
        ("create", "poddisruptionbudget", "spare", "--selector=app=web", "--min-available=1"),
        "pdb/spare",
        (r"Min available:\s+1", r"Selector:\s+app=web", r"Allowed disruptions:\s+0"),
    ),
]  # fmt: skip


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim}
spec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 1Mi}}}
"""


def test_describe_knows_every_kind(kubectl: Run, namespace: str, web: str) -> None:
    for create, name, patterns in DESCRIBED:
        kubectl(*create)
        text = kubectl("describe", name).stdout
        for pattern in patterns:
            assert re.search(pattern, text, re.MULTILINE), f"{name}: {pattern}\n{text}"
    kubectl("apply", "-f", "-", stdin=CLAIM)
    claim = kubectl("describe", "pvc", "claim").stdout
    for pattern in (r"StorageClass:\s+none", r"Status:\s+Pending", r"Finalizers:\s+\[kubernetes.io/pvc-protection\]"):
        assert re.search(pattern, claim), claim
    kubectl("delete", "pvc", "claim", "--timeout=120s")
    text = kubectl("describe", "replicasets", "-l", "app=web").stdout
    for pattern in (
        r"Controlled By:\s+Deployment/web",
        r"deployment.kubernetes.io/revision: 1",
        r"Replicas:\s+0 current",
    ):
        assert re.search(pattern, text), text
    text = kubectl("describe", "namespace", namespace).stdout
    for pattern in (rf"Labels:\s+kubernetes.io/metadata.name={namespace}", r"Status:\s+Active", r"Name:\s+few"):
        assert re.search(pattern, text), text
