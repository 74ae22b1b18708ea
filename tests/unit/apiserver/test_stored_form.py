"""What storing, versions and representations make of an object, as upstream's typed records do."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from control.schema.protobuf import decode_protobuf
from tests.unit.apiserver.api_calls import ApiCalls, config_map

ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
SCALERS = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
DAEMON_SETS = "/apis/apps/v1/namespaces/default/daemonsets"
SCHEMAS = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
METADATA = {"accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}


def role(rules: list[Any] | None) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r"},
        "rules": rules,
    }


async def test_an_empty_list_is_stored_as_none_and_still_owned(api: ApiCalls) -> None:
    made = await api.call("POST", ROLES, role([]), expect=201)
    assert made["rules"] is None
    assert made["metadata"]["managedFields"][0]["fieldsV1"] == {"f:rules": {}}


async def test_sending_an_empty_list_again_changes_nothing(api: ApiCalls) -> None:
    made = await api.call("POST", ROLES, role([]), expect=201)
    again = await api.call("PUT", f"{ROLES}/r", {**made, "rules": []})
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_dry_run_shows_the_stored_form(api: ApiCalls) -> None:
    shown = await api.call("POST", ROLES, role([]), expect=201, query={"dryRun": "All"})
    assert shown["rules"] is None


async def test_labels_of_a_job_are_those_of_its_template(api: ApiCalls) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": template}}
    made = await api.call("POST", JOBS, body, expect=201)
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"]


async def test_metrics_of_an_autoscaler_survive_the_older_version(api: ApiCalls) -> None:
    metrics = [
        {"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
        {
            "type": "Resource",
            "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 7}},
        },
        {"type": "External", "external": {"metric": {"name": "e"}, "target": {"type": "Value", "value": "3"}}},
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
    ]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    spec = {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "w", "apiVersion": "apps/v1"}}
    body = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a"},
        "spec": {**spec, "metrics": metrics, "behavior": behavior},
    }
    made = await api.call("POST", SCALERS.format("v2"), body, expect=201)
    old = await api.call("GET", SCALERS.format("v1") + "/a")
    written = orjson.loads(old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"])
    assert written[0] == {"type": "Pods", "pods": {"metricName": "q", "targetAverageValue": "10"}}
    assert (old["spec"]["targetCPUUtilizationPercentage"], old["status"]["currentReplicas"]) == (50, 0)
    await api.call("PUT", SCALERS.format("v1") + "/a", {**old, "spec": {**old["spec"], "maxReplicas": 4}})
    new = await api.call("GET", SCALERS.format("v2") + "/a")
    assert new["spec"] == {**made["spec"], "maxReplicas": 4}


async def test_metadata_alone_lacks_the_annotations_a_version_adds(api: ApiCalls) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"}, "spec": spec}
    made = await api.call("POST", DAEMON_SETS, body, expect=201)
    assert made["metadata"]["annotations"] == {"deprecated.daemonset.template.generation": "1"}
    shown = await api.call("GET", f"{DAEMON_SETS}/d", headers=METADATA)
    assert "annotations" not in shown["metadata"]


async def test_a_patch_may_not_change_the_kind(api: ApiCalls) -> None:
    await api.call("POST", "/api/v1/namespaces/default/configmaps", config_map("x"), expect=201)
    status = await api.patch("/api/v1/namespaces/default/configmaps/x", {"kind": "Nope"}, expect=422)
    assert 'no kind "Nope" is registered for version "v1"' in status["message"]
    status = await api.patch("/api/v1/namespaces/default/configmaps/x", {"kind": "Secret"}, expect=422)
    assert "converting (v1.Secret) to (v1.ConfigMap): unknown conversion" in status["message"]


async def test_clients_that_read_only_protobuf_get_it(api: ApiCalls) -> None:
    accept = {"accept": "application/vnd.kubernetes.protobuf"}
    await api.call("POST", "/api/v1/namespaces/default/configmaps", config_map("x"), expect=201)
    response = await api.send("GET", "/api/v1/namespaces/default/configmaps/x", headers=accept)
    assert response.status == 200
    assert response.body is not None
    decoded = decode_protobuf(response.body)
    assert (decoded["kind"], decoded["data"], decoded["metadata"]["name"]) == ("ConfigMap", {"a": "1"}, "x")


async def _condition(api: ApiCalls, path: str) -> dict[str, Any]:
    for _ in range(1000):
        conditions = (await api.call("GET", path))["status"].get("conditions")
        if conditions:
            return conditions[0]  # type: ignore[no-any-return]
        await asyncio.sleep(0)
    raise AssertionError(f"{path} got no condition")


async def test_the_server_says_whether_a_flow_schema_dangles(api: ApiCalls) -> None:
    made = await api.call("GET", f"{SCHEMAS}/catch-all")
    spec = {**made["spec"], "priorityLevelConfiguration": {"name": "nowhere"}}
    await api.call("POST", SCHEMAS, {**made, "metadata": {"name": "x"}, "spec": spec}, expect=201)
    condition = await _condition(api, f"{SCHEMAS}/x")
    assert (condition["type"], condition["status"], condition["reason"]) == ("Dangling", "True", "NotFound")
    assert (await _condition(api, f"{SCHEMAS}/catch-all"))["status"] == "False"


async def test_the_server_says_whether_an_api_service_is_available(api: ApiCalls) -> None:
    spec = {"group": "g.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10}
    service = {"name": "nope", "namespace": "nope"}
    body = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.g.example.com"},
        "spec": {**spec, "service": service, "insecureSkipTLSVerify": True},
    }
    await api.call("POST", API_SERVICES, body, expect=201)
    condition = await _condition(api, f"{API_SERVICES}/v1.g.example.com")
    assert (condition["status"], condition["reason"]) == ("False", "ServiceNotFound")
    assert condition["message"] == 'service/nope in "nope" is not present'
