"""Every request that kubectl 1.27 to 1.36 was recorded to make is sent again, and answered with the recorded status.

Bodies were not recorded: they are what the command sends. Streams (exec, attach, port-forward, logs) need a node;
tests/kubectl/test_streams.py has them with every kubectl.
"""

from __future__ import annotations

import copy
import http.client
import json
import re
import ssl
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import yaml

from control.schema.protobuf_encoder import encode_protobuf
from tests.cluster import Cluster
from tests.recordings import FOLDER

FILE = FOLDER.parent / "kubectl-traffic.md"
TOKENS, TOKEN = FOLDER.parent / "tokens.csv", "golden-admin-token"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"no recorded traffic in {FILE}")

NAMESPACE = "traffic"
DISTANT = "Fri, 01 Jan 2100 00:00:00 GMT"
MEDIA_TYPES = {
    "json": "application/json",
    "*/*": "*/*",
    "PROTO": "application/vnd.kubernetes.protobuf",
    "TABLEv1": "application/json;as=Table;v=v1;g=meta.k8s.io",
    "TABLEv1b1": "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
    "AGGv2": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    "AGGv2b1": "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    "OPENAPIv2-PROTO": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
}
_TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
_SPEC = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": _TEMPLATE}


def _object(api_version: str, kind: str, name: str = "", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name} if name else {}, **fields}


def _autoscaler(version: str) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3}
    return _object(f"autoscaling/{version}", "HorizontalPodAutoscaler", "web", spec=spec)


CONFIG_MAP = _object("v1", "ConfigMap", "cm1", data={"a": "b"})
POD_SPEC = {"nodeName": "nd", "containers": [{"name": "c", "image": "nginx"}]}
#: what each section finds; the API server alone makes nothing of it
PRESENT = {
    "/api/v1/namespaces": _object("v1", "Namespace", NAMESPACE),
    f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts": _object("v1", "ServiceAccount", "default"),
    "/api/v1/nodes": _object("v1", "Node", "nd"),
    f"/api/v1/namespaces/{NAMESPACE}/configmaps": CONFIG_MAP,
    f"/api/v1/namespaces/{NAMESPACE}/pods": _object("v1", "Pod", "p", spec=POD_SPEC),
    "/apis/apps/v1/namespaces/traffic/deployments": _object("apps/v1", "Deployment", "web", spec=_SPEC),
    "/apis/apps/v1/namespaces/traffic/deployments?": _object("apps/v1", "Deployment", "d1", spec=_SPEC),
}
_JOB_SPEC = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}}
_ACCESS = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": NAMESPACE}}
#: what is posted to a path
POSTED = {
    "namespaces": _object("v1", "Namespace", "made"),
    "configmaps": _object("v1", "ConfigMap", "made", data={"a": "b"}),
    "pods": _object("v1", "Pod", "made", spec={"containers": [{"name": "c", "image": "nginx"}]}),
    "services": _object("v1", "Service", "made", spec={"ports": [{"port": 80}], "selector": {"app": "web"}}),
    "eviction": _object("policy/v1", "Eviction", "p"),
    "token": _object("authentication.k8s.io/v1", "TokenRequest", spec={"audiences": []}),
    "deployments": _object("apps/v1", "Deployment", "made", spec=_SPEC),
    "jobs": _object("batch/v1", "Job", "made", spec=_JOB_SPEC),
    "selfsubjectreviews": _object("authentication.k8s.io/v1", "SelfSubjectReview"),
    "selfsubjectaccessreviews": _object("authorization.k8s.io/v1", "SelfSubjectAccessReview", spec=_ACCESS),
    "selfsubjectrulesreviews": _object(
        "authorization.k8s.io/v1", "SelfSubjectRulesReview", spec={"namespace": NAMESPACE}
    ),
}
EPHEMERAL = {"name": "debugger", "image": "busybox", "targetContainerName": "c"}
PATCHES = {
    "strategic-merge-patch+json": {"metadata": {"annotations": {"seen": "yes"}}},
    "merge-patch+json": {"metadata": {"labels": {"x": "y"}}},
    "json-patch+json": [{"op": "add", "path": "/metadata/annotations", "value": {"q": "r"}}],
    "apply-patch+yaml": CONFIG_MAP,
}


class Row(NamedTuple):
    """One recorded request."""

    method: str
    path: str
    query: dict[str, str]
    accept: str
    content_type: str
    statuses: tuple[int, ...]


def _sections() -> dict[str, list[Row]]:
    """The rows of each command."""
    found: dict[str, list[Row]] = {}
    if not FILE.is_file():
        return found
    for section in FILE.read_text().split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        rows = [row for line in text.splitlines() if (row := _parse(line))]
        if title.startswith("kubectl") and rows:
            found[title] = rows
    return found


def _parse(line: str) -> Row | None:
    cells = [cell.strip() for cell in line.split(" | ")]
    if len(cells) < 6 or not re.match(r"\| (GET|POST|PUT|PATCH|DELETE)$", cells[0]):
        return None
    method, path, query, headers, status = cells[0][2:], *cells[1:5]
    if "Upgrade:" in headers or "GROUP/VERSION" in path or path.endswith("/log"):
        return None
    accept = re.search(r"Accept: ([^;]*)", headers)
    content_type = re.search(r"CT: (\S*)", headers)
    return Row(
        method=method,
        path=path.replace("/NS/", f"/{NAMESPACE}/").removesuffix("/NS"),
        query=dict(parse_qsl(query.replace("NS", NAMESPACE))),
        accept=", ".join(MEDIA_TYPES[name] for name in accept[1].split(",")) if accept else "*/*",
        content_type=content_type[1] if content_type else "",
        statuses=(int(status),),
    )


