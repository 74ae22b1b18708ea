"""Requirements of sig-api-machinery and sig-instrumentation: lists in pages, watches, namespaces, Events, discovery."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.batch import Batch, Object, make_object
from tests.conformance.http_api import HttpApi

LABEL = "watch-this-configmap"
TEMPLATE = {"spec": {"containers": [{"name": "test", "image": "test2"}]}}

# --- lists in pages ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement(
    "[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls"
)
def test_chunks_of_results_for_list_calls(batch: Batch, api: HttpApi) -> None:
    total, path = 120, batch.path("podtemplates")
    names = [f"template-{index:04}" for index in range(total)]
    for name in names:
        api.create(path, make_object("PodTemplate", name, template=TEMPLATE))
    for limit in (7, 40, 119):
        listed: list[str] = []
        pages = list(read_pages(api, path, limit))
        assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1
        for page in pages:
            assert len(page["items"]) <= limit
            listed += [item["metadata"]["name"] for item in page["items"]]
            assert page["metadata"].get("remainingItemCount", 0) == total - len(listed)
        assert listed == names
    assert len(api.get(path, limit=str(total + 1))["items"]) == total


def read_pages(api: HttpApi, path: str, limit: int) -> Iterator[Object]:
    """All pages of a list."""
    query = {"limit": str(limit)}
    while True:
        page = api.get(path, **query)
        yield page
        if "continue" not in page["metadata"]:
            assert "remainingItemCount" not in page["metadata"]
            return
        query["continue"] = page["metadata"]["continue"]


# --- watches ----------------------------------------------------------------------------------------------------------


def seen_by(events: Iterator[tuple[str, Object]], count: int) -> list[tuple[str, str]]:
    """Types and resourceVersions of the next events."""
    return [(kind, item["metadata"]["resourceVersion"]) for kind, item in (next(events) for _ in range(count))]


def version_of(item: Object) -> str:
    """The resourceVersion of an object."""
    version: str = item["metadata"]["resourceVersion"]
    return version


def make_map(name: str, label: str) -> Object:
    """A ConfigMap that a watch selects."""
    return make_object("ConfigMap", name, labels={LABEL: label})


def mutate(api: HttpApi, path: str, value: str) -> Object:
    """Change the data of a ConfigMap."""
    return api.patch(path, {"data": {"mutation": value}})


@pytest.mark.requirement(
    "[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps"
)
def test_watchers_observe_what_they_select(batch: Batch, api: HttpApi) -> None:
    path = batch.path("configmaps")
    a, b = f"{path}/watched-a", f"{path}/watched-b"
    both = f"{LABEL} in (A, B)"
    with (
        api.watch(path, f"{LABEL}=A") as only_a,
        api.watch(path, f"{LABEL}=B") as only_b,
        api.watch(path, both) as all_events,
    ):
        expected_a = [("ADDED", version_of(api.create(path, make_map("watched-a", "A"))))]
        expected_a += [("MODIFIED", version_of(mutate(api, a, value))) for value in ("1", "2")]
        api.delete(a)
        expected_b = [("ADDED", version_of(api.create(path, make_map("watched-b", "B"))))]
        api.delete(b)
        last = api.create(path, make_map("watched-c", "A"))
        seen = seen_by(all_events, 7)
        assert [seen[0], seen[1], seen[2], seen[4]] == [*expected_a, *expected_b]
        assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED", "ADDED", "DELETED", "ADDED"]
        # nothing of B comes between the deletion of A and the next of A
        assert seen_by(only_a, 5) == [*seen[:4], ("ADDED", version_of(last))]
        assert seen_by(only_b, 2) == seen[4:6]
    api.delete(f"{path}/watched-c")


@pytest.mark.requirement(
    "[sig-api-machinery] Watchers should be able to start watching from a specific resource version"
)
def test_a_watch_starts_from_a_version(batch: Batch, api: HttpApi) -> None:
    path = batch.path("configmaps")
    api.create(path, make_map("from-version", "version"))
    first = mutate(api, f"{path}/from-version", "1")
    second = mutate(api, f"{path}/from-version", "2")
    api.delete(f"{path}/from-version")
    with api.watch(path, f"{LABEL}=version", version_of(first)) as events:
        seen = seen_by(events, 2)
    assert seen[0] == ("MODIFIED", version_of(second))
    assert seen[1][0] == "DELETED"


@pytest.mark.requirement(
    "[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the "
    "previous watch"
)
def test_a_watch_goes_on_where_the_last_one_ended(batch: Batch, api: HttpApi) -> None:
    path = batch.path("configmaps")
    with api.watch(path, f"{LABEL}=restarted") as events:
        created = api.create(path, make_map("restarted", "restarted"))
        first = mutate(api, f"{path}/restarted", "1")
        assert seen_by(events, 2) == [("ADDED", version_of(created)), ("MODIFIED", version_of(first))]
    second = mutate(api, f"{path}/restarted", "2")
    with api.watch(path, f"{LABEL}=restarted", version_of(first)) as events:
        api.delete(f"{path}/restarted")
        seen = seen_by(events, 2)
    assert seen[0] == ("MODIFIED", version_of(second))
    assert seen[1][0] == "DELETED"


@pytest.mark.requirement(
    "[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the "
    "selector"
)
def test_what_is_no_longer_selected_is_deleted_to_a_watch(batch: Batch, api: HttpApi) -> None:
    path = batch.path("configmaps")
    one = f"{path}/relabeled"
    with api.watch(path, f"{LABEL}=mine") as events:
        expected = [("ADDED", version_of(api.create(path, make_map("relabeled", "mine"))))]
        expected.append(("MODIFIED", version_of(mutate(api, one, "1"))))
        expected.append(("DELETED", version_of(api.patch(one, {"metadata": {"labels": {LABEL: "wrong"}}}))))
        mutate(api, one, "2")
        expected.append(("ADDED", version_of(api.patch(one, {"metadata": {"labels": {LABEL: "mine"}}}))))
        expected.append(("MODIFIED", version_of(mutate(api, one, "3"))))
        api.delete(one)
        seen = seen_by(events, 6)
    assert seen[:5] == expected
    assert seen[5][0] == "DELETED"


@pytest.mark.requirement("[sig-api-machinery] Watchers should receive events on concurrent watches in same order")
def test_watches_see_the_same_order(batch: Batch, api: HttpApi, cluster: Any) -> None:
    """A watch from the version of each event of the first watch sees all that follow, as the first does."""
    path, selector, count = batch.path("configmaps"), f"{LABEL}=order", 12
    start = api.get(path)["metadata"]["resourceVersion"]
    writers = [threading.Thread(target=write_maps, args=(cluster, path, index, count // 2)) for index in range(2)]
    with api.watch(path, selector, start) as events:
        for writer in writers:
            writer.start()
        first = seen_by(events, 3 * count)
        for writer in writers:
            writer.join()
    versions = [int(version) for _, version in first]
    assert versions == sorted(versions)
    for index in range(len(first) - 1):
        with api.watch(path, selector, first[index][1]) as events:
            assert seen_by(events, len(first) - index - 1) == first[index + 1 :]


def write_maps(cluster: Any, path: str, writer: int, count: int) -> None:
    """Create, change and delete ConfigMaps."""
    api = HttpApi(cluster)
    for index in range(count):
        name = f"order-{writer}-{index}"
        api.create(path, make_map(name, "order"))
        mutate(api, f"{path}/{name}", "1")
        api.delete(f"{path}/{name}")
    api.close()


# --- Events -----------------------------------------------------------------------------------------------------------


def without_server_fields(event: Object) -> Object:
    """The Event but for what every write changes."""
    metadata = {
        key: value for key, value in event["metadata"].items() if key not in ("resourceVersion", "managedFields")
    }
    return event | {"metadata": metadata}


@pytest.mark.requirement("[sig-instrumentation] Events should manage the lifecycle of an event")
def test_the_lifecycle_of_an_event(batch: Batch, api: HttpApi) -> None:
    event = make_object("Event", "event-test", labels={"testevent-constant": batch.namespace})
    event |= {"message": "This is a test event", "reason": "Test", "type": "Normal", "count": 1}
    path, selector = batch.path("events"), f"testevent-constant={batch.namespace}"
    api.create(path, event | {"involvedObject": {"namespace": batch.namespace}})
    assert [item["metadata"]["name"] for item in api.items("/api/v1/events", selector)] == ["event-test"]
    one = f"{path}/event-test"
    api.patch(one, {"message": "This is a test event - patched"})
    changed = without_server_fields(api.get(one))
    assert changed["message"] == "This is a test event - patched"
    changed["series"] = {"count": 100, "lastObservedTime": "2017-09-19T13:49:16.000000Z"}
    api.update(one, changed)
    assert without_server_fields(api.get(one)) == changed
    api.delete(one)
    assert api.items("/api/v1/events", selector) == []


@pytest.mark.parametrize(
    ("requirement", "root", "text"),
    [
        ("[sig-instrumentation] Events should delete a collection of events", "/api/v1", "message"),
        ("[sig-instrumentation] Events API should delete a collection of events", "/apis/events.k8s.io/v1", "note"),
    ],
)
def test_a_collection_of_events_is_deleted(requirement: str, root: str, text: str, batch: Batch, api: HttpApi) -> None:
    path = f"{root}/namespaces/{batch.namespace}/events"
    selector = f"testevent-set={text}"
    for name in ("test-event-1", "test-event-2", "test-event-3"):
        event = make_object("Event", f"{text}-{name}", labels={"testevent-set": text})
        event |= {text: f"This is {name}", "reason": "Test", "type": "Normal"}
        if text == "note":
            event |= {
                "apiVersion": "events.k8s.io/v1",
                "regarding": {"namespace": batch.namespace},
                "eventTime": "2017-09-19T13:49:16.000000Z",
                "action": "Do",
                "reportingController": "test-controller",
                "reportingInstance": "test-node",
            }
        else:
            event |= {"count": 1, "involvedObject": {"namespace": batch.namespace}}
        api.create(path, event)
    assert len(api.items(path, selector)) == 3
    api.delete(path, labelSelector=selector)
    assert api.items(path, selector) == []


# --- discovery and decoding -------------------------------------------------------------------------------------------

LEGACY = {("", "v1", "namespaces")}
GROUPED = {
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "v1", "apiservices"),
    ("apps", "v1", "deployments"),
    ("authentication.k8s.io", "v1", "tokenreviews"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
    ("autoscaling", "v1", "horizontalpodautoscalers"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("batch", "v1", "jobs"),
    ("certificates.k8s.io", "v1", "certificatesigningrequests"),
    ("coordination.k8s.io", "v1", "leases"),
    ("discovery.k8s.io", "v1", "endpointslices"),
    ("events.k8s.io", "v1", "events"),
    ("networking.k8s.io", "v1", "ingresses"),
    ("node.k8s.io", "v1", "runtimeclasses"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("scheduling.k8s.io", "v1", "priorityclasses"),
    ("storage.k8s.io", "v1", "csinodes"),
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
#: as client-go asks, which takes what it gets
ANY_DISCOVERY = (
    f"{AGGREGATED},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@pytest.mark.parametrize(
    ("requirement", "accept"),
    [
        (
            "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers",
            AGGREGATED,
        ),
        ("[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface", ANY_DISCOVERY),
    ],
)
def test_aggregated_discovery(requirement: str, accept: str, api: HttpApi) -> None:
    for path, expected in (("/apis", GROUPED), ("/api", LEGACY)):
        content_type, document = discovery_document(api, path, accept)
        assert content_type.replace(" ", "") == AGGREGATED
        found = {
            (group["metadata"].get("name", ""), version["version"], resource["resource"])
            for group in document["items"]
            for version in group["versions"]
            for resource in version["resources"]
        }
        assert expected <= found


def discovery_document(api: HttpApi, path: str, accept: str) -> tuple[str, Object]:
    """Type and content of what discovery answers."""
    connection = http.client.HTTPSConnection(api.address, context=api.tls, timeout=60)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.headers["Content-Type"], json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.requirement("[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup")
def test_every_group_prefers_a_version_it_has(api: HttpApi) -> None:
    groups = [group["name"] for group in api.get("/apis/")["groups"]]
    assert {"apps", "metrics.k8s.io"} <= set(groups)
    for name in groups:
        group = api.get(f"/apis/{name}/")
        assert group["preferredVersion"] in group["versions"]


@pytest.mark.parametrize(
    ("requirement", "kinds"),
    [
        (
            "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom "
            "resource definition resources in discovery documents",
            {("apiextensions.k8s.io", "customresourcedefinitions")},
        ),
        (
            "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should include webhook resources in "
            "discovery documents",
            {
                ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
                ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
            },
        ),
    ],
)
def test_discovery_documents_include(requirement: str, kinds: set[tuple[str, str]], api: HttpApi) -> None:
    groups = {group["name"]: group for group in api.get("/apis")["groups"]}
    for name, plural in kinds:
        entry = {"groupVersion": f"{name}/v1", "version": "v1"}
        assert entry in groups[name]["versions"]
        assert entry in api.get(f"/apis/{name}")["versions"]
        assert plural in [resource["name"] for resource in api.get(f"/apis/{name}/v1")["resources"]]


@pytest.mark.requirement("[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object")
def test_unknown_fields_of_the_metadata_are_detected(batch: Batch, api: HttpApi) -> None:
    labels = {"app": "nginx"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "nginx", "image": "nginx:latest"}]}}
    deployment = make_object("Deployment", "my-dep", labels=labels)
    deployment |= {"apiVersion": "apps/v1", "spec": {"selector": {"matchLabels": labels}, "template": template}}
    deployment["metadata"]["unknownMeta"] = "foo"
    path = f"/apis/apps/v1/namespaces/{batch.namespace}/deployments"
    query = {"fieldManager": "field_validation_mgr", "fieldValidation": "Strict"}
    answer = api.expect(400, "POST", path, deployment, **query)
    assert 'strict decoding error: unknown field "metadata.unknownMeta"' in answer["message"]
