from __future__ import annotations

import asyncio
from typing import Any

import pytest

from control.storage.memory import MemoryStorage
from control.storage.protocol import StorageUnavailableError
from tests.fakes.api_server import RunningApiServer, running_api_server
from tests.unit.apiserver.api_calls import ApiCalls, config_map, pod

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }


async def test_create_sets_what_only_the_server_knows(api: ApiCalls) -> None:
    made = await api.call("POST", MAPS, config_map("x", uid="mine", generation=7), expect=201)
    metadata = made["metadata"]
    assert metadata["uid"] != "mine"
    assert metadata["namespace"] == "default"
    assert metadata["resourceVersion"].isdigit()
    assert metadata["managedFields"][0]["manager"] == "test"
    assert await api.call("GET", f"{MAPS}/x") == made


async def test_create_of_a_taken_name_is_refused(api: ApiCalls) -> None:
    await api.call("POST", MAPS, config_map("x"), expect=201)
    status = await api.call("POST", MAPS, config_map("x"), expect=409)
    assert status["message"] == 'configmaps "x" already exists'
    assert status["reason"] == "AlreadyExists"


async def test_generated_names_are_unique_under_concurrency(api: ApiCalls) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}}
    made = await asyncio.gather(*(api.call("POST", MAPS, body, expect=201) for _ in range(50)))
    names = {item["metadata"]["name"] for item in made}
    assert len(names) == 50
    assert all(len(name) == 7 for name in names)


async def test_stale_update_conflicts_and_update_without_version_wins(api: ApiCalls) -> None:
    first = await api.call("POST", MAPS, config_map("x"), expect=201)
    await api.patch(f"{MAPS}/x", {"data": {"a": "2"}})
    status = await api.call("PUT", f"{MAPS}/x", {**first, "data": {"a": "3"}}, expect=409)
    assert status["reason"] == "Conflict"
    written = await api.call("PUT", f"{MAPS}/x", {**config_map("x"), "data": {"a": "4"}})
    assert written["data"] == {"a": "4"}


async def test_write_that_changes_nothing_keeps_the_revision(api: ApiCalls) -> None:
    first = await api.call("POST", MAPS, config_map("x"), expect=201)
    again = await api.call("PUT", f"{MAPS}/x", first)
    patched = await api.patch(f"{MAPS}/x", {"data": {"a": "1"}})
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert patched == first


async def test_concurrent_patches_all_take_effect(api: ApiCalls) -> None:
    await api.call("POST", MAPS, config_map("x"), expect=201)
    await asyncio.gather(*(api.patch(f"{MAPS}/x", {"data": {f"k{number}": "v"}}) for number in range(30)))
    data = (await api.call("GET", f"{MAPS}/x"))["data"]
    assert set(data) == {"a", *(f"k{number}" for number in range(30))}


async def test_generation_follows_the_spec_only(api: ApiCalls) -> None:
    made = await api.call("POST", DEPLOYMENTS, deployment("x"), expect=201)
    labelled = await api.patch(f"{DEPLOYMENTS}/x", {"metadata": {"labels": {"l": "1"}}})
    scaled = await api.patch(f"{DEPLOYMENTS}/x", {"spec": {"replicas": 3}})
    reported = await api.patch(f"{DEPLOYMENTS}/x/status", {"status": {"replicas": 3}, "spec": {"replicas": 9}})
    assert [item["metadata"]["generation"] for item in (made, labelled, scaled, reported)] == [1, 1, 2, 2]
    assert (reported["spec"]["replicas"], reported["status"]["replicas"]) == (3, 3)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_dry_run_answers_and_changes_nothing(api: ApiCalls, server: RunningApiServer, method: str) -> None:
    await api.call("POST", MAPS, config_map("x"), expect=201)
    before = server.storage.revision
    dry = {"dryRun": "All"}
    if method == "POST":
        made = await api.call("POST", MAPS, config_map("y"), expect=201, query=dry)
        assert "resourceVersion" not in made["metadata"]
    elif method == "PUT":
        changed = await api.call("PUT", f"{MAPS}/x", {**config_map("x"), "data": {"b": "2"}}, query=dry)
        assert changed["data"] == {"b": "2"}
    elif method == "PATCH":
        changed = await api.patch(f"{MAPS}/x", {"data": {"b": "2"}}, query=dry)
        assert changed["data"] == {"a": "1", "b": "2"}
    else:
        await api.call("DELETE", f"{MAPS}/x", query=dry)
    assert server.storage.revision == before
    assert (await api.call("GET", f"{MAPS}/x"))["data"] == {"a": "1"}


