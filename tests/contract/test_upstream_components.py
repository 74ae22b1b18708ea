"""What upstream's kube-scheduler, kube-controller-manager and kubelet ask of an API server when they start and work.

Their requests as they send them: paths, queries, headers, bodies in protobuf; each as its own user, with upstream's
policy alone. Answers may be JSON or protobuf, as the Accept header lists both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import pytest

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.exchange import User
from control.auth.attributes import NO_OPINION, Decision, RequestAttributes
from control.auth.authorizer import ControlPlaneAuthorizer
from control.schema.protobuf_encoder import encode_protobuf
from tests.fakes.api_server import RunningApiServer, running_api_server

PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPT = f"{PROTOBUF},application/json"
METADATA = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
NOW = "2026-01-01T00:00:00.000000Z"
Object = dict[str, Any]

SCHEDULER_READS = (
    "pods", "nodes", "services", "replicationcontrollers", "persistentvolumeclaims", "persistentvolumes", "namespaces",
    "replicasets.apps", "statefulsets.apps", "poddisruptionbudgets.policy", "storageclasses.storage.k8s.io",
    "csinodes.storage.k8s.io", "csidrivers.storage.k8s.io", "csistoragecapacities.storage.k8s.io",
    "volumeattachments.storage.k8s.io", "resourceclaims.resource.k8s.io", "resourceslices.resource.k8s.io",
    "deviceclasses.resource.k8s.io",
)  # fmt: skip
WATCHABLE = {f"{kind.plural}.{kind.group}".rstrip("."): kind for kind in BUILTIN_KINDS if "watch" in kind.verbs}


class Component:
    """One of upstream's programs: a client certificate, a user agent, bodies in protobuf."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = PROTOBUF,
        accept: str = ACCEPT,
        expect: int = 200,
    ) -> Any:
        """Send a request, require its status, decode its answer."""
        content = None
        headers = {"Accept": accept}
        if body is not None:
            content = encode_protobuf(body) if content_type == PROTOBUF else orjson.dumps(body)
            headers["Content-Type"] = content_type
        async with self._session.request(method, path, params=query, data=content, headers=headers) as answer:
            text = await answer.read()
            assert answer.status == expect, f"{method} {path}: {answer.status} {text[:500]!r}"
            return orjson.loads(text) if answer.content_type == "application/json" else text

    async def patch(self, path: str, body: Object) -> Any:
        """A strategic merge patch, which has no protobuf form."""
        return await self.send("PATCH", path, body, content_type="application/strategic-merge-patch+json")

    async def follow(self, path: str, **selectors: str) -> list[Object]:
        """Open a watch as an informer does now: initial events in the stream; returns them once they are complete."""
        query = {
            **selectors, "watch": "true", "allowWatchBookmarks": "true", "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan", "timeoutSeconds": "428",
        }  # fmt: skip
        objects: list[Object] = []
        async with self._session.get(path, params=query, headers={"Accept": ACCEPT}) as answer:
            assert answer.status == 200, f"{path}: {answer.status} {await answer.text()}"
            async for line in answer.content:
                event = orjson.loads(line)
                if event["type"] == "BOOKMARK":
                    assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
                    return objects
                assert event["type"] == "ADDED"
                objects.append(event["object"])
        raise AssertionError(f"{path}: the watch ended before the initial events did")

    async def list_and_watch(self, path: str) -> None:
        """As an informer does that falls back to a list."""
        listed = await self.send("GET", path, query={"limit": "500", "resourceVersion": "0"})
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "1"}
        query["resourceVersion"] = listed["metadata"]["resourceVersion"]
        async with self._session.get(path, params=query, headers={"Accept": ACCEPT}) as answer:
            assert (answer.status, await answer.read()) == (200, b"")

    @asynccontextmanager
    async def stream(self, path: str, *, accept: str, **query: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """An open answer."""
        async with self._session.get(path, params=query, headers={"Accept": accept}) as answer:
            yield answer


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningApiServer]:
    """An API server without rules of its own for its own parts."""

    def no_opinion(self: ControlPlaneAuthorizer, user: User, attributes: RequestAttributes) -> Decision:
        return NO_OPINION

    monkeypatch.setattr(ControlPlaneAuthorizer, "authorize", no_opinion)
    async with running_api_server(profile="upstream") as running:
        yield running


