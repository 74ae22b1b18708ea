"""kr8s: objects that are read, changed, watched and waited for, found by discovery."""

from __future__ import annotations

from typing import Any

import kr8s
import pytest
from kr8s.asyncio.objects import ConfigMap, Deployment, Pod, object_from_spec

from tests.cluster import Cluster


@pytest.fixture
async def api(control_plane: Cluster, namespace: str) -> Any:
    """A client in the namespace of the test."""
    made = await kr8s.asyncio.api(kubeconfig=str(control_plane.directory / "kubeconfig"), namespace=namespace)
    yield made
    await made._session.aclose()


def config_map(name: str, namespace: str, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


async def test_objects_are_created_changed_and_deleted(api: Any, namespace: str) -> None:
    made = await ConfigMap(config_map("made", namespace, a="1"), api=api)
    await made.create()
    assert await made.exists()
    await made.patch({"data": {"b": "2"}})
    await made.patch([{"op": "remove", "path": "/data/a"}], type="json")
    await made.label({"tier": "front"})
    await made.annotate({"note": "hello"})
    (found,) = [item async for item in ConfigMap.list(api=api, label_selector={"tier": "front"}, namespace=namespace)]
    assert found.data.to_dict() == {"b": "2"}
    assert found.annotations.to_dict() == {"note": "hello"}
    await made.remove_label("tier")
    assert "tier" not in made.labels
    await made.delete()
    with pytest.raises(kr8s.NotFoundError):
        await made.refresh()


async def test_a_deployment_is_scaled_and_a_pod_is_waited_for(api: Any, namespace: str) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    web = await Deployment({"metadata": {"name": "web", "namespace": namespace}, "spec": spec}, api=api)
    await web.create()
    await web.wait("condition=Available", timeout=60)
    await web.scale(2)
    assert (await Deployment.get("web", namespace=namespace, api=api)).replicas == 2
    async for _, found in api.watch("deployments", namespace=namespace):
        if found.status.get("replicas") == 2:
            break
    pods = [item async for item in api.get("pods", namespace=namespace)]
    assert [type(pod) for pod in pods] == [Pod, Pod]
    assert not await pods[0].ready()
    (owner,) = pods[0].metadata.ownerReferences
    assert owner.kind == "ReplicaSet"
    await web.delete(propagation_policy="Foreground")
    for pod in pods:
        await pod.wait("delete", timeout=60)


async def test_watches_show_what_happens(api: Any, namespace: str) -> None:
    made = await ConfigMap(config_map("made", namespace, a="1"), api=api)
    await made.create()
    seen = []
    async for event, found in api.watch("configmaps", namespace=namespace, field_selector="metadata.name=made"):
        seen.append((event, dict(found.data)))
        if event == "ADDED":
            await made.patch({"data": {"a": "2"}})
        elif event == "MODIFIED":
            await made.delete()
        else:
            break
    assert seen == [("ADDED", {"a": "1"}), ("MODIFIED", {"a": "2"}), ("DELETED", {"a": "2"})]


async def test_discovery_and_the_version_are_told(api: Any) -> None:
    resources = await api.api_resources()
    (pods,) = [item for item in resources if (item["name"], item["version"]) == ("pods", "v1")]
    assert (pods["kind"], pods["shortNames"], pods["namespaced"]) == ("Pod", ["po"], True)
    assert {"v1", "apps/v1", "batch/v1"} <= {version async for version in api.api_versions()}
    assert (await api.version())["gitVersion"].startswith("v1.36.")
    assert await api.whoami() == "kubernetes-admin"
    assert await api.lookup_kind("deploy") == ("deployment.apps/v1", "deployments", True)


async def test_kinds_without_a_class_of_their_own_work(api: Any, namespace: str) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "mine", "namespace": namespace},
    }
    made = object_from_spec(lease | {"spec": {"holderIdentity": "me"}}, api=api, allow_unknown_type=True)
    await made.create()
    found = [item async for item in api.get("leases.coordination.k8s.io", namespace=namespace)]
    assert [item.spec.holderIdentity for item in found] == ["me"]


async def test_a_refused_object_is_explained(api: Any, namespace: str) -> None:
    refused = await ConfigMap(config_map("Not_A_Name", namespace), api=api)
    with pytest.raises(kr8s.ServerError, match="a lowercase RFC 1123 subdomain must consist of"):
        await refused.create()