async def test_dry_run_of_a_service_gives_its_address_back(api: ApiCalls) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"clusterIP": "10.96.7.7", "ports": [{"port": 80}]},
    }
    path = "/api/v1/namespaces/default/services"
    await api.call("POST", path, body, expect=201, query={"dryRun": "All"})
    await api.call("POST", path, body, expect=201)
    refused = await api.call("POST", path, {**body, "metadata": {"name": "t"}}, expect=422)
    assert "provided IP is already allocated" in refused["message"]
    await api.call("DELETE", f"{path}/s")
    await api.call("POST", path, {**body, "metadata": {"name": "t"}}, expect=201)


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        (MAPS, b"", 400, "unexpected end of JSON input (<empty>)"),
        (MAPS, b'{"a', 400, 'json parse error: unexpected end of JSON input ({"a)'),
        (MAPS, b"[1]", 400, "json: cannot unmarshal array into Go value"),
        (MAPS, b"[" * 5000, 400, "exceeded max depth"),
        (MAPS, b"x" * (3 * 1024 * 1024 + 1), 413, "Request entity too large: limit is 3145728"),
        (MAPS, b'{"kind":"Banana"}', 400, 'no kind "Banana" is registered for version "v1"'),
        (MAPS, b'{"metadata":{"name":"Bad_Name"}}', 422, "a lowercase RFC 1123 subdomain must consist of"),
        (MAPS, b'{"metadata":{}}', 422, "metadata.name: Required value: name or generateName is required"),
        (
            MAPS,
            b'{"metadata":{"name":"x","namespace":"other"}}',
            400,
            "does not match the namespace sent on the request",
        ),
        (MAPS, b'{"metadata":{"name":"x"},"data":{"a":1}}', 400, "cannot unmarshal number into Go struct field"),
        ("/api/v1/namespaces/default/nope", b"{}", 404, "the server could not find the requested resource"),
    ],
)
async def test_bad_create_is_refused_in_upstreams_words(
    api: ApiCalls, path: str, body: bytes, code: int, words: str
) -> None:
    status = await api.call("POST", path, body, expect=code)
    assert words in status["message"]
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", code)


async def test_unknown_field_warns_or_refuses(api: ApiCalls) -> None:
    body = {**config_map("x"), "dta": {}}
    response = await api.send("POST", MAPS, body)
    assert ("Warning", '299 - "unknown field \\"dta\\""') in response.headers
    status = await api.call(
        "POST", MAPS, {**body, "metadata": {"name": "y"}}, expect=400, query={"fieldValidation": "Strict"}
    )
    assert 'strict decoding error: unknown field "dta"' in status["message"]


async def test_finalizers_hold_an_object_until_the_last_is_removed(api: ApiCalls) -> None:
    await api.call("POST", MAPS, config_map("x", finalizers=["a.com/x"]), expect=201)
    marked = await api.call("DELETE", f"{MAPS}/x")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    refused = await api.patch(f"{MAPS}/x", {"metadata": {"finalizers": ["a.com/x", "b.com/y"]}}, expect=422)
    assert "no new finalizers can be added" in refused["message"]
    await api.patch(f"{MAPS}/x", {"metadata": {"finalizers": None}})
    await api.call("GET", f"{MAPS}/x", expect=404)


async def test_foreground_and_orphan_deletion_leave_the_object_to_the_collector(api: ApiCalls) -> None:
    for name, policy, finalizer in (("f", "Foreground", "foregroundDeletion"), ("o", "Orphan", "orphan")):
        await api.call("POST", MAPS, config_map(name), expect=201)
        marked = await api.call("DELETE", f"{MAPS}/{name}", query={"propagationPolicy": policy})
        assert marked["metadata"]["finalizers"] == [finalizer]


async def test_preconditions_protect_another_object(api: ApiCalls) -> None:
    made = await api.call("POST", MAPS, config_map("x"), expect=201)
    status = await api.call("DELETE", f"{MAPS}/x", {"preconditions": {"uid": "other"}}, expect=409)
    assert "the UID in the precondition (other) does not match the UID in record" in status["message"]
    done = await api.call("DELETE", f"{MAPS}/x", {"preconditions": {"uid": made["metadata"]["uid"]}})
    assert done["status"] == "Success"


async def test_running_pod_goes_gracefully_and_its_period_only_shrinks(api: ApiCalls) -> None:
    await api.call("POST", PODS, pod("p", nodeName="n1"), expect=201)
    marked = await api.call("DELETE", f"{PODS}/p")
    longer = await api.call("DELETE", f"{PODS}/p", query={"gracePeriodSeconds": "60"})
    shorter = await api.call("DELETE", f"{PODS}/p", query={"gracePeriodSeconds": "5"})
    periods = [item["metadata"]["deletionGracePeriodSeconds"] for item in (marked, longer, shorter)]
    assert periods == [30, 30, 5]
    await api.call("DELETE", f"{PODS}/p", query={"gracePeriodSeconds": "0"})
    await api.call("GET", f"{PODS}/p", expect=404)


