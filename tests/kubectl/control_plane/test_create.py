"""`kubectl create` with each of its generators, `run`, `expose` and `autoscale`: what they make."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.kubectl.output import lines, read

Run = Callable[..., Any]


def create(kubectl: Run, *arguments: str) -> Any:
    """`kubectl create -o json`: the object as the server answered it."""
    return json.loads(kubectl("create", "-o", "json", *arguments).stdout)


def encoded(text: str) -> str:
    """As a Secret holds it."""
    return base64.b64encode(text.encode()).decode()


@pytest.mark.kubectl_since(20)
def test_config_maps_from_literals_files_and_environments(kubectl: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "blob").write_bytes(b"\xff\xfe")
    (tmp_path / "settings.env").write_text("# a comment\nA=1\nB=two words\n")
    made = create(kubectl, "configmap", "c", "--from-literal=x=y", f"--from-file={tmp_path}/text",
                  f"--from-file=raw={tmp_path}/blob")  # fmt: skip
    assert made["data"] == {"x": "y", "text": "hello\n"}
    assert made["binaryData"] == {"raw": "//4="}
    made = create(kubectl, "cm", "e", f"--from-env-file={tmp_path}/settings.env")
    assert made["data"] == {"A": "1", "B": "two words"}
    duplicate = kubectl("create", "configmap", "d", "--from-literal=a=1", "--from-literal=a=2", check=False)
    assert 'cannot add key "a", another key by that name already exists' in duplicate.stderr


@pytest.mark.kubectl_since(20)
def test_secrets_of_every_type(kubectl: Run, tmp_path: Path) -> None:
    made = create(kubectl, "secret", "generic", "g", "--from-literal=k=v", "--type=example.com/own")
    assert (made["type"], made["data"]) == ("example.com/own", {"k": encoded("v")})
    login = ("--docker-server=example.com", "--docker-username=ann", "--docker-password=secret", "--docker-email=a@b.c")
    made = create(kubectl, "secret", "docker-registry", "r", *login)
    assert made["type"] == "kubernetes.io/dockerconfigjson"
    decoded = json.loads(base64.b64decode(made["data"][".dockerconfigjson"]))
    assert decoded["auths"]["example.com"]["auth"] == encoded("ann:secret")
    certificate, key = self_signed(tmp_path)
    made = create(kubectl, "secret", "tls", "t", f"--cert={certificate}", f"--key={key}")
    assert (made["type"], sorted(made["data"])) == ("kubernetes.io/tls", ["tls.crt", "tls.key"])
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bad"}, "type": "kubernetes.io/tls"}
    refused = kubectl("create", "-f", "-", stdin=json.dumps(body), check=False)
    for field in ("tls.crt", "tls.key"):
        assert f"data[{field}]: Required value" in refused.stderr


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate and its key as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.com")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    (directory / "crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key").write_bytes(private)
    return directory / "crt", directory / "key"


@pytest.mark.kubectl_since(20)
def test_workloads(kubectl: Run) -> None:
    made = create(
        kubectl, "deployment", "web", "--image=nginx:1", "--image=example.com/side", "--replicas=0", "--port=80"
    )
    containers = made["spec"]["template"]["spec"]["containers"]
    assert [(item["name"], item["image"]) for item in containers] == [
        ("nginx", "nginx:1"),
        ("side", "example.com/side"),
    ]
    assert made["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    assert containers[0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    job = create(kubectl, "job", "once", "--image=busybox", "--", "sh", "-c", "true")
    template = job["spec"]["template"]
    assert template["spec"]["restartPolicy"] == "Never"
    assert template["spec"]["containers"][0]["command"] == ["sh", "-c", "true"]
    assert template["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "once"


@pytest.mark.kubectl_since(24)
def test_cron_jobs_and_jobs_from_them(kubectl: Run) -> None:
    made = create(
        kubectl, "cronjob", "yearly", "--image=busybox", "--schedule=0 0 1 1 *", "--restart=Never", "--", "true"
    )
    assert (made["spec"]["schedule"], made["spec"]["concurrencyPolicy"]) == ("0 0 1 1 *", "Allow")
    job = create(kubectl, "job", "now", "--from=cronjob/yearly")
    assert job["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("CronJob", "yearly", made["metadata"]["uid"])
    wrong = kubectl("create", "cronjob", "odd", "--image=busybox", "--schedule=never", check=False)
    assert wrong.stderr == (
        'error: failed to create cronjob: CronJob.batch "odd" is invalid: spec.schedule: Invalid value: "never": '
        "expected exactly 5 fields, found 1: [never]\n"
    )


@pytest.mark.kubectl_since(20)
def test_services_of_every_type(kubectl: Run) -> None:
    cluster_ip = create(kubectl, "service", "clusterip", "a", "--tcp=80:8080", "--tcp=443")["spec"]
    assert [(port["port"], port["targetPort"]) for port in cluster_ip["ports"]] == [(80, 8080), (443, 443)]
    assert cluster_ip["clusterIPs"] == [cluster_ip["clusterIP"]]
    headless = create(kubectl, "service", "clusterip", "b", "--clusterip=None", "--tcp=80")["spec"]
    assert (headless["clusterIP"], headless["clusterIPs"]) == ("None", ["None"])
    node_port = create(kubectl, "service", "nodeport", "c", "--tcp=80")["spec"]
    assert 30000 <= node_port["ports"][0]["nodePort"] <= 32767
    taken = str(node_port["ports"][0]["nodePort"])
    refused = kubectl("create", "service", "nodeport", "d", "--tcp=80", f"--node-port={taken}", check=False)
    assert f"spec.ports[0].nodePort: Invalid value: {taken}: provided port is already allocated" in refused.stderr
    balancer = create(kubectl, "service", "loadbalancer", "e", "--tcp=80")["spec"]
    assert (balancer["type"], balancer["allocateLoadBalancerNodePorts"]) == ("LoadBalancer", True)
    external = create(kubectl, "service", "externalname", "f", "--external-name=example.com")["spec"]
    assert (external["type"], external["externalName"], "clusterIP" in external) == (
        "ExternalName",
        "example.com",
        False,
    )


@pytest.mark.kubectl_since(24)
def test_ingresses_budgets_quotas_and_priorities(kubectl: Run, namespace: str) -> None:
    rules = ("--rule=example.com/a*=web:80", "--rule=/b=web:http,tls=cert")
    made = create(kubectl, "ingress", "front", "--class=any", *rules, "--default-backend=web:8080")["spec"]
    assert made["ingressClassName"] == "any"
    paths = [rule["http"]["paths"][0] for rule in made["rules"]]
    assert [(path["path"], path["pathType"]) for path in paths] == [("/a", "Prefix"), ("/b", "Exact")]
    assert made["tls"] == [{"secretName": "cert"}]
    assert made["defaultBackend"] == {"service": {"name": "web", "port": {"number": 8080}}}
    budget = create(kubectl, "pdb", "spare", "--selector=app=web", "--max-unavailable=25%")["spec"]
    assert budget == {"maxUnavailable": "25%", "selector": {"matchLabels": {"app": "web"}}}
    quota = create(kubectl, "quota", "few", "--hard=pods=3", "--scopes=BestEffort")
    assert quota["spec"] == {"hard": {"pods": "3"}, "scopes": ["BestEffort"]}
    options = ("--value=7", "--description=few", "--preemption-policy=Never", "--dry-run=server")
    priority = create(kubectl, "priorityclass", namespace, *options)
    assert (priority["value"], priority["preemptionPolicy"], priority["description"]) == (7, "Never", "few")


@pytest.mark.kubectl_since(20)
def test_roles_and_bindings(kubectl: Run, namespace: str) -> None:
    role = create(kubectl, "role", "r", "--verb=get,list", "--resource=pods,deployments.apps", "--resource-name=one")
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["one"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["one"], "verbs": ["get", "list"]},
    ]
    unknown = kubectl("create", "role", "u", "--verb=get", "--resource=nothings", check=False)
    assert 'the server doesn\'t have a resource type "nothings"' in unknown.stderr
    binding = create(kubectl, "rolebinding", "b", "--role=r", "--user=ann", "--group=staff",
                     f"--serviceaccount={namespace}:robot")  # fmt: skip
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    assert [subject["kind"] for subject in binding["subjects"]] == ["User", "Group", "ServiceAccount"]
    name = f"{namespace}-all"
    try:
        wide = create(kubectl, "clusterrole", name, "--verb=get", "--non-resource-url=/metrics")
        assert wide["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
        bound = create(kubectl, "clusterrolebinding", name, f"--clusterrole={name}", "--user=ann")
        assert bound["subjects"] == [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}]
    finally:
        kubectl("delete", "clusterrole,clusterrolebinding", name)


@pytest.mark.kubectl_since(27)
def test_tokens_are_bound_and_expire(kubectl: Run) -> None:
    kubectl("create", "serviceaccount", "robot")
    secret = create(kubectl, "secret", "generic", "holder")
    options = ("--duration=20m", "--audience=here", "--bound-object-kind=Secret", "--bound-object-name=holder")
    token = kubectl("create", "token", "robot", *options).stdout.strip()
    padded = token.split(".")[1] + "=="
    claims = json.loads(base64.urlsafe_b64decode(padded))
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["here"], 1200)
    assert claims["kubernetes.io"]["secret"] == {"name": "holder", "uid": secret["metadata"]["uid"]}
    short = kubectl("create", "token", "robot", "--duration=1m", check=False)
    assert "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes" in short.stderr
    assert 'serviceaccounts "nobody" not found' in kubectl("create", "token", "nobody", check=False).stderr


@pytest.mark.kubectl_since(20)
def test_manifests_with_generated_names_and_raw_bodies(kubectl: Run, namespace: str, tmp_path: Path) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "made-"}, "data": {"a": "1"}}
    names = {kubectl("create", "-f", "-", "-o", "name", stdin=json.dumps(body)).stdout.strip() for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("configmap/made-") for name in names)
    (tmp_path / "body.json").write_text(json.dumps(body | {"metadata": {"name": "raw"}}))
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert json.loads(kubectl("create", "--raw", path, "-f", str(tmp_path / "body.json")).stdout)["data"] == {"a": "1"}
    saved = create(kubectl, "--save-config", "-f", str(tmp_path / "body.json"), "--dry-run=client")
    assert "kubectl.kubernetes.io/last-applied-configuration" in saved["metadata"]["annotations"]


@pytest.mark.kubectl_since(24)
def test_run_makes_a_pod(kubectl: Run) -> None:
    options = ("--image=nginx", "--port=80", "--env=A=1", "--labels=app=p,tier=x", "--restart=OnFailure", "--expose")
    made = lines(kubectl("run", "p", *options, "--command", "--", "sleep", "1").stdout)
    assert sorted(made) == ["pod/p created", "service/p created"]
    pod = read(kubectl, "pod", "p")
    container = pod["spec"]["containers"][0]
    assert pod["metadata"]["labels"] == {"app": "p", "tier": "x"}
    assert (pod["spec"]["restartPolicy"], container["command"]) == ("OnFailure", ["sleep", "1"])
    assert container["env"] == [{"name": "A", "value": "1"}]
    service = read(kubectl, "service", "p")["spec"]
    assert service["selector"] == {"app": "p", "tier": "x"}
    overrides = '{"spec":{"terminationGracePeriodSeconds":7}}'
    made_so = json.loads(kubectl("run", "q", "--image=nginx", f"--overrides={overrides}", "-o", "json").stdout)
    assert made_so["spec"]["terminationGracePeriodSeconds"] == 7
    assert kubectl("run", "p", "--image=nginx", check=False).stderr == (
        'Error from server (AlreadyExists): pods "p" already exists\n'
    )


@pytest.mark.kubectl_since(20)
def test_expose_takes_ports_and_selector_over(kubectl: Run) -> None:
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=0", "--port=80")
    options = ("--name=front", "--port=8080", "--target-port=http", "--type=NodePort", "--session-affinity=ClientIP")
    assert kubectl("expose", "deployment", "web", *options).stdout == "service/front exposed\n"
    made = read(kubectl, "service", "front")["spec"]
    assert (made["selector"], made["type"], made["sessionAffinity"]) == ({"app": "web"}, "NodePort", "ClientIP")
    assert (made["ports"][0]["port"], made["ports"][0]["targetPort"]) == (8080, "http")
    assert made["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    again = json.loads(kubectl("expose", "service", "front", "--name=again", "--port=81", "-o", "json").stdout)["spec"]
    assert again["selector"] == {"app": "web"}
    kubectl("run", "p", "--image=nginx", "--labels=a=b")
    missing = kubectl("expose", "pod", "p", check=False)
    assert "couldn't find port via --port flag or introspection" in missing.stderr


def test_autoscale_makes_an_autoscaler(kubectl: Run) -> None:
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=0")
    options = ("--min=2", "--max=5", "--cpu-percent=60")
    assert kubectl("autoscale", "deployment", "web", *options).stdout == (
        "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    )
    made = read(kubectl, "horizontalpodautoscalers.v2.autoscaling", "web")["spec"]
    assert (made["minReplicas"], made["maxReplicas"], made["scaleTargetRef"]["kind"]) == (2, 5, "Deployment")
    target = {"type": "Utilization", "averageUtilization": 60}
    assert made["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    old = read(kubectl, "horizontalpodautoscalers.v1.autoscaling", "web")["spec"]
    assert old["targetCPUUtilizationPercentage"] == 60
    wrong = kubectl("autoscale", "deployment", "web", "--name=odd", "--min=6", "--max=5", check=False)
    assert wrong.returncode == 1