@asynccontextmanager
async def component(
    server: RunningApiServer, user: str, groups: tuple[str, ...] = (), *, agent: str = "kube"
) -> AsyncIterator[Component]:
    pair = server.keys.authority.issue_client(user, groups, now=datetime.now(UTC))
    certificate = server.keys.directory / "component.pem"
    certificate.write_bytes(pair.certificate_pem + pair.key_pem)
    context = server.client_ssl_context(with_certificate=False)
    context.load_cert_chain(certificate)
    connector = aiohttp.TCPConnector(ssl=context)
    headers = {"User-Agent": f"{agent}/v1.36.2 (linux/amd64) kubernetes/0000000"}
    async with aiohttp.ClientSession(server.url, connector=connector, headers=headers) as session:
        yield Component(session)


async def add_default_account(admin: Component) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await admin.send("POST", "/api/v1/namespaces/default/serviceaccounts", account, expect=201)


def make_node(name: str) -> Object:
    amounts = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": NOW[:19] + "Z", "reason": "KubeletReady"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]},
    }


def make_pod(name: str, **spec: Any) -> Object:
    containers = [{"name": "c", "image": "nginx"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": containers, "automountServiceAccountToken": False, **spec},
    }


def make_lease(name: str, namespace: str, holder: str) -> Object:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": NOW, "renewTime": NOW}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


async def hold_lease(part: Component, name: str, namespace: str) -> None:
    """Find no Lease, make one, renew it."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    await part.send("GET", f"{path}/{name}", expect=404)
    made = await part.send("POST", path, make_lease(name, namespace, "me"), expect=201)
    made["spec"]["renewTime"] = "2026-01-01T00:00:02.000000Z"
    renewed = await part.send("PUT", f"{path}/{name}", made)
    assert renewed["spec"] == made["spec"]


async def test_a_scheduler_starts_reads_binds_and_reports(server: RunningApiServer) -> None:
    async with component(server, "kubernetes-admin", ("system:masters",)) as admin:
        await add_default_account(admin)
        await admin.send("POST", "/api/v1/nodes", make_node("n1"), expect=201)
        await admin.send("POST", "/api/v1/namespaces/default/pods", make_pod("p"), expect=201)
        await admin.send("POST", "/api/v1/namespaces/default/pods", make_pod("big"), expect=201)
    async with component(server, "system:kube-scheduler", agent="kube-scheduler") as scheduler:
        # Delegated authentication reads this one ConfigMap, then watches it by name.
        authentication = "/api/v1/namespaces/kube-system/configmaps"
        await scheduler.send("GET", f"{authentication}/extension-apiserver-authentication")
        await scheduler.follow(authentication, fieldSelector="metadata.name=extension-apiserver-authentication")
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {"user": "somebody", "nonResourceAttributes": {"path": "/metrics", "verb": "get"}},
        }
        answer = await scheduler.send("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review, expect=201)
        assert answer["status"]["allowed"] is False
        await scheduler.list_and_watch("/api/v1/nodes")
        for name in SCHEDULER_READS:
            selector = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"} if name == "pods" else {}
            await scheduler.follow(WATCHABLE[name].path(), **selector)
        await hold_lease(scheduler, "kube-scheduler", "kube-system")
        await bind_and_report(scheduler)


async def bind_and_report(scheduler: Component) -> None:
    pods = {pod["metadata"]["name"]: pod for pod in await scheduler.follow("/api/v1/pods")}
    metadata = pods["p"]["metadata"]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "namespace": "default", "uid": metadata["uid"]},
        "target": {"kind": "Node", "name": "n1"},
    }
    path = "/api/v1/namespaces/default/pods/p"
    answer = await scheduler.send("POST", f"{path}/binding", binding, expect=201)
    assert answer["status"] == "Success"
    await scheduler.send("POST", f"{path}/binding", binding, expect=409)
    assert (await scheduler.send("GET", path))["spec"]["nodeName"] == "n1"
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "p.18a", "namespace": "default"},
        "eventTime": NOW,
        "reportingController": "default-scheduler",
        "reportingInstance": "default-scheduler-host",
        "action": "Binding",
        "reason": "Scheduled",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p", "uid": metadata["uid"], "apiVersion": "v1"},
        "note": "Successfully assigned default/p to n1",
        "type": "Normal",
    }
    events = "/apis/events.k8s.io/v1/namespaces/default/events"
    await scheduler.send("POST", events, event, expect=201)
    series = {"series": {"count": 2, "lastObservedTime": NOW}}
    assert (await scheduler.patch(f"{events}/p.18a", series))["series"]["count"] == 2
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    status = {"status": {"conditions": [condition], "nominatedNodeName": "n1"}}
    patched = await scheduler.patch("/api/v1/namespaces/default/pods/big/status", status)
    assert patched["status"]["nominatedNodeName"] == "n1"
    await scheduler.send("DELETE", "/api/v1/namespaces/default/pods/big", delete_options())


def delete_options(**fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": "DeleteOptions", **fields}


async def test_a_controller_manager_starts_reads_everything_and_acts_as_its_service_accounts(
    server: RunningApiServer,
) -> None:
    async with component(server, "system:kube-controller-manager", agent="kube-controller-manager") as manager:
        assert await manager.send("GET", "/healthz", accept="application/json, */*") == b"ok"
        await discover(manager)
        await hold_lease(manager, "kube-controller-manager", "kube-system")
        for kind in WATCHABLE.values():
            await manager.follow(kind.path())
            # Garbage collector and quota see metadata alone, of every kind that there is.
            accept = f"{PROTOBUF}{METADATA},application/json{METADATA},application/json"
            listed = await manager.send("GET", kind.path(), accept=accept)
            assert listed["kind"] == "PartialObjectMetadataList", kind.plural
        token = await service_account_token(manager, "replicaset-controller")
    async with component(server, "kubernetes-admin", ("system:masters",)) as admin:
        await add_default_account(admin)
        await admin.send("POST", "/apis/apps/v1/namespaces/default/replicasets", make_replica_set(), expect=201)
    await control_as_service_account(server, token)


async def discover(manager: Component) -> None:
    wanted = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
    accept = f"{wanted.format('v2')},{wanted.format('v2beta1')},application/json"
    for path in ("/api", "/apis"):
        assert (await manager.send("GET", path, accept=accept))["kind"] == "APIGroupDiscoveryList"
    groups = await manager.send("GET", "/apis", accept="application/json, */*")
    assert groups["kind"] == "APIGroupList"
    for version in ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups["groups"])]:
        assert (await manager.send("GET", version, accept="application/json, */*"))["kind"] == "APIResourceList"


async def service_account_token(manager: Component, name: str) -> str:
    path = "/api/v1/namespaces/kube-system/serviceaccounts"
    await manager.send("GET", f"{path}/{name}", expect=404)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"}}
    await manager.send("POST", path, account, expect=201)
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {},
        "spec": {"expirationSeconds": 3600},
    }
    return str((await manager.send("POST", f"{path}/{name}/token", request, expect=201))["status"]["token"])


def make_replica_set() -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": make_pod("x")["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }


async def control_as_service_account(server: RunningApiServer, token: str) -> None:
    connector = aiohttp.TCPConnector(ssl=server.client_ssl_context(with_certificate=False))
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "kube-controller-manager/v1.36.2"}
    async with aiohttp.ClientSession(server.url, connector=connector, headers=headers) as session:
        controller = Component(session)
        me = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
        answer = await controller.send("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", me, expect=201)
        name = "system:serviceaccount:kube-system:replicaset-controller"
        assert answer["status"]["userInfo"]["username"] == name
        access = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "default"}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        assert (await controller.send("POST", path, access, expect=201))["status"]["allowed"] is True
        await controller.send("GET", "/api/v1/namespaces/default/secrets", expect=403)
        await reconcile_replica_set(controller)


async def reconcile_replica_set(controller: Component) -> None:
    (replica_set,) = await controller.follow("/apis/apps/v1/replicasets")
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "web",
        "uid": replica_set["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    pod = make_pod("")
    pod["metadata"] = {"generateName": "web-", "labels": {"app": "web"}, "ownerReferences": [owner]}
    made = await controller.send("POST", "/api/v1/namespaces/default/pods", pod, expect=201)
    assert made["metadata"]["name"].startswith("web-")
    assert made["metadata"]["ownerReferences"] == [owner]
    replica_set["status"] = {"replicas": 1, "fullyLabeledReplicas": 1, "observedGeneration": 1}
    path = "/apis/apps/v1/namespaces/default/replicasets/web/status"
    assert (await controller.send("PUT", path, replica_set))["status"] == replica_set["status"]
    await controller.send("PUT", path, replica_set, expect=409)


NODE_GROUPS = ("system:nodes",)


async def test_a_kubelet_registers_reports_and_runs_a_pod(server: RunningApiServer) -> None:
    async with component(server, "system:node:n1", NODE_GROUPS, agent="kubelet") as kubelet:
        node = await kubelet.send("POST", "/api/v1/nodes", make_node("n1"), expect=201)
        await kubelet.send("POST", "/api/v1/nodes", make_node("n1"), expect=409)
        await kubelet.send("POST", "/api/v1/nodes", make_node("n2"), expect=403)
        await hold_lease(kubelet, "n1", "kube-node-lease")
        await csi_node(kubelet, node)
        await read_as_kubelet(kubelet)
        await report_node(kubelet)
    async with component(server, "kubernetes-admin", ("system:masters",)) as admin:
        await add_default_account(admin)
        pod = make_pod("p", nodeName="n1", automountServiceAccountToken=True)
        pod["spec"]["volumes"] = [{"name": "s", "secret": {"secretName": "mine"}}]
        await admin.send("POST", "/api/v1/namespaces/default/pods", pod, expect=201)
        for name in ("mine", "other"):
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
            await admin.send("POST", "/api/v1/namespaces/default/secrets", secret, expect=201)
    async with component(server, "system:node:n1", NODE_GROUPS, agent="kubelet") as kubelet:
        await run_pod(kubelet)


async def csi_node(kubelet: Component, node: Object) -> None:
    """The kubelet keeps one CSINode and lists its drivers there."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": node["metadata"]["uid"]}
    csi = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {"name": "n1", "ownerReferences": [owner]},
        "spec": {"drivers": []},
    }
    path = "/apis/storage.k8s.io/v1/csinodes"
    await kubelet.send("GET", f"{path}/n1", expect=404)
    made = await kubelet.send("POST", path, csi, expect=201)
    made["spec"]["drivers"] = [{"name": "csi.example.com", "nodeID": "n1", "topologyKeys": ["zone"]}]
    assert (await kubelet.send("PUT", f"{path}/n1", made))["spec"] == made["spec"]
    await kubelet.send("POST", path, {**csi, "metadata": {"name": "n2"}}, expect=403)