async def test_deletion_interrupted_between_mark_and_removal_is_finished_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = MemoryStorage()

    async def refuse(*arguments: Any, **options: Any) -> int:
        raise StorageUnavailableError("the disk is full")

    async with running_api_server(storage=storage, https=False) as server:
        api = ApiCalls(server.endpoint)
        account = {"metadata": {"name": "default"}}
        await api.call("POST", "/api/v1/namespaces/default/serviceaccounts", account, expect=201)
        await api.call("POST", PODS, pod("p", nodeName="n1"), expect=201)
        await api.call("DELETE", f"{PODS}/p")
        with monkeypatch.context() as broken:
            broken.setattr(storage, "delete", refuse)
            await api.call("DELETE", f"{PODS}/p", query={"gracePeriodSeconds": "0"}, expect=503)
        left = await api.call("GET", f"{PODS}/p")
        assert left["metadata"]["deletionGracePeriodSeconds"] == 0
        await api.call("DELETE", f"{PODS}/p", query={"gracePeriodSeconds": "0"})
        await api.call("GET", f"{PODS}/p", expect=404)


async def test_delete_collection_deletes_what_is_selected(api: ApiCalls) -> None:
    for name, label in (("a", "x"), ("b", "y"), ("c", "x")):
        await api.call("POST", MAPS, config_map(name, labels={"l": label}), expect=201)
    deleted = await api.call("DELETE", MAPS, query={"labelSelector": "l=x"})
    assert [item["metadata"]["name"] for item in deleted["items"]] == ["a", "c"]
    left = await api.call("GET", MAPS)
    assert "b" in [item["metadata"]["name"] for item in left["items"]]


async def test_namespace_waits_for_its_finalizer(api: ApiCalls) -> None:
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}}, expect=201)
    marked = await api.call("DELETE", "/api/v1/namespaces/n")
    assert marked["status"]["phase"] == "Terminating"
    status = await api.call("POST", "/api/v1/namespaces/n/configmaps", config_map("x"), expect=403)
    assert "because it is being terminated" in status["message"]
    emptied = {**marked, "spec": {"finalizers": []}}
    await api.call("PUT", "/api/v1/namespaces/n/finalize", emptied)
    await api.call("GET", "/api/v1/namespaces/n", expect=404)


async def test_binding_puts_a_pod_on_a_node_once(api: ApiCalls) -> None:
    await api.call("POST", PODS, pod("p"), expect=201)
    body = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    done = await api.call("POST", f"{PODS}/p/binding", body, expect=201)
    assert done["status"] == "Success"
    bound = await api.call("GET", f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    again = await api.call("POST", f"{PODS}/p/binding", body, expect=409)
    assert again["message"].endswith('pod p is already assigned to node "n1"')


async def test_scale_changes_replicas_and_says_who(api: ApiCalls) -> None:
    await api.call("POST", DEPLOYMENTS, deployment("x"), expect=201)
    scale = await api.patch(f"{DEPLOYMENTS}/x/scale", {"spec": {"replicas": 4}})
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 4}, "app=a")
    scaled = await api.call("GET", f"{DEPLOYMENTS}/x")
    assert scaled["spec"]["replicas"] == 4
    assert any(entry.get("subresource") == "scale" for entry in scaled["metadata"]["managedFields"])


async def test_token_of_a_service_account_is_accepted(api: ApiCalls, server: RunningApiServer) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    answer = await api.call("POST", path, {"spec": {}}, expect=201)
    review = {"spec": {"token": answer["status"]["token"]}}
    judged = await api.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review, expect=201)
    assert judged["status"]["user"]["username"] == "system:serviceaccount:default:default"
    wrong = await api.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "x"}}, expect=201)
    assert "authenticated" not in wrong["status"]


async def test_log_of_a_pod_without_node_is_empty_and_container_choice_is_checked(api: ApiCalls) -> None:
    both = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    await api.call("POST", PODS, pod("p"), expect=201)
    await api.call("POST", PODS, pod("q", containers=both), expect=201)
    assert (await api.send("GET", f"{PODS}/p/log")).status == 204
    status = await api.call("GET", f"{PODS}/q/log", expect=400)
    assert status["message"] == "a container name must be specified for pod q, choose one of: [a b]"
    status = await api.call("GET", f"{PODS}/q/log", expect=400, query={"container": "z"})
    assert status["message"] == "container z is not valid for pod q"
    status = await api.call("POST", f"{PODS}/p/exec", expect=400, query={"command": "ls"})
    assert status["message"] == "pod p does not have a host assigned"


async def test_events_are_one_store_in_two_groups(api: ApiCalls) -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default", "name": "p"}, "message": "hello"}
    await api.call("POST", "/api/v1/namespaces/default/events", event, expect=201)
    seen = await api.call("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert (seen["apiVersion"], seen["note"], seen["regarding"]["name"]) == ("events.k8s.io/v1", "hello", "p")
    listed = await api.call("GET", "/apis/events.k8s.io/v1/namespaces/default/events")
    assert [item["note"] for item in listed["items"]] == ["hello"]
