"""Requirements on what a namespace limits: LimitRanges, ResourceQuotas, PodDisruptionBudgets."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import Batch, Object, make_object
from tests.conformance.control_plane.played_nodes import PlayedNodes
from tests.conformance.http_api import MERGE_PATCH, HttpApi

EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction"}


def make_pod(name: str, label: str = "", **container: Any) -> Object:
    """A Pod of one container."""
    spec = {"containers": [{"name": "pause", "image": "pause", **container}]}
    return make_object("Pod", name, labels={"name": label or name}, spec=spec)


# --- limits -----------------------------------------------------------------------------------------------------------


def amounts(cpu: str, memory: str, storage: str) -> dict[str, str]:
    """Amounts of resources; those that are empty are left out."""
    found = {"cpu": cpu, "memory": memory, "ephemeral-storage": storage}
    return {key: value for key, value in found.items() if value}


@pytest.fixture
def limited(api: HttpApi) -> Iterator[str]:
    """The path of a namespace of the test's own, with its default ServiceAccount."""
    name = f"conformance-{uuid.uuid4().hex[:8]}"
    api.create("/api/v1/namespaces", make_object("Namespace", name))
    path = f"/api/v1/namespaces/{name}"
    wait_for(lambda: api.request("GET", f"{path}/serviceaccounts/default")[0] == 200, "the default ServiceAccount")
    yield path
    api.delete(path)


@pytest.mark.requirement(
    "[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied."
)
def test_a_limit_range_gives_defaults(limited: str, api: HttpApi) -> None:
    low, high = amounts("50m", "100Mi", "100Gi"), amounts("500m", "500Mi", "500Gi")
    default, request = amounts("500m", "500Mi", "500Gi"), amounts("100m", "200Mi", "200Gi")
    item = {"type": "Container", "min": low, "max": high, "default": default, "defaultRequest": request}
    ranges = f"{limited}/limitranges"
    with api.watch(ranges, "time=now") as events:
        created = api.create(
            ranges, make_object("LimitRange", "limits", labels={"time": "now"}, spec={"limits": [item]})
        )
        assert next(events)[0] == "ADDED"
    assert api.get(f"{ranges}/limits")["spec"]["limits"][0]["default"] == default

    def resources(name: str, **wanted: Any) -> Object:
        pod = api.create(f"{limited}/pods", make_pod(name, resources=wanted))
        found: Object = pod["spec"]["containers"][0]["resources"]
        return found

    assert resources("pod-no-resources") == {"requests": request, "limits": default}
    partial = resources("partial", requests=amounts("", "150Mi", "150Gi"), limits=amounts("300m", "", ""))
    assert partial["requests"] == amounts("300m", "150Mi", "150Gi")
    assert partial["limits"] == amounts("300m", "500Mi", "500Gi")
    few = {"requests": amounts("10m", "50Mi", "50Gi")}
    many = {"requests": amounts("600m", "600Mi", "600Gi")}
    api.expect(403, "POST", f"{limited}/pods", make_pod("few", resources=few))
    # more than the limit that the pod gets by default
    api.expect(422, "POST", f"{limited}/pods", make_pod("many", resources=many))
    created["spec"]["limits"][0]["min"] = amounts("9m", "49Mi", "49Gi")
    api.update(f"{ranges}/limits", created)
    resources("few", **few)
    api.expect(422, "POST", f"{limited}/pods", make_pod("many", resources=many))
    api.delete(f"{ranges}/limits")
    assert api.items(ranges, "time=now") == []
    resources("many", **many)


@pytest.mark.requirement("[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection")
def test_limit_ranges_are_listed_patched_and_deleted(limited: str, api: HttpApi) -> None:
    item = {"type": "Container", "min": amounts("50m", "100Mi", "100Gi"), "max": amounts("500m", "500Mi", "500Gi")}
    ranges, selector = f"{limited}/limitranges", f"e2e-limitrange={limited.rpartition('/')[2]}"
    labels = dict([selector.split("=")])
    api.create(ranges, make_object("LimitRange", "listed", labels=labels, spec={"limits": [item]}))
    assert len(api.items("/api/v1/limitranges", selector)) == 1
    patch = {"metadata": {"labels": {"patched": "yes"}}, "spec": {"limits": [{**item, "min": {"cpu": "40m"}}]}}
    patched = api.patch(f"{ranges}/listed", patch)
    assert patched["metadata"]["labels"]["patched"] == "yes"
    assert patched["spec"]["limits"][0]["min"] == {"cpu": "40m"}
    api.delete(ranges, labelSelector="patched=yes")
    assert api.items("/api/v1/limitranges", selector) == []


