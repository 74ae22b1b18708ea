"""Requirements of sig-node on the objects of dynamic resource allocation: every verb, every patch, what watches see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conformance.batch import Batch, Object
from tests.conformance.http_api import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, HttpApi

pytestmark = pytest.mark.docker

GROUP = "/apis/resource.k8s.io/v1"
DRIVER = "test-driver.example.com"
MARK = "test.example.com/updated"
CLAIM_SPEC = {"devices": {"requests": [{"name": "req-0", "exactly": {"deviceClassName": DRIVER}}]}}
# `adminAccess` is always shown, as upstream does.
ALLOCATED = {"request": "req-0", "driver": DRIVER, "pool": "pool", "device": "device-0", "adminAccess": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a kind's objects hold."""

    kind: str
    resource: str
    spec: Object
    status: Object | None = None
    namespaced: bool = True


CASES = {
    "[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass": Case(
        kind="DeviceClass",
        resource="deviceclasses",
        spec={"selectors": [{"cel": {"expression": "true"}}]},
        namespaced=False,
    ),
    "[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim": Case(
        kind="ResourceClaim",
        resource="resourceclaims",
        spec=CLAIM_SPEC,
        status={"allocation": {"devices": {"results": [ALLOCATED]}}},
    ),
    "[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate": Case(
        kind="ResourceClaimTemplate", resource="resourceclaimtemplates", spec={"spec": CLAIM_SPEC}
    ),
    "[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice": Case(
        kind="ResourceSlice",
        resource="resourceslices",
        namespaced=False,
        spec={
            "driver": DRIVER,
            "nodeName": "none-such",
            "pool": {"name": "pool", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "device-0"}],
        },
    ),
}
PATCHES = (STRATEGIC_MERGE_PATCH, APPLY_PATCH, MERGE_PATCH, JSON_PATCH)


class Steps:
    """The life of one object under an API, each step checked in the answer and in the events of watches."""

    def __init__(self, api: HttpApi, case: Case, namespace: str, watches: list[Iterator[tuple[str, Object]]]) -> None:
        self.api, self.case, self.watches = api, case, watches
        self.collection = collection_of(case, namespace)
        self.name = f"test-{namespace}"
        self.path = f"{self.collection}/{self.name}"
        metadata = {"name": self.name, "labels": {"e2e": namespace}}
        self.initial = {"apiVersion": "resource.k8s.io/v1", "kind": case.kind, "metadata": metadata, "spec": case.spec}
        if case.status:
            self.initial["status"] = {}  # as Go's clients send it
        self.version = 0

    def create(self) -> Object:
        """A strict create."""
        made = self.api.create(self.collection, self.initial, fieldValidation="Strict")
        self.see("ADDED", made)
        return made

    def delete(self) -> None:
        """A delete that takes effect at once."""
        self.api.delete(self.path)
        assert self.api.expect(404, "GET", self.path)["reason"] == "NotFound"
        self.see("DELETED", None)

    def update(self, existing: Object) -> Object:
        """An update with one label more."""
        labels = existing["metadata"]["labels"] | {MARK: "yes"}
        changed = self.api.update(self.path, existing | {"metadata": existing["metadata"] | {"labels": labels}})
        self.see("MODIFIED", changed)
        assert changed["metadata"]["labels"][MARK] == "yes"
        assert self.api.get(self.path) == changed
        return changed

    def patch(self, type: str, existing: Object) -> Object:
        """A strict patch that adds the same label."""
        body: Any = {"metadata": {"labels": {MARK: "yes"}}}
        operation = {"op": "add", "path": f"/metadata/labels/{MARK.replace('/', '~1')}", "value": "yes"}
        return self._patch(self.path, type, existing, body, operation)

    def patch_status(self, type: str, existing: Object) -> Object:
        """A strict patch of the subresource."""
        operation = {"op": "add", "path": "/status", "value": self.case.status}
        return self._patch(f"{self.path}/status", type, existing, {"status": self.case.status}, operation)

    def _patch(self, path: str, type: str, existing: Object, body: Object, operation: Object) -> Object:
        identity = {"apiVersion": existing["apiVersion"], "kind": existing["kind"]}
        names = {key: existing["metadata"][key] for key in ("name", "namespace", "uid") if key in existing["metadata"]}
        whole: Any = identity | body | {"metadata": body.get("metadata", {}) | names}
        query = {"fieldManager": "test-apply", "force": "true"} if type == APPLY_PATCH else {}
        sent = [operation] if type == JSON_PATCH else whole
        patched = self.api.patch(path, sent, type, fieldValidation="Strict", **query)
        self.see("MODIFIED", patched)
        assert patched["spec"].keys() >= self.case.spec.keys()
        return patched

    def see(self, kind: str, expected: Object | None) -> None:
        """The next event of every watch is this one, and versions only rise."""
        for watch in self.watches:
            seen, obj = next(watch)
            assert (seen, obj["metadata"]["name"]) == (kind, self.name)
            assert expected is None or obj == expected
        version = int(obj["metadata"]["resourceVersion"])
        assert version > self.version
        self.version = version


def collection_of(case: Case, namespace: str) -> str:
    return f"{GROUP}/namespaces/{namespace}/{case.resource}" if case.namespaced else f"{GROUP}/{case.resource}"


@pytest.mark.parametrize("requirement", CASES)
def test_crud_of_dynamic_resource_allocation(batch: Batch, api: HttpApi, requirement: str) -> None:
    case, selector = CASES[requirement], f"e2e={batch.namespace}"
    assert case.resource in [resource["name"] for resource in api.get(GROUP)["resources"]]
    everywhere, collection = f"{GROUP}/{case.resource}", collection_of(case, batch.namespace)
    with api.watch(everywhere, selector) as all_events, api.watch(collection, selector) as events:
        steps = Steps(api, case, batch.namespace, [all_events, events])
        made = steps.create()
        assert api.get(steps.path) == made
        changed = steps.update(made)
        if case.status:
            changed = api.update(f"{steps.path}/status", changed | {"status": case.status})
            steps.see("MODIFIED", changed)
            assert changed["status"] == case.status
            assert api.get(f"{steps.path}/status") == changed
        for patch in PATCHES:
            steps.delete()
            assert steps.patch(patch, steps.create())["metadata"]["labels"] == {"e2e": batch.namespace, MARK: "yes"}
        for patch in PATCHES if case.status else ():
            steps.delete()
            assert steps.patch_status(patch, steps.update(steps.create()))["status"] == case.status
        assert [item["metadata"]["name"] for item in api.items(everywhere, selector)] == [steps.name]
        assert [item["metadata"]["name"] for item in api.items(collection, selector)] == [steps.name]
        api.delete(collection, labelSelector=selector)
        steps.see("DELETED", None)
        assert api.items(collection, selector) == []
