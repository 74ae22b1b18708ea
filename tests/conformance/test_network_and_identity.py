"""Requirements of sig-network and sig-auth that need real Pods: proxies, traffic from the node, tokens in Pods."""

from __future__ import annotations

import http.client
import json
import re
import socket
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster import wait_for
from tests.conformance.batch import Batch, Object, is_ready, make_object, make_pod, shell
from tests.conformance.http_api import HttpApi
from tests.udp_answers import answering_udp

pytestmark = pytest.mark.docker

LINK = '<a href="{}/rewriteme">test</a>'
#: what is served at which port, over TLS or not; a page with a link, plain text, or the request's method
PAGES = {80: LINK.format(""), 1080: LINK.format(""), 160: "foo", 162: "bar"}
TLS_PAGES = {443: LINK.format(""), 460: "tls baz", 462: "tls qux"}
METHOD_PORT = 8080
UDP_PORT = 8081
VERBS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
SEPARATOR = "===="
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_PATTERN = r"[A-Za-z0-9-_=]+\.[A-Za-z0-9-_=]+\.?[A-Za-z0-9-_.+/=]*"


def server_configuration() -> str:
    """nginx that serves all pages."""

    def server(port: int, page: str, tls: str = "") -> str:
        kind = "text/html" if page.startswith("<") else "text/plain"
        certificate = "ssl_certificate /etc/tls/cert; ssl_certificate_key /etc/tls/key;" if tls else ""
        return f"server {{ listen {port}{tls}; {certificate} default_type {kind}; return 200 '{page}'; }}"

    servers = [server(port, page) for port, page in PAGES.items()]
    servers += [server(port, page, " ssl") for port, page in TLS_PAGES.items()]
    servers.append(server(METHOD_PORT, '{"Method":"$request_method","Body":"foo"}'))
    return "events {} http { access_log off; " + " ".join(servers) + " }"


def server_certificate() -> dict[str, str]:
    """A certificate that nobody knows, and its key, as the data of a Secret."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "echo")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now).not_valid_after(now + timedelta(hours=1))
    certificate = dated.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    formats = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, *formats)
    return {"cert": b64encode(certificate).decode(), "key": b64encode(private).decode()}


@dataclass(frozen=True)
class World:
    """The module's Pods, all running."""

    batch: Batch
    address: str