class Server:
    """A server of the cluster, asked as the recorded kubectl asked."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._context = ssl._create_unverified_context()
        self._numbers = count()

    def ask(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[int, Any, bytes]:
        """Send one request and read its whole answer: status, headers, body."""
        connection = http.client.HTTPSConnection(self._address, context=self._context, timeout=60)
        try:
            connection.request(method, target, body, {"Authorization": f"Bearer {TOKEN}", **headers})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def prepare(self) -> None:
        """Make what is missing of the objects that the commands work on."""
        force = json.dumps({"gracePeriodSeconds": 0}).encode()
        self.ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/p", {"Content-Type": "application/json"}, force)
        for path, obj in PRESENT.items():
            body = json.dumps(obj).encode()
            status, _, text = self.ask("POST", path.rstrip("?"), {"Content-Type": "application/json"}, body)
            assert status in (201, 409), text

    def send(self, row: Row) -> tuple[int, Any, bytes]:
        """Send a recorded request, with values of now for revisions, tokens and hashes."""
        headers = {"Accept": row.accept, "User-Agent": "kubectl/v1.36.0 (linux/amd64) kubernetes/1234567"}
        body = None
        if row.content_type:
            headers["Content-Type"] = f"application/{row.content_type}"
            body = _body_of(row, next(self._numbers))
        if 304 in row.statuses:
            _, answered, _ = self.ask("GET", _target(row, row.query), headers)
            # The index of OpenAPI v3 is as of now: who read it in the same second has it.
            headers |= {"If-None-Match": answered["ETag"]} if answered["ETag"] else {"If-Modified-Since": DISTANT}
        return self.ask(row.method, _target(row, self._query_of(row)), headers, body)

    def _query_of(self, row: Row) -> dict[str, str]:
        query = dict(row.query)
        if query.get("watch") == "true":
            query["timeoutSeconds"] = "1"
            query.pop("timeout", None)
        if query.get("resourceVersion") == "RV":
            _, _, text = self.ask("GET", f"{row.path}?limit=1", {})
            query["resourceVersion"] = json.loads(text)["metadata"]["resourceVersion"]
        if "continue" in query:
            _, _, text = self.ask("GET", "/api/v1/namespaces?limit=1", {})
            token = json.loads(text)["metadata"]["continue"]
            query["continue"] = token
        if "hash" in query:
            _, _, text = self.ask("GET", "/openapi/v3", {})
            own = json.loads(text)["paths"][row.path.removeprefix("/openapi/v3/")]["serverRelativeURL"]
            query["hash"] = dict(parse_qsl(urlsplit(own).query))["hash"]
        return query


def _target(row: Row, query: dict[str, str]) -> str:
    # A token of the list of Pods continues any list by its own key; namespaces have more than one object here.
    path = "/api/v1/namespaces" if "continue" in query else row.path
    return f"{path}?{urlencode(query)}" if query else path


def _body_of(row: Row, number: int) -> bytes:
    plural = row.path.rsplit("/", 1)[-1]
    value: Any = copy.deepcopy(POSTED.get(plural))
    if row.method == "PATCH":
        value = PATCHES[row.content_type]
        if plural == "scale":
            value = {"spec": {"replicas": 2}}
        elif plural == "ephemeralcontainers":
            value = {"spec": {"ephemeralContainers": [EPHEMERAL]}}
    elif row.method == "PUT":
        value = CONFIG_MAP
    elif row.method == "DELETE":
        value = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "gracePeriodSeconds": 0,
        }
    elif plural == "horizontalpodautoscalers":
        value = _autoscaler(row.path.split("/")[3])
    assert value is not None, f"nothing to send to {row.path}"
    if row.method == "POST" and value["metadata"].get("name") in ("made", "web"):
        value["metadata"]["name"] += f"-{number}"  # several versions of kubectl make the same object
    return encode_protobuf(value) if row.content_type.endswith("protobuf") else json.dumps(value).encode()


SECTIONS = _sections()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An API server that nothing else writes to."""
    cluster = Cluster(tmp_path_factory.mktemp("traffic"))
    try:
        cluster.up("--nodes", "0", "--no-controllers", "--no-scheduler", "--profile", "upstream",
                   "--token-auth-file", str(TOKENS))  # fmt: skip
        kubeconfig = yaml.safe_load((cluster.directory / "kubeconfig").read_text())
        yield Server(kubeconfig["clusters"][0]["cluster"]["server"])
    finally:
        cluster.delete()


def test_the_whole_file_is_read() -> None:
    assert len(SECTIONS) > 50
    assert sum(len(rows) for rows in SECTIONS.values()) > 180


@pytest.mark.parametrize("command", SECTIONS)
def test_requests_of_a_command_are_answered(server: Server, command: str) -> None:
    server.prepare()
    for row in SECTIONS[command]:
        status, headers, body = server.send(row)
        assert status in row.statuses, f"{row}\n{body[:600]!r}"
        if status != 304 and "*/*" not in row.accept and not row.path.startswith("/openapi/v2"):
            accepted = [part.split(";")[0].strip() for part in row.accept.split(",")]
            assert headers["Content-Type"].split(";")[0] in accepted, row
        if "as=Table" in row.accept and row.query.get("watch") != "true":
            assert json.loads(body)["kind"] == "Table", row
        if row.query.get("sendInitialEvents") == "true":
            last = json.loads(body.splitlines()[-1])
            assert last["type"] == "BOOKMARK", row
