"""lightkube: typed objects, server-side apply of any of them, watches, conditions, its asynchronous client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lightkube import ApiError, AsyncClient, Client, KubeConfig
from lightkube.codecs import load_all_yaml
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, ServiceAccount, ServiceAccountToken
from lightkube.resources.rbac_authorization_v1 import ClusterRole
from lightkube.types import CascadeType, PatchType

from tests.cluster import MANIFESTS, Cluster


@pytest.fixture
def kubeconfig(control_plane: Cluster) -> KubeConfig:
    return KubeConfig.from_file(str(control_plane.directory / "kubeconfig"))


@pytest.fixture
def api(kubeconfig: KubeConfig, namespace: str) -> Iterator[Client]:
    """A client in the namespace of the test."""
    with Client(config=kubeconfig, namespace=namespace, field_manager="tests") as made:
        yield made


def config_map(name: str, **data: str) -> ConfigMap:
    """A ConfigMap."""
    return ConfigMap(metadata=ObjectMeta(name=name), data=data)


def test_objects_are_created_replaced_patched_and_deleted(api: Client) -> None:
    made = api.create(config_map("made", a="1"))
    assert made.metadata.managedFields[0].manager == "tests"
    made.data = {"a": "2"}
    assert api.replace(made).data == {"a": "2"}
    with pytest.raises(ApiError) as stale:
        api.replace(made)
    assert (stale.value.status.code, stale.value.status.reason) == (409, "Conflict")
    api.patch(ConfigMap, "made", {"data": {"b": "3"}})
    api.patch(ConfigMap, "made", {"data": {"a": None}}, patch_type=PatchType.MERGE)
    patched = api.patch(
        ConfigMap, "made", [{"op": "add", "path": "/data/c", "value": "4"}], patch_type=PatchType.JSON
    )  # fmt: skip
    assert patched.data == {"b": "3", "c": "4"}
    assert api.patch(ConfigMap, "made", {"metadata": {"labels": {"x": "y"}}}).metadata.labels == {"x": "y"}
    assert [item.metadata.name for item in api.list(ConfigMap, labels={"x": "y"}, chunk_size=1)] == ["made"]
    api.delete(ConfigMap, "made")
    with pytest.raises(ApiError) as missing:
        api.get(ConfigMap, "made")
    assert missing.value.status.message == 'configmaps "made" not found'


def test_apply_makes_changes_and_conflicts(api: Client) -> None:
    assert api.apply(config_map("owned", colour="red", size="big")).data == {"colour": "red", "size": "big"}
    assert api.apply(config_map("owned", colour="red")).data == {"colour": "red"}
    with pytest.raises(ApiError) as conflict:
        api.apply(config_map("owned", colour="blue"), field_manager="other")
    assert 'conflict with "tests": .data.colour' in str(conflict.value)
    forced = api.apply(config_map("owned", colour="blue"), field_manager="other", force=True)
    assert [item.manager for item in forced.metadata.managedFields] == ["other"]
    dry = api.apply(config_map("owned", colour="green"), field_manager="other", dry_run=True)
    assert (dry.data, api.get(ConfigMap, "owned").data) == ({"colour": "green"}, {"colour": "blue"})


def test_a_deployment_is_applied_scaled_and_waited_for(api: Client) -> None:
    labels = {"app": "web"}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="web", image="nginx")])
    )
    spec = DeploymentSpec(replicas=0, selector=LabelSelector(matchLabels=labels), template=template)
    api.apply(Deployment(metadata=ObjectMeta(name="web"), spec=spec))
    assert api.wait(Deployment, "web", for_conditions=["Available"]).status.observedGeneration == 1
    scale = api.get(Deployment.Scale, "web")
    assert (scale.spec.replicas or 0, scale.status.selector) == (0, "app=web")
    scaled = api.patch(Deployment.Scale, "web", {"spec": {"replicas": 1}}, patch_type=PatchType.MERGE)
    assert scaled.spec.replicas == 1
    status = api.get(Deployment.Status, "web").status
    assert {condition.type for condition in status.conditions} >= {"Available", "Progressing"}
    api.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)


def test_watches_resume_from_a_revision(api: Client) -> None:
    made = api.create(config_map("made", a="1"))
    api.patch(ConfigMap, "made", {"data": {"a": "2"}})
    api.delete(ConfigMap, "made")
    watch = api.watch(ConfigMap, fields={"metadata.name": "made"}, resource_version=made.metadata.resourceVersion)
    assert [(event, found.data) for event, found in (next(watch), next(watch))] == [
        ("MODIFIED", {"a": "2"}),
        ("DELETED", {"a": "2"}),
    ]


def test_manifests_tokens_and_cluster_wide_kinds(api: Client, namespace: str) -> None:
    for item in load_all_yaml((MANIFESTS / "nginx.yaml").read_text()):
        api.apply(item)
    assert api.get(Deployment, "web").spec.replicas == 3
    assert api.get(Namespace, namespace).status.phase == "Active"
    assert "admin" in {item.metadata.name for item in api.list(ClusterRole)}
    api.create(ServiceAccount(metadata=ObjectMeta(name="robot")))
    token = api.create(ServiceAccountToken(metadata=ObjectMeta()), "robot").status.token
    assert token.count(".") == 2


async def test_the_asynchronous_client_lists_and_watches(kubeconfig: KubeConfig, namespace: str) -> None:
    client = AsyncClient(config=kubeconfig, namespace=namespace)
    try:
        await client.create(config_map("one"))
        listed = client.list(ConfigMap, fields={"metadata.name": "one"})
        assert [item.metadata.name async for item in listed] == ["one"]
        revision = listed.resourceVersion
        await client.delete(ConfigMap, "one")
        async for event, found in client.watch(ConfigMap, resource_version=revision):
            if found.metadata.name == "one":
                assert event == "DELETED"
                break
    finally:
        await client.close()
