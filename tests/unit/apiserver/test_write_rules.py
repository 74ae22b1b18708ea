"""What a write demands of the object it meets, and of its writer."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.exchange import User
from tests.fakes.api_server import RunningApiServer
from tests.unit.apiserver.api_calls import ApiCalls, config_map

MAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
APPLY = {"content-type": "application/apply-patch+yaml"}


def lease(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, **metadata}}


def owner(uid: str) -> dict[str, str]:
    return {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}


async def test_a_put_for_another_object_of_the_name_is_a_conflict(api: ApiCalls) -> None:
    created = await api.call("POST", MAPS, config_map("a"), expect=201)
    uid = created["metadata"]["uid"]
    status = await api.call("PUT", f"{MAPS}/a", config_map("a", uid="other"), expect=409)
    assert status["message"] == (
        'Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, Key:'
        " /registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in"
        f" precondition: other, UID in object meta: {uid}"
    )
    await api.call("PUT", f"{MAPS}/a", config_map("a", uid=uid))


async def test_a_put_that_would_create_must_not_name_a_uid(api: ApiCalls) -> None:
    status = await api.call("PUT", f"{LEASES}/a", lease("a", uid="x"), expect=409)
    assert status["message"].endswith("Precondition failed: UID in precondition: x, UID in object meta: ")
    await api.call("PUT", f"{LEASES}/a", lease("a"), expect=201)


async def test_an_apply_that_would_create_must_not_name_a_uid(api: ApiCalls) -> None:
    status = await api.call(
        "PATCH", f"{MAPS}/a", config_map("a", uid="x"), query={"fieldManager": "m"}, headers=APPLY, expect=409
    )
    assert status["message"] == (
        'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified uid x, and no'
        " existing object was found"
    )


async def test_a_patch_must_not_change_the_uid(api: ApiCalls) -> None:
    await api.call("POST", MAPS, config_map("a"), expect=201)
    status = await api.patch(f"{MAPS}/a", {"metadata": {"uid": "x"}}, expect=422)
    assert status["details"]["causes"][0]["field"] == "metadata.uid"


@pytest.mark.parametrize("verb", ["patch", "update"])
async def test_who_may_only_change_may_not_create_thereby(server: RunningApiServer, api: ApiCalls, verb: str) -> None:
    rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": [verb]}]
    role: dict[str, Any] = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}}
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api.call("POST", f"{roles}/roles", {**role, "rules": rules}, expect=201)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await api.call("POST", f"{roles}/rolebindings", binding, expect=201)
    bob = ApiCalls(server.endpoint, User(name="bob", groups=("system:authenticated",)))

    async def write(*, expect: int) -> Any:
        if verb == "update":
            return await bob.call("PUT", f"{LEASES}/a", lease("a"), expect=expect)
        query = {"fieldManager": "m"}
        return await bob.call("PATCH", f"{LEASES}/a", lease("a"), query=query, headers=APPLY, expect=expect)

    status = await write(expect=403)
    assert status["message"].startswith('leases.coordination.k8s.io "a" is forbidden: ')
    await api.call("POST", LEASES, lease("a"), expect=201)
    if verb == "patch":
        await write(expect=200)


async def test_repeated_owners_are_dropped_with_a_warning(api: ApiCalls) -> None:
    owners = [owner("u1"), owner("u1"), owner("u2"), {**owner("u1"), "controller": True}]
    response = await api.send("POST", MAPS, config_map("a", ownerReferences=owners))
    assert dict(response.headers)["Warning"] == (
        '299 - ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and'
        ' may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: u1"'
    )
    kept = (await api.call("GET", f"{MAPS}/a"))["metadata"]["ownerReferences"]
    assert kept == [owner("u1"), owner("u2"), {**owner("u1"), "controller": True}]
    response = await api.send("PUT", f"{MAPS}/a", config_map("a", ownerReferences=owners[:2]))
    assert "duplicate UID(s) observed: u1" in dict(response.headers)["Warning"]


async def test_owners_a_patch_repeats_are_dropped_after_admission(api: ApiCalls) -> None:
    await api.call("POST", MAPS, config_map("a"), expect=201)
    headers = {"content-type": "application/merge-patch+json"}
    body = {"metadata": {"ownerReferences": [owner("u1"), owner("u1")]}}
    response = await api.send("PATCH", f"{MAPS}/a", body, headers=headers)
    assert "duplicate entries after mutating admission happens;" in dict(response.headers)["Warning"]


@pytest.mark.parametrize(
    ("version", "problem"), [("abc", "invalid syntax"), ("-1", "invalid syntax"), ("9" * 30, "value out of range")]
)
async def test_a_version_that_is_no_number_is_an_error_of_the_store(api: ApiCalls, version: str, problem: str) -> None:
    await api.call("POST", MAPS, config_map("a"), expect=201)
    status = await api.patch(f"{MAPS}/a", {"metadata": {"resourceVersion": version}}, expect=500)
    assert status["message"] == f'strconv.ParseUint: parsing "{version}": {problem}'


async def test_version_zero_is_no_version(api: ApiCalls) -> None:
    await api.call("POST", MAPS, config_map("a", resourceVersion="0"), expect=201)
    await api.call("PUT", f"{MAPS}/a", config_map("a", resourceVersion="0", labels={"x": "y"}))
    status = await api.call("POST", MAPS, config_map("b", resourceVersion="1"), expect=500)
    assert status["message"] == "resourceVersion should not be set on objects to be created"


@pytest.mark.parametrize("name", ["a:b:c:d", "ftp:a:80", ":80"])
async def test_a_proxied_name_has_a_scheme_a_name_and_a_port(api: ApiCalls, name: str) -> None:
    status = await api.call("GET", f"/api/v1/namespaces/default/services/{name}/proxy", expect=400)
    assert status["message"] == f'invalid service request "{name}"'


def flow_schema(**metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": "f", **metadata},
        "spec": {"priorityLevelConfiguration": {"name": "global-default"}},
    }


async def test_metadata_of_kinds_whose_status_is_written_alone_stays(api: ApiCalls) -> None:
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
    await api.call("POST", path, flow_schema(labels={"a": "b"}), expect=201)
    body = flow_schema(labels={"c": "d"}, finalizers=["example.com/x"])
    written = await api.call("PUT", f"{path}/f/status", body)
    assert written["metadata"]["labels"] == {"a": "b"}
    assert "finalizers" not in written["metadata"]
    await api.call("PATCH", f"{path}/f/status", body, query={"fieldManager": "m"}, headers=APPLY)
    owners = (await api.call("GET", f"{path}/f"))["metadata"]["managedFields"]
    assert not [entry for entry in owners if entry["manager"] == "m"]


async def test_labels_of_a_deployment_are_not_the_status_writers_but_annotations_are(api: ApiCalls) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    path = "/apis/apps/v1/namespaces/default/deployments"
    await api.call("POST", path, body, expect=201)
    changed = {"metadata": {"labels": {"x": "y"}, "annotations": {"x": "y"}}}
    written = await api.patch(f"{path}/d/status", changed)
    assert "labels" not in written["metadata"]
    assert written["metadata"]["annotations"] == {"x": "y"}


async def test_a_taken_name_of_an_object_that_could_have_another_says_so(api: ApiCalls) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "generateName": "g-"}}
    await api.call("POST", MAPS, body, expect=201)
    response = await api.send("POST", MAPS, body)
    assert (response.status, dict(response.headers)["Retry-After"]) == (409, "1")
    status = await api.call("POST", MAPS, body, expect=409)
    assert status["reason"] == "AlreadyExists"
    assert status["message"] == (
        'configmaps "a" already exists, the server was not able to generate a unique name for the object'
    )
    assert status["details"] == {"name": "a", "kind": "configmaps", "retryAfterSeconds": 1}
    status = await api.call("POST", MAPS, config_map("a"), expect=409)
    assert status["message"] == 'configmaps "a" already exists'