@pytest.fixture(scope="module")
def world(batch: Batch, api: HttpApi) -> World:
    """A server, a Service of it, a client in the node's network, and a Pod with tokens."""
    api.create(batch.path("configmaps"), make_object("ConfigMap", "nginx", data={"nginx.conf": server_configuration()}))
    api.create(batch.path("secrets"), make_object("Secret", "tls", data=server_certificate()))
    ports = [{"name": "dest1", "containerPort": 160}, {"name": "tlsdest1", "containerPort": 460}]
    mounts = [{"name": "conf", "mountPath": "/etc/nginx"}, {"name": "tls", "mountPath": "/etc/tls"}]
    web = {"image": "nginx", "command": ["nginx", "-g", "daemon off;"], "ports": [{"containerPort": 80}, *ports]}
    web |= {"volumeMounts": mounts, "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1}}
    volumes = [{"name": "conf", "configMap": {"name": "nginx"}}, {"name": "tls", "secret": {"secretName": "tls"}}]
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    projected = {"name": "token", "projected": {"sources": [token]}}
    files = f"/token/token {MOUNT}/token {MOUNT}/ca.crt {MOUNT}/namespace"
    script = f"for file in {files}; do cat $file; echo; echo {SEPARATOR}; done; exec sleep 3600"
    reader = shell(script, volumeMounts=[{"name": "token", "mountPath": "/token"}])
    api.create(batch.path("serviceaccounts"), make_object("ServiceAccount", "mounted"))
    batch.create(
        make_pod("server", web, volumes=volumes),
        make_pod("client", shell("exec sleep 3600"), hostNetwork=True),
        make_pod("reader", reader, volumes=[projected], serviceAccountName="mounted"),
        make_object("Service", "several", spec={"selector": {"name": "server"}, "ports": service_ports()}),
        make_object(
            "Service", "one", spec={"selector": {"name": "server"}, "ports": [{"port": 80, "targetPort": METHOD_PORT}]}
        ),
    )
    batch.wait(is_ready, "server", "client", "reader", what="are ready")
    for name in ("several", "one"):
        wait_for(lambda name=name: api.get(batch.path(f"endpoints/{name}")).get("subsets"), "the Service has endpoints")
    return World(batch, batch.pod("server")["status"]["podIP"])


def service_ports() -> list[Object]:
    """Ports of a Service that lead elsewhere, by name and by number."""
    targets: dict[str, tuple[int, Any]] = {
        "portname1": (80, "dest1"),
        "portname2": (81, 162),
        "tlsportname1": (443, "tlsdest1"),
        "tlsportname2": (444, 462),
    }
    return [{"name": name, "port": port, "targetPort": target} for name, (port, target) in targets.items()]


def ask(api: HttpApi, method: str, path: str) -> tuple[int, dict[str, str], str]:
    """Status, headers (in lower case) and text of an answer, whatever it is."""
    connection = http.client.HTTPSConnection(api.address, context=api.tls, timeout=60)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.requirement("[sig-network] Proxy version v1 should proxy through a service and a pod")
def test_proxies_lead_to_every_port(world: World, api: HttpApi) -> None:
    expected = {
        "services/several:portname1": "foo",
        "services/http:several:portname1": "foo",
        "services/several:portname2": "bar",
        "services/http:several:81": "bar",
        "services/https:several:tlsportname1": "tls baz",
        "services/https:several:444": "tls qux",
        "pods/server": LINK,
        "pods/server:1080": LINK,
        "pods/http:server:1080": LINK,
        "pods/server:160": "foo",
        "pods/http:server:162": "bar",
        "pods/https:server:443": LINK,
        "pods/https:server:460": "tls baz",
        "pods/https:server:462": "tls qux",
    }
    for name, page in expected.items():
        path = world.batch.path(f"{name}/proxy")
        status, _, body = ask(api, "GET", f"{path}/")
        assert (name, status, body) == (name, 200, page.format(path))


@pytest.mark.requirement(
    "[sig-network] Proxy version v1 A set of valid responses are returned for both pod and service ProxyWithPath"
)
@pytest.mark.requirement(
    "[sig-network] Proxy version v1 A set of valid responses are returned for both pod and service Proxy"
)
@pytest.mark.parametrize("target", [f"pods/server:{METHOD_PORT}", "services/one"])
def test_proxies_take_every_method(target: str, world: World, api: HttpApi) -> None:
    for method in VERBS:
        path = world.batch.path(f"{target}/proxy")
        status, _, body = ask(api, method, f"{path}/some/path/with/{method}")
        assert (method, status) == (method, 200)
        assert body == "" if method == "HEAD" else json.loads(body) == {"Method": method, "Body": "foo"}
        status, headers, body = ask(api, method, f"{path}?method={method}")
        if method in ("GET", "HEAD"):
            assert (status, headers["location"]) == (301, f"{path}/?method={method}")
        else:
            assert (status, json.loads(body)["Method"]) == (200, method)


@pytest.mark.requirement(
    "[sig-network] Networking Granular Checks: Pods should function for node-pod communication: http"
)
def test_the_node_reaches_pods_by_http(world: World) -> None:
    answer = world.batch.kubectl("exec", "client", "--", "wget", "-qO-", f"http://{world.address}:160/")
    assert answer == "foo"


@pytest.mark.requirement(
    "[sig-network] Networking Granular Checks: Pods should function for node-pod communication: udp"
)
def test_the_node_reaches_pods_by_udp(world: World) -> None:
    with answering_udp(world.batch.cluster, "server", UDP_PORT), socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(60)
        client.sendto(b"hostName", (world.address, UDP_PORT))
        assert client.recv(100) == b"server"


def printed_files(batch: Batch) -> list[str]:
    """A projected token, the mounted one, the certificate and the namespace, as the Pod has printed them."""
    log = wait_for(lambda: (text := batch.logs("reader")).count(SEPARATOR) == 4 and text, "all files are printed")
    return [part.strip() for part in log.split(SEPARATOR)[:4]]


@pytest.mark.requirement("[sig-auth] ServiceAccounts should mount an API token into pods")
def test_an_api_token_is_mounted(world: World, api: HttpApi) -> None:
    batch, pod = world.batch, world.batch.pod("reader")
    _, token, certificate, namespace = printed_files(batch)
    assert certificate == api.get(batch.path("configmaps/kube-root-ca.crt"))["data"]["ca.crt"].strip()
    assert namespace == batch.namespace
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    status = api.create("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert (status["authenticated"], status.get("error", "")) == (True, "")
    user = status["user"]
    assert user["username"] == f"system:serviceaccount:{batch.namespace}:mounted"
    groups = {"system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{batch.namespace}"}
    assert set(user["groups"]) == groups
    node = api.get(f"/api/v1/nodes/{pod['spec']['nodeName']}")["metadata"]
    extra = {key.removeprefix("authentication.kubernetes.io/"): value for key, value in user["extra"].items()}
    (credential,) = extra.pop("credential-id")
    assert credential.startswith("JTI=")
    assert extra == {
        "pod-name": ["reader"],
        "pod-uid": [pod["metadata"]["uid"]],
        "node-name": [node["name"]],
        "node-uid": [node["uid"]],
    }


@pytest.mark.requirement("[sig-auth] ServiceAccounts should mount projected service account token")
def test_a_projected_token_is_mounted(world: World) -> None:
    assert re.fullmatch(TOKEN_PATTERN, printed_files(world.batch)[0])
