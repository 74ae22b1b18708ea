"""The official Python client: paging, watches that resume, informers, apply, the dynamic client, leader election."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.informer import SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.metrics_kinds import NODE_METRICS, POD_METRICS
from tests.cluster import MANIFESTS, Cluster
from tests.own_ports import away_from_the_first_ports

APPLY_PATCH = "application/apply-patch+yaml"
SECONDS_MAX = 60


@pytest.fixture
def core(api_client: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api_client)


@pytest.fixture
def dynamic_client(api_client: client.ApiClient, tmp_path: Path) -> dynamic.DynamicClient:
    # By default it keeps what it discovers beside what other servers at the same address once told.
    return dynamic.DynamicClient(api_client, cache_file=str(tmp_path / "discovery.json"))


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_lists_come_in_pages(core: client.CoreV1Api, namespace: str) -> None:
    for number in range(5):
        labelled = config_map(f"page-{number}") | {"metadata": {"name": f"page-{number}", "labels": {"set": "pages"}}}
        core.create_namespaced_config_map(namespace, labelled)
    names, token, remaining = [], None, []
    while True:
        options = {"_continue": token} if token else {}
        page = core.list_namespaced_config_map(namespace, limit=2, **options)
        names += [item.metadata.name for item in page.items]
        remaining.append(page.metadata.remaining_item_count)
        token = page.metadata._continue
        if not token:
            break
    assert [name for name in names if name != "kube-root-ca.crt"] == [f"page-{number}" for number in range(5)]
    assert remaining[-1] is None
    assert remaining[0] in (3, 4)  # with or without kube-root-ca.crt
    selected = core.list_namespaced_config_map(namespace, limit=2, label_selector="set=pages")
    assert selected.metadata.remaining_item_count is None, "it is not told for selections"


def test_a_watch_is_resumed_where_it_stopped(core: client.CoreV1Api, namespace: str) -> None:
    listed = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("seen", size="1"))
    core.patch_namespaced_config_map("seen", namespace, {"data": {"size": "2"}})
    core.delete_namespaced_config_map("seen", namespace)

    def events(revision: str) -> Iterator[tuple[str, str, str]]:
        stream = watch.Watch().stream(
            core.list_namespaced_config_map, namespace, resource_version=revision, timeout_seconds=30,
            field_selector="metadata.name=seen",
        )  # fmt: skip
        for event in stream:
            found = event["object"]
            assert isinstance(found, client.V1ConfigMap)
            yield event["type"], found.data["size"], found.metadata.resource_version

    first = next(events(listed))
    assert first[:2] == ("ADDED", "1")
    rest = events(first[2])
    assert [next(rest)[:2], next(rest)[:2]] == [("MODIFIED", "2"), ("DELETED", "2")]


def test_a_watch_from_a_forgotten_revision_is_gone(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        with away_from_the_first_ports():
            cluster.up("--nodes", "0")
        # What came before the start of a server is known to no watch.
        cluster.podling("down")
        cluster.up()
        with config.new_client_from_config(config_file=str(tmp_path / "kubeconfig")) as api_client:
            core = client.CoreV1Api(api_client)
            stream = watch.Watch().stream(core.list_namespace, resource_version="1", timeout_seconds=30)
            with pytest.raises(client.ApiException) as gone:
                next(stream)
            assert gone.value.status == 410
            assert gone.value.reason.startswith("Expired: too old resource version: 1 (")
            events = watch.Watch().stream(core.list_namespace, resource_version="0", timeout_seconds=30)
            assert "default" in [next(events)["object"].metadata.name for _ in range(4)]
    finally:
        cluster.delete()


def test_initial_events_end_with_a_bookmark(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("one"))
    options = {
        "send_initial_events": True, "resource_version_match": "NotOlderThan", "allow_watch_bookmarks": True,
        "timeout_seconds": 30, "field_selector": "metadata.name=one",
    }  # fmt: skip
    events = watch.Watch().stream(core.list_namespaced_config_map, namespace, **options)
    first, second = next(events), next(events)
    assert (first["type"], first["object"].metadata.name) == ("ADDED", "one")
    assert second["type"] == "BOOKMARK"
    assert second["raw_object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_an_informer_follows_what_happens(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("old", size="1"))
    seen: Queue[tuple[str, str]] = Queue()
    informer = SharedInformer(core.list_namespaced_config_map, namespace=namespace)
    for event_type in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(
            event_type, lambda found, event_type=event_type: seen.put((event_type, found.metadata.name))
        )
    informer.start()

    def until(wanted: tuple[str, str]) -> None:
        while seen.get(timeout=SECONDS_MAX) != wanted:
            pass

    try:
        until(("ADDED", "old"))
        core.create_namespaced_config_map(namespace, config_map("new"))
        until(("ADDED", "new"))
        core.patch_namespaced_config_map("old", namespace, {"data": {"size": "2"}})
        until(("MODIFIED", "old"))
        assert informer.cache.get_by_key(f"{namespace}/old").data == {"size": "2"}
        core.delete_namespaced_config_map("new", namespace)
        until(("DELETED", "new"))
        assert informer.cache.get_by_key(f"{namespace}/new") is None
    finally:
        informer.stop()


def test_server_side_apply_keeps_owners_apart(core: client.CoreV1Api, namespace: str) -> None:
    def apply(manager: str, force: bool = False, **data: str) -> client.V1ConfigMap:
        return core.patch_namespaced_config_map(
            "owned", namespace, config_map("owned", **data), field_manager=manager, force=force or None,
            _content_type=APPLY_PATCH,
        )  # fmt: skip

    assert apply("one", colour="red", size="big").data == {"colour": "red", "size": "big"}
    with pytest.raises(client.ApiException) as conflict:
        apply("two", colour="blue")
    assert conflict.value.status == 409
    assert 'conflict with \\"one\\": .data.colour' in conflict.value.body
    assert apply("two", force=True, colour="blue").data == {"colour": "blue", "size": "big"}
    assert apply("one", size="big").data == {"colour": "blue", "size": "big"}
    assert apply("two").data == {"size": "big"}
    fields = {item.manager: item.fields_v1["f:data"] for item in apply("two").metadata.managed_fields}
    assert fields == {"one": {"f:size": {}}, "two": {}}


def test_a_conflict_and_an_invalid_object_are_told(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("one"))
    core.patch_namespaced_config_map("one", namespace, {"data": {"a": "b"}})
    with pytest.raises(client.ApiException) as stale:
        core.replace_namespaced_config_map("one", namespace, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version and try again" in (
        stale.value.body
    )
    with pytest.raises(client.ApiException) as invalid:
        core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}})
    assert invalid.value.status == 422
    assert "spec.containers[0].image: Required value" in invalid.value.body


def test_access_reviews_tokens_and_versions(
    api_client: client.ApiClient, core: client.CoreV1Api, namespace: str
) -> None:
    version = client.VersionApi(api_client).get_code()
    assert (version.major, version.minor) == ("1", "36")
    groups = client.ApisApi(api_client).get_api_versions()
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= {group.name for group in groups.groups}
    assert "pods/log" in [item.name for item in core.get_api_resources().resources]
    assert "deployments" in [item.name for item in client.AppsV1Api(api_client).get_api_resources().resources]
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "robot"}})
    request = {"spec": {"audiences": [], "expirationSeconds": 600}}
    token = core.create_namespaced_service_account_token("robot", namespace, request).status.token
    review = client.AuthenticationV1Api(api_client).create_token_review({"spec": {"token": token}})
    assert review.status.user.username == f"system:serviceaccount:{namespace}:robot"
    access = client.AuthorizationV1Api(api_client).create_self_subject_access_review(
        {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": namespace}}}
    )
    assert access.status.allowed is True
    eviction = {"metadata": {"name": "nobody"}}
    with pytest.raises(client.ApiException) as missing:
        core.create_namespaced_pod_eviction("nobody", namespace, eviction)
    assert missing.value.status == 404


def test_manifests_are_created_from_a_file(api_client: client.ApiClient, namespace: str) -> None:
    utils.create_from_yaml(api_client, str(MANIFESTS / "nginx.yaml"), namespace=namespace)
    assert client.AppsV1Api(api_client).read_namespaced_deployment("web", namespace).spec.replicas == 3
    with pytest.raises(utils.FailToCreateError):
        utils.create_from_yaml(api_client, str(MANIFESTS / "nginx.yaml"), namespace=namespace)


def test_the_dynamic_client_finds_kinds_by_discovery(dynamic_client: dynamic.DynamicClient, namespace: str) -> None:
    deployments = dynamic_client.resources.get(api_version="apps/v1", kind="Deployment")
    assert (deployments.name, deployments.namespaced, deployments.short_names) == ("deployments", True, ["deploy"])
    assert {"scale", "status"} <= set(deployments.subresources)
    config_maps = dynamic_client.resources.get(api_version="v1", kind="ConfigMap")
    made = config_maps.create(body=config_map("made", a="1"), namespace=namespace)
    assert made.data.to_dict() == {"a": "1"}
    applied = config_maps.server_side_apply(
        body=config_map("made", b="2"), namespace=namespace, field_manager="one", content_type=APPLY_PATCH
    )
    assert applied.data.to_dict() == {"a": "1", "b": "2"}
    with pytest.raises(ConflictError):
        config_maps.server_side_apply(body=config_map("made", b="3"), namespace=namespace, field_manager="two")
    config_maps.server_side_apply(
        body=config_map("made", b="3"), namespace=namespace, field_manager="two", force_conflicts=True
    )
    patch = {"data": {"b": None}}
    config_maps.patch(body=patch, name="made", namespace=namespace, content_type="application/merge-patch+json")
    events = config_maps.watch(namespace=namespace, name="made", timeout=30, resource_version="0")
    assert next(iter(events))["object"].data.to_dict() == {"a": "1"}
    config_maps.delete(name="made", namespace=namespace)
    with pytest.raises(NotFoundError):
        config_maps.get(name="made", namespace=namespace)


def test_the_dynamic_client_knows_every_kind(dynamic_client: dynamic.DynamicClient) -> None:
    found = {}
    for resource in dynamic_client.resources.search():
        if type(resource) is dynamic.Resource and "list" in resource.verbs:
            found[resource.group_version, resource.kind] = dynamic_client.get(resource).kind
    kinds = (*BUILTIN_KINDS, NODE_METRICS, POD_METRICS)
    assert found == {(kind.api_version, kind.kind): kind.list_kind for kind in kinds if kind.list_kind}


def test_a_leader_waits_for_the_one_before_it_and_gives_way_to_the_next(
    api_client: client.ApiClient, namespace: str
) -> None:
    leases = client.CoordinationV1Api(api_client)
    leads, ended = threading.Event(), threading.Event()
    now = datetime.now(UTC).isoformat()
    before = {"holderIdentity": "before", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
    leases.create_namespaced_lease(namespace, {"metadata": {"name": "lock"}, "spec": before})

    def lead() -> None:
        leads.set()
        ended.wait()

    election = electionconfig.Config(
        LeaseLock("lock", namespace, "candidate"), lease_duration=3, renew_deadline=2, retry_period=1,
        onstarted_leading=lead, onstopped_leading=ended.set,
    )  # fmt: skip
    candidate = threading.Thread(target=leaderelection.LeaderElection(election).run, daemon=True)
    candidate.start()
    assert leads.wait(SECONDS_MAX)
    lease = leases.read_namespaced_lease("lock", namespace)
    assert lease.spec.holder_identity == "candidate"
    leases.patch_namespaced_lease("lock", namespace, {"spec": {"holderIdentity": "next"}})
    assert ended.wait(SECONDS_MAX), "it notices when it renews"
    candidate.join(SECONDS_MAX)
    assert not candidate.is_alive()
