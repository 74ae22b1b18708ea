"""`kubectl` on the cluster itself: nodes, certificates, authorization, discovery, events, debugging, configuration."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from kubernetes import client

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.metrics_kinds import POD_METRICS
from tests.cluster import Cluster, Kubectl, oldest_and_newest
from tests.kubectl.output import lines, read
from tests.samples import sample_objects, signing_request

Run = Callable[..., Any]

#: kinds whose objects a controller changes or removes meanwhile
CHANGING = ("Node", "Namespace", "CustomResourceDefinition", "APIService")
#: kinds that kubectl 1.27 or 1.33 describes in versions which 1.36 does not serve
OF_OLD_VERSIONS = ("IPAddress", "ServiceCIDR", "VolumeAttributesClass")


@pytest.fixture
def node(api_client: client.ApiClient, namespace: str) -> Iterator[str]:
    """A Node object that no agent is behind."""
    name = f"node-{namespace}"
    core = client.CoreV1Api(api_client)
    core.create_node({"metadata": {"name": name}})
    yield name
    core.delete_node(name)


def pod_on(node: str, name: str, **metadata: Any) -> str:
    """A Pod that is on a node already."""
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "i"}]}
    metadata = {"name": name, "labels": {"app": "drained"}, **metadata}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


@pytest.mark.kubectl_since(20)
def test_nodes_are_cordoned_and_tainted(kubectl: Run, node: str) -> None:
    assert kubectl("cordon", node).stdout == f"node/{node} cordoned\n"
    assert kubectl("cordon", node).stdout == f"node/{node} already cordoned\n"
    assert "SchedulingDisabled" in kubectl("get", "node", node, "--no-headers").stdout
    assert kubectl("uncordon", node).stdout == f"node/{node} uncordoned\n"
    assert "unschedulable" not in read(kubectl, "node", node)["spec"]
    assert kubectl("taint", "nodes", node, "k=v:NoSchedule", "k2:NoExecute").stdout == f"node/{node} tainted\n"
    twice = kubectl("taint", "nodes", node, "k=w:NoSchedule", check=False)
    assert f"node {node} already has k taint(s) with same effect(s) and --overwrite is false" in (
        twice.stderr.replace("key taint", "k taint").replace("k2 ", "k ")
    )
    kubectl("taint", "nodes", node, "k=w:NoSchedule", "--overwrite")
    taints = {taint["key"]: taint for taint in read(kubectl, "node", node)["spec"]["taints"]}
    assert taints["k"] == {"key": "k", "value": "w", "effect": "NoSchedule"}
    assert taints["k2"]["effect"] == "NoExecute"
    assert kubectl("taint", "nodes", node, "k-", "k2:NoExecute-").stdout == f"node/{node} untainted\n"
    assert "not found" in kubectl("taint", "nodes", node, "k-", check=False).stderr
    wrong = kubectl("taint", "nodes", node, "k=v:Never", check=False)
    assert "invalid taint effect: Never" in wrong.stderr
    described = kubectl("describe", "node", node).stdout
    for pattern in (rf"Name:\s+{node}", r"Unschedulable:\s+false", r"Non-terminated Pods:\s+\(0 in total\)"):
        assert re.search(pattern, described), pattern


@pytest.mark.kubectl_since(27)
def test_nodes_are_drained_by_eviction(kubectl: Run, api_client: client.ApiClient, node: str, namespace: str) -> None:
    core, policy = client.CoreV1Api(api_client), client.PolicyV1Api(api_client)
    kubectl("apply", "-f", "-", stdin=pod_on(node, "bare"))
    refused = kubectl("drain", node, check=False)
    assert refused.returncode == 1
    assert "cannot delete" in refused.stderr
    assert f"{namespace}/bare" in refused.stderr
    # A Pod that runs is what a budget protects; nobody sees it running but this test.
    ready = {"type": "Ready", "status": "True"}
    core.patch_namespaced_pod_status("bare", namespace, {"status": {"phase": "Running", "conditions": [ready]}})
    kubectl("create", "poddisruptionbudget", "all", "--selector=app=drained", "--min-available=1")
    # Until a budget is counted, a server asks to come back in ten seconds, and kubectl does, ten times.
    counted = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1}
    policy.patch_namespaced_pod_disruption_budget_status("all", namespace, {"status": counted | {"expectedPods": 1}})
    blocked = kubectl("drain", node, "--force", "--timeout=3s", check=False)
    assert blocked.returncode == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget." in blocked.stderr
    policy.delete_namespaced_pod_disruption_budget("all", namespace)
    assert f"node/{node} drained" in kubectl("drain", node, "--force", "--timeout=120s").stdout
    assert read(kubectl, "pods")["items"] == []
    assert read(kubectl, "node", node)["spec"]["unschedulable"] is True


@pytest.mark.kubectl_since(20)
def test_certificates_are_approved_and_denied(kubectl: Run, namespace: str) -> None:
    def request(name: str, signer: str) -> str:
        spec = {"request": signing_request("ann"), "signerName": signer, "usages": ["client auth"]}
        meta = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name}}
        return json.dumps(meta | {"spec": spec})

    yes, no = f"{namespace}-yes", f"{namespace}-no"
    try:
        for name in (yes, no):
            kubectl("create", "-f", "-", stdin=request(name, "example.com/nobody"))
        assert kubectl("get", "csr", yes, "--no-headers").stdout.split()[-1] == "Pending"
        assert kubectl("certificate", "approve", yes).stdout == (
            f"certificatesigningrequest.certificates.k8s.io/{yes} approved\n"
        )
        kubectl("certificate", "deny", no)
        assert kubectl("get", "csr", yes, "--no-headers").stdout.split()[-1] == "Approved"
        assert kubectl("get", "csr", no, "--no-headers").stdout.split()[-1] == "Denied"
        (condition,) = read(kubectl, "csr", yes)["status"]["conditions"]
        assert (condition["type"], condition["reason"]) == ("Approved", "KubectlApprove")
        both = kubectl("certificate", "approve", no, check=False)
        assert both.stderr == f'error: certificate signing request "{no}" is already Denied\n'
        described = kubectl("describe", "csr", yes).stdout
        assert re.search(r"Status:\s+Approved", described)
        assert re.search(r"Common Name:\s+ann", described)
    finally:
        kubectl("delete", "csr", yes, no)


@pytest.mark.kubectl_since(27)
def test_roles_are_reconciled(kubectl: Run, namespace: str) -> None:
    role: dict[str, Any] = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    role["metadata"] = {"name": "r", "namespace": namespace}
    role["rules"] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    role["rules"] = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    assert [rule["resources"] for rule in read(kubectl, "role", "r")["rules"]] == [["pods"], ["secrets"]]
    kubectl("auth", "reconcile", "--remove-extra-permissions", "-f", "-", stdin=json.dumps(role))
    assert [rule["resources"] for rule in read(kubectl, "role", "r")["rules"]] == [["secrets"]]
    assert kubectl("auth", "can-i", "delete", "nodes").stdout.splitlines()[-1] == "yes"
    assert kubectl("auth", "can-i", "get", "/metrics").stdout == "yes\n"
    refused = kubectl("auth", "can-i", "get", "pods/log", "--as=nobody", check=False)
    assert (refused.returncode, refused.stdout) == (1, "no\n")
    quiet = kubectl("auth", "can-i", "get", "pods", "--as=nobody", "--quiet", check=False)
    assert (quiet.returncode, quiet.stdout) == (1, "")


@pytest.mark.kubectl_since(20)
def test_resources_and_versions_are_listed(kubectl: Run) -> None:
    wanted = {
        f"{kind.plural} {kind.api_version} {str(kind.namespaced).lower()} {kind.kind}"
        for kind in BUILTIN_KINDS
        if kind.api_version not in ("autoscaling/v1", "events.k8s.io/v1")
    }
    rows = lines(kubectl("api-resources", "--no-headers").stdout)
    found = {" ".join([row.split()[0], *row.split()[-3:]]) for row in rows}
    assert wanted <= found
    assert {row.split()[1] for row in rows if row.startswith("horizontalpodautoscalers ")} == {"hpa"}
    versions = kubectl("api-versions").stdout.split()
    assert {kind.api_version for kind in (*BUILTIN_KINDS, POD_METRICS)} == set(versions)
    names = kubectl("api-resources", "--namespaced=false", "--verbs=list,create", "-o", "name").stdout.split()
    assert "clusterroles.rbac.authorization.k8s.io" in names
    assert "pods" not in names
    assert "tokenreviews.authentication.k8s.io" not in names


@pytest.mark.kubectl_since(27)
def test_resources_of_a_category(kubectl: Run) -> None:
    names = kubectl("api-resources", "--categories=all", "-o", "name").stdout.split()
    assert sorted(names) == sorted(kind.group_resource for kind in BUILTIN_KINDS if "all" in kind.categories
                                   and kind.api_version != "autoscaling/v1")  # fmt: skip
    ordered = kubectl("api-resources", "--sort-by=kind", "--no-headers").stdout.splitlines()
    kinds = [line.split()[-1] for line in ordered]
    assert kinds == sorted(kinds)


@pytest.mark.kubectl_since(27)
def test_every_kind_is_explained(kubectl: Run, binary: Kubectl) -> None:
    listed = [kind for kind in BUILTIN_KINDS if "create" in kind.verbs and "list" in kind.verbs]
    # All kinds by the newest; a choice of them by the oldest, which reads the same documents.
    for kind in listed if binary == oldest_and_newest()[-1] else listed[::7]:
        text = kubectl("explain", kind.plural, f"--api-version={kind.api_version}", "--recursive").stdout
        assert re.search(rf"^KIND:\s+{kind.kind}$", text, re.MULTILINE)
        assert re.search(r"^\s+metadata\s+<ObjectMeta>", text, re.MULTILINE), kind


@pytest.mark.kubectl_since(27)
def test_every_kind_is_described(kubectl: Run, api_client: client.ApiClient, namespace: str, tmp_path: Path) -> None:
    name = f"d{namespace[-8:]}"
    samples = [item for item in sample_objects(name, namespace) if item["kind"] not in (*CHANGING, *OF_OLD_VERSIONS)]
    manifest = tmp_path / "samples.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": samples}))
    try:
        kubectl("create", "--validate=false", "-f", str(manifest))
        described = kubectl("describe", "-f", str(manifest)).stdout
        assert len(re.findall(r"^Name:\s+\S", described, re.MULTILINE)) == len(samples)
        for item in samples:
            assert re.search(rf"^Name:\s+{re.escape(item['metadata']['name'])}$", described, re.MULTILINE), item
    finally:
        kubectl("delete", "--wait=false", "-f", str(manifest))


@pytest.mark.kubectl_since(27)
def test_events_are_filtered_and_sorted(kubectl: Run, api_client: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api_client)
    for number, (kind, reason) in enumerate((("Normal", "Started"), ("Warning", "Failed"), ("Normal", "Pulled"))):
        core.create_namespaced_event(namespace, {
            "metadata": {"name": f"e{number}"}, "type": kind, "reason": reason, "message": f"message {number}",
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": f"p{number % 2}", "namespace": namespace},
            "lastTimestamp": f"2026-01-01T00:00:0{9 - number}Z", "source": {"component": "tests"}, "count": 3,
        })  # fmt: skip
    assert re.findall("Pulled|Failed|Started", kubectl("events").stdout) == ["Pulled", "Failed", "Started"]
    assert [row.split()[-2:] for row in lines(kubectl("events", "--types=Warning").stdout)[1:]] == [["message", "1"]]
    mine = lines(kubectl("events", "--for=pod/p0", "--no-headers").stdout)
    assert sorted(row.split()[-1] for row in mine) == ["0", "2"]
    by_field = kubectl("get", "events", "--field-selector", "involvedObject.name=p1,type=Warning", "-o", "name").stdout
    assert by_field == "event/e1\n"
    both = kubectl("get", "events.events.k8s.io", "-o", "jsonpath={.items[*].note}").stdout
    assert both == "message 0 message 1 message 2"


@pytest.mark.kubectl_since(27)
def test_debugging_makes_ephemeral_containers_copies_and_node_pods(kubectl: Run, node: str) -> None:
    kubectl("run", "p", "--image=nginx", '--overrides={"spec":{"schedulerName":"nobody"}}')
    kubectl(
        "debug", "p", "--image=busybox", "-c", "dbg", "--target=p", "--attach=false", "--profile=general", "--", "sh"
    )
    (ephemeral,) = read(kubectl, "pod", "p")["spec"]["ephemeralContainers"]
    assert (ephemeral["name"], ephemeral["image"], ephemeral["targetContainerName"]) == ("dbg", "busybox", "p")
    kubectl("debug", "p", "--copy-to=q", "--set-image=*=busybox:2", "--attach=false", "--share-processes")
    copy = read(kubectl, "pod", "q")["spec"]
    assert (copy["containers"][0]["image"], copy["shareProcessNamespace"]) == ("busybox:2", True)
    kubectl("debug", f"node/{node}", "--image=busybox", "--attach=false", "--profile=general")
    made = [item for item in read(kubectl, "pods")["items"] if item["metadata"]["name"].startswith("node-debugger-")]
    assert [(item["spec"]["nodeName"], item["spec"]["hostPID"]) for item in made] == [(node, True)]


@pytest.mark.kubectl_since(20)
def test_the_cluster_its_health_and_its_configuration(
    kubectl: Run, binary: Kubectl, cluster: Cluster, tmp_path: Path
) -> None:
    assert "Kubernetes control plane" in kubectl("cluster-info").stdout
    version = json.loads(kubectl("version", "-o", "json").stdout)["serverVersion"]
    assert (version["major"], version["minor"]) == ("1", "36")
    verbose = kubectl("get", "--raw", "/livez?verbose").stdout
    assert verbose.rstrip().endswith("livez check passed")
    context = kubectl("config", "current-context").stdout.strip()
    assert context in kubectl("config", "get-contexts", "-o", "name").stdout.split()
    view = json.loads(kubectl("config", "view", "--minify", "-o", "json").stdout)
    assert view["clusters"][0]["cluster"]["certificate-authority-data"] in ("DATA+OMITTED", "REDACTED")
    copy = tmp_path / "config"
    copy.write_text(kubectl("config", "view", "--raw", "--flatten").stdout)
    raw = json.loads(kubectl("config", "view", "--raw", "-o", "json").stdout)
    certificate = base64.b64decode(raw["users"][0]["user"]["client-certificate-data"])
    assert "kubernetes-admin" in x509.load_pem_x509_certificate(certificate).subject.rfc4514_string()
    own = ("--kubeconfig", str(copy))
    # Here `--namespace` is the context's, so the one of all commands has to stay away.
    cluster.kubectl("config", "set-context", "--current", "--namespace=elsewhere", *own, binary=binary.path)
    assert "elsewhere" in kubectl("config", "view", "--minify", *own).stdout
    wrong = kubectl("get", "pods", "--token=wrong", "--certificate-authority=/dev/null", check=False)
    assert wrong.returncode == 1