@pytest.mark.requirement("[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota")
def test_resource_quotas_are_listed_patched_and_deleted(limited: str, api: HttpApi) -> None:
    quotas, selector = f"{limited}/resourcequotas", f"e2e-quota={limited.rpartition('/')[2]}"
    labels = dict([selector.split("=")])
    hard = {"cpu": "1", "memory": "500Mi"}
    api.create(quotas, make_object("ResourceQuota", "quota", labels=labels, spec={"hard": hard}))
    assert api.get(f"{quotas}/quota")["spec"]["hard"] == hard
    patch = {"metadata": {"labels": {"quota": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}}
    assert api.patch(f"{quotas}/quota", patch)["spec"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    assert len(api.items("/api/v1/resourcequotas", f"{selector},quota=patched")) == 1
    api.delete(quotas, labelSelector=selector)
    assert api.items("/api/v1/resourcequotas", selector) == []


# --- PodDisruptionBudgets ---------------------------------------------------------------------------------------------


def budgets_of(namespace: str) -> str:
    """The path of a namespace's budgets."""
    return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


def make_budget(name: str, app: str, **spec: Any) -> Object:
    """A budget for the Pods of this name."""
    body = make_object("PodDisruptionBudget", name, labels={"app": app})
    return body | {"apiVersion": "policy/v1", "spec": {"selector": {"matchLabels": {"name": app}}, **spec}}


@pytest.mark.requirement(
    "[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a "
    "collection of PodDisruptionBudgets"
)
def test_budgets_are_listed_and_deleted(batch: Batch, limited: str, api: HttpApi) -> None:
    here, there = budgets_of(batch.namespace), budgets_of(limited.rpartition("/")[2])
    for path, name, least in ((here, "foo", 2), (here, "foo2", "1%"), (there, "foo3", 2)):
        api.create(path, make_budget(name, "listed", minAvailable=least))
    names = [item["metadata"]["name"] for item in api.items("/apis/policy/v1/poddisruptionbudgets", "app=listed")]
    assert sorted(names) == ["foo", "foo2", "foo3"]
    assert len(api.items(here, "app=listed")) == 2
    api.delete(here, labelSelector="app=listed")
    assert api.items(here, "app=listed") == []
    assert len(api.items(there, "app=listed")) == 1


@pytest.mark.requirement("[sig-apps] DisruptionController should create a PodDisruptionBudget")
def test_a_budget_is_created_updated_patched_and_deleted(batch: Batch, api: HttpApi) -> None:
    one = f"{budgets_of(batch.namespace)}/made"
    api.create(budgets_of(batch.namespace), make_budget("made", "made", minAvailable="1%"))
    wait_for(lambda: api.get(one)["status"].get("observedGeneration") == 1, "the controller has seen it")
    budget = api.get(one)
    budget["spec"]["minAvailable"] = "2%"
    assert api.update(one, budget)["spec"]["minAvailable"] == "2%"
    wait_for(lambda: api.get(one)["status"]["observedGeneration"] == 2, "the controller has seen the update")
    assert api.patch(one, {"spec": {"minAvailable": "3%"}}, MERGE_PATCH)["spec"]["minAvailable"] == "3%"
    api.delete(one)
    api.expect(404, "GET", one)


@pytest.mark.requirement("[sig-apps] DisruptionController should observe PodDisruptionBudget status updated")
@pytest.mark.requirement("[sig-apps] DisruptionController should update/patch PodDisruptionBudget status")
def test_the_status_of_a_budget(batch: Batch, nodes: PlayedNodes, api: HttpApi) -> None:
    path, one = budgets_of(batch.namespace), f"{budgets_of(batch.namespace)}/status"
    api.create(path, make_budget("status", "counted", minAvailable=1))
    names = [f"counted-{index}" for index in range(3)]
    for name in names:
        api.create(batch.path("pods"), make_pod(name, "counted"))
    wait_for(lambda: api.get(one)["status"].get("disruptionsAllowed") == 2, "two Pods may go")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    budget = api.get(one)
    budget["status"]["disruptedPods"] = {names[0]: now}
    api.update(f"{one}/status", budget)
    assert names[0] in api.get(f"{one}/status")["status"]["disruptedPods"]
    patched = api.patch(f"{one}/status", {"status": {"disruptedPods": {names[0]: None}}}, MERGE_PATCH)
    assert not patched["status"].get("disruptedPods")
    api.delete(one)
    for name in names:
        api.expect(200, "DELETE", batch.path(f"pods/{name}"), {"gracePeriodSeconds": 0})


@pytest.mark.requirement(
    "[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it"
)
def test_a_budget_blocks_evictions(batch: Batch, nodes: PlayedNodes, api: HttpApi) -> None:
    path, one = budgets_of(batch.namespace), f"{budgets_of(batch.namespace)}/blocks"
    api.create(path, make_budget("blocks", "evicted", minAvailable=3))
    labels = {"name": "evicted"}
    template = {"metadata": {"labels": labels}, "spec": make_pod("")["spec"]}
    sets = f"/apis/apps/v1/namespaces/{batch.namespace}/replicasets"
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    api.create(sets, make_object("ReplicaSet", "evicted", spec=spec) | {"apiVersion": "apps/v1"})

    def running(healthy: int) -> str:
        """Wait until three Pods run and so many must; returns the name of a Pod."""

        def counted() -> bool:
            found = api.get(one)
            status = found["status"]
            seen = status.get("observedGeneration") == found["metadata"]["generation"]
            return seen and (status["currentHealthy"], status["desiredHealthy"]) == (3, healthy)

        wait_for(lambda: api.get(f"{sets}/evicted")["status"].get("readyReplicas") == 3, "three Pods run")
        wait_for(counted, "the controller has counted them")
        pods = api.items(batch.path("pods"), "name=evicted")
        return next(
            str(pod["metadata"]["name"])
            for pod in pods
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        )

    def evict(status: int, name: str) -> Object:
        body = EVICTION | {"metadata": {"name": name, "namespace": batch.namespace}}
        return api.expect(status, "POST", batch.path(f"pods/{name}/eviction"), body)

    name = running(3)
    assert evict(429, name)["details"]["causes"][0]["reason"] == "DisruptionBudget"
    budget = api.get(one)
    budget["spec"]["minAvailable"] = 2
    while api.request("PUT", one, budget)[0] == 409:
        budget["metadata"]["resourceVersion"] = api.get(one)["metadata"]["resourceVersion"]
    assert running(2) == name
    evict(201, name)
    api.patch(one, {"spec": {"minAvailable": None, "maxUnavailable": 0}}, MERGE_PATCH)
    name = running(3)
    assert evict(429, name)["details"]["causes"][0]["reason"] == "DisruptionBudget"
    api.delete(one)
    evict(201, name)
    api.delete(f"{sets}/evicted")