async def read_as_kubelet(kubelet: Component) -> None:
    await kubelet.send("GET", "/api/v1/nodes/n1", query={"resourceVersion": "0"})
    (own,) = await kubelet.follow("/api/v1/nodes", fieldSelector="metadata.name=n1")
    assert own["metadata"]["name"] == "n1"
    await kubelet.follow("/api/v1/pods", fieldSelector="spec.nodeName=n1")
    for name in ("services", "csidrivers.storage.k8s.io", "runtimeclasses.node.k8s.io"):
        await kubelet.follow(WATCHABLE[name].path())
    # What an earlier kubelet published of its devices goes first.
    await kubelet.send(
        "DELETE",
        "/apis/resource.k8s.io/v1/resourceslices",
        delete_options(),
        query={"fieldSelector": "spec.nodeName=n1"},
    )


async def report_node(kubelet: Component) -> None:
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:09Z", "reason": "KubeletReady"}
    status = {
        "$setElementOrder/conditions": [{"type": "Ready"}],
        "addresses": [
            {"$patch": "replace"},
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "Hostname", "address": "n1"},
        ],
        "conditions": [ready],
        "volumesInUse": ["kubernetes.io/csi/csi.example.com^1"],
    }
    patched = await kubelet.patch("/api/v1/nodes/n1/status", {"status": status})
    assert [item["type"] for item in patched["status"]["addresses"]] == ["InternalIP", "Hostname"]
    (condition,) = patched["status"]["conditions"]
    assert condition["lastHeartbeatTime"] == "2026-01-01T00:00:09Z"
    await kubelet.patch("/api/v1/nodes/n1", {"metadata": {"annotations": {"volumes.kubernetes.io/x": "true"}}})
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "n1.18a", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": "n1", "uid": "n1"},
        "reason": "Starting",
        "message": "Starting kubelet.",
        "source": {"component": "kubelet", "host": "n1"},
        "firstTimestamp": NOW[:19] + "Z",
        "lastTimestamp": NOW[:19] + "Z",
        "count": 1,
        "type": "Normal",
        "reportingComponent": "kubelet",
        "reportingInstance": "n1",
    }
    await kubelet.send("POST", "/api/v1/namespaces/default/events", event, expect=201)
    assert (await kubelet.patch("/api/v1/namespaces/default/events/n1.18a", {"count": 2}))["count"] == 2


async def run_pod(kubelet: Component) -> None:
    (pod,) = await kubelet.follow("/api/v1/pods", fieldSelector="spec.nodeName=n1")
    (secret,) = await kubelet.follow("/api/v1/namespaces/default/secrets", fieldSelector="metadata.name=mine")
    assert secret["metadata"]["name"] == "mine"
    await kubelet.send("GET", "/api/v1/namespaces/default/secrets/other", expect=403)
    metadata = pod["metadata"]
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {},
        "spec": {
            "expirationSeconds": 3607,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": metadata["uid"]},
        },
    }
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    answer = await kubelet.send("POST", f"{accounts}/default/token", request, expect=201)
    assert answer["status"]["token"]
    status = {
        "metadata": {"uid": metadata["uid"]},
        "status": {
            "$setElementOrder/conditions": [{"type": "Ready"}, {"type": "PodScheduled"}],
            "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}],
            "phase": "Running",
            "podIP": "10.244.0.2",
            "podIPs": [{"ip": "10.244.0.2"}],
        },
    }
    patched = await kubelet.patch("/api/v1/namespaces/default/pods/p/status", status)
    assert (patched["status"]["phase"], patched["status"]["podIPs"]) == ("Running", [{"ip": "10.244.0.2"}])
    await kubelet.send("DELETE", "/api/v1/namespaces/default/pods/p", delete_options(gracePeriodSeconds=30))
    ended = delete_options(gracePeriodSeconds=0, preconditions={"uid": metadata["uid"]})
    await kubelet.send("DELETE", "/api/v1/namespaces/default/pods/p", ended)
    assert await kubelet.follow("/api/v1/pods", fieldSelector="spec.nodeName=n1") == []


async def test_a_watch_that_accepts_protobuf_alone_gets_it(server: RunningApiServer) -> None:
    async with component(server, "kubernetes-admin", ("system:masters",)) as admin:
        await admin.send("POST", "/api/v1/nodes", make_node("n1"), expect=201)
        async with admin.stream("/api/v1/nodes", accept=PROTOBUF, watch="true", resourceVersion="0") as answer:
            assert answer.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
            size = int.from_bytes(await answer.content.readexactly(4), "big")
            assert b"k8s\x00" in await answer.content.readexactly(size)
