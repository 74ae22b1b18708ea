"""Pods go where their claims' volumes are, or can be had; late claims are bound with their Pod."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from control.api.objects import Object, copy_object
from control.scheduler.placement import filter_nodes, format_diagnosis
from control.scheduler.plugins import default_profile
from control.scheduler.snapshot import Snapshot
from control.scheduler.storage_view import VolumePlan
from tests.unit.scheduler.builders import make_node, make_snapshot, prepare
from tests.unit.scheduler.test_scheduler import Setting, running

PROFILE = default_profile()
SELECTED = "volume.kubernetes.io/selected-node"
BOUND = {"pv.kubernetes.io/bind-completed": "yes"}


def make_claim(
    name: str = "data", size: str = "1Gi", *, annotations: Any = None, phase: str = "Pending", **spec: Any
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "d", "uid": f"uid-{name}", "annotations": annotations or {}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            "storageClassName": "late",
            **spec,
        },
        "status": {"phase": phase},
    }


def make_volume(name: str, host: str = "", size: str = "1Gi", **spec: Any) -> Object:
    expression = {"key": "host", "operator": "In", "values": [host]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size},
            "storageClassName": "late",
            **({"nodeAffinity": affinity} if host else {}),
            **spec,
        },
        "status": {"phase": "Available"},
    }


def make_class(provisioner: str = "p", name: str = "late", mode: str = "WaitForFirstConsumer", **fields: Any) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
        **fields,
    }


NOTHING = "kubernetes.io/no-provisioner"


def claiming(*names: str) -> Any:
    return [{"name": f"v-{name}", "persistentVolumeClaim": {"claimName": name}} for name in names or ("data",)]


def cluster(*objects: Object) -> Snapshot:
    snapshot = make_snapshot(make_node("a", labels={"host": "a"}), make_node("b", labels={"host": "b"}))
    kinds = {kind.kind: kind for kind in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES)}
    for obj in objects:
        snapshot.storage.put(kinds[obj["kind"]], obj)
    return snapshot


TOPOLOGY = [{"matchLabelExpressions": [{"key": "host", "values": ["b"]}]}]


@pytest.mark.parametrize(
    ("objects", "nodes"),
    [
        pytest.param(
            [make_claim(annotations=BOUND, volumeName="v"), make_volume("v", "b")], {"b"}, id="where its volume is"
        ),
        pytest.param([make_claim(), make_class(NOTHING), make_volume("v", "a")], {"a"}, id="where one can be taken"),
        pytest.param([make_claim(), make_class()], {"a", "b"}, id="where one can be made"),
        pytest.param([make_claim(), make_class(allowedTopologies=TOPOLOGY)], {"b"}, id="where the class makes them"),
        pytest.param([make_claim(annotations={SELECTED: "b"}), make_class()], {"b"}, id="where one is being made"),
        pytest.param(
            [make_claim("1", "1Gi"), make_claim("2", "2Gi"), make_class(NOTHING), make_volume("x", "a", "2Gi")],
            set(),
            id="one volume does not serve two claims",
        ),
        pytest.param(
            [
                make_claim("1", "1Gi"),
                make_claim("2", "2Gi"),
                make_class(NOTHING),
                make_volume("x", "a", "2Gi"),
                make_volume("y", "a", "3Gi"),
            ],
            {"a"},
            id="the smallest claim chooses first",
        ),
    ],
)
def test_a_pod_goes(objects: list[Object], nodes: set[str]) -> None:
    claims = [obj["metadata"]["name"] for obj in objects if obj["kind"] == "PersistentVolumeClaim"]
    filtered = filter_nodes(PROFILE, prepare(volumes=claiming(*claims)), cluster(*objects))
    assert {node.name for node in filtered.feasible} == nodes


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (
            [make_claim(annotations=BOUND, volumeName="v"), make_volume("v", "c")],
            "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity.",
        ),
        (
            [make_claim(annotations=BOUND, volumeName="v")],
            "0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).",
        ),
        (
            [make_claim(), make_class(NOTHING)],
            "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
        ),
        (
            [{**make_claim(volumeName="gone"), "status": {"phase": "Lost"}}],
            '0/2 nodes are available: persistentvolumeclaim "data" bound to non-existent persistentvolume "gone". not'
            " found",
        ),
    ],
)
def test_the_reason_is_upstreams(objects: list[Object], message: str) -> None:
    diagnosis = filter_nodes(PROFILE, prepare(volumes=claiming()), cluster(*objects)).diagnosis
    assert format_diagnosis(diagnosis) == message


def test_an_ephemeral_volume_waits_for_its_own_claim() -> None:
    pod = prepare(volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}])
    refusal = filter_nodes(PROFILE, pod, cluster()).diagnosis.refusal
    assert refusal is not None
    assert refusal.reasons == ('waiting for ephemeral volume controller to create the persistentvolumeclaim "p-v"',)
    refusal = filter_nodes(PROFILE, pod, cluster(make_claim("p-v"))).diagnosis.refusal
    assert refusal is not None
    assert refusal.reasons == ("PVC d/p-v was not created for pod d/p (pod is not owner)",)


def test_what_is_promised_to_one_pod_is_not_offered_to_the_next() -> None:
    snapshot = cluster(make_claim("1"), make_claim("2"), make_class(NOTHING), make_volume("v", "a"))
    claim, node = snapshot.storage.find_claim("d/1"), snapshot.find("a")
    assert claim is not None
    assert node is not None
    plan = snapshot.storage.plan([claim], node)
    assert isinstance(plan, VolumePlan)
    snapshot.storage.promise("first", plan, "a")
    second = prepare("second", volumes=claiming("2"))
    assert not filter_nodes(PROFILE, second, snapshot).feasible
    snapshot.storage.release("first")
    assert filter_nodes(PROFILE, second, snapshot).feasible


class Claims:
    """Plays the volume controllers on the memory endpoint."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def get(self, name: str = "data") -> Object:
        return self.setting.endpoint.objects[("", "persistentvolumeclaims", "d", name)]

    async def change(self, *, phase: str = "Pending", **metadata_or_spec: Any) -> None:
        claim = copy_object(self.get())
        claim["status"] = {"phase": phase}
        claim["metadata"]["annotations"] = metadata_or_spec.pop("annotations", claim["metadata"].get("annotations"))
        claim["spec"].update(metadata_or_spec)
        await self.setting.client.update(PERSISTENT_VOLUME_CLAIMS, claim)
        await self.setting.settle()


async def test_a_late_claim_gets_its_node_and_the_pod_is_bound_after_the_claim() -> None:
    async with running() as setting:
        claims = Claims(setting)
        await setting.client.create(STORAGE_CLASSES, make_class())
        await setting.client.create(PERSISTENT_VOLUME_CLAIMS, make_claim())
        await setting.add_node()
        await setting.add_pod(volumes=claiming())
        assert claims.get()["metadata"]["annotations"] == {SELECTED: "n1"}
        assert setting.node_of() is None
        await setting.client.create(PERSISTENT_VOLUMES, make_volume("v"))
        await claims.change(volumeName="v", annotations={SELECTED: "n1", **BOUND})
        assert setting.node_of() is None
        await claims.change(phase="Bound")
        assert setting.node_of() == "n1"


async def test_a_pod_is_bound_after_a_claim_that_others_are_about_to_bind() -> None:
    async with running() as setting:
        await setting.client.create(PERSISTENT_VOLUMES, make_volume("v"))
        await setting.client.create(PERSISTENT_VOLUME_CLAIMS, make_claim(annotations=BOUND, volumeName="v"))
        await setting.add_node()
        await setting.add_pod(volumes=claiming())
        assert setting.node_of() is None
        await Claims(setting).change(phase="Bound")
        assert setting.node_of() == "n1"


async def test_a_volume_that_waits_is_taken_for_the_claim() -> None:
    async with running() as setting:
        await setting.client.create(STORAGE_CLASSES, make_class(NOTHING))
        await setting.client.create(PERSISTENT_VOLUMES, make_volume("v"))
        await setting.client.create(PERSISTENT_VOLUME_CLAIMS, make_claim())
        await setting.add_node()
        await setting.add_pod(volumes=claiming())
        volume = await setting.client.get(PERSISTENT_VOLUMES, "v")
        assert volume["spec"]["claimRef"]["name"] == "data"
        await Claims(setting).change(volumeName="v", annotations=BOUND, phase="Bound")
        assert setting.node_of() == "n1"


async def test_a_node_that_cannot_have_the_volume_is_given_up() -> None:
    async with running() as setting:
        claims = Claims(setting)
        await setting.client.create(STORAGE_CLASSES, make_class())
        await setting.client.create(PERSISTENT_VOLUME_CLAIMS, make_claim())
        await setting.add_node()
        await setting.add_pod(volumes=claiming())
        await setting.client.delete(NODES, "n1")
        await setting.add_node("n2")
        await claims.change(annotations={})
        assert "provisioning failed" in setting.events("FailedScheduling")[-1]["message"]
        await setting.advance(10)
        assert claims.get()["metadata"]["annotations"] == {SELECTED: "n2"}


async def test_a_pod_whose_claim_is_not_bound_in_time_is_tried_again() -> None:
    async with running() as setting:
        await setting.client.create(STORAGE_CLASSES, make_class())
        await setting.client.create(PERSISTENT_VOLUME_CLAIMS, make_claim())
        await setting.add_node()
        await setting.add_pod(volumes=claiming())
        await setting.advance(601)
        assert "deadline exceeded" in setting.events("FailedScheduling")[-1]["message"]
        assert setting.node_of() is None
        await setting.client.delete(PODS, "p", namespace="d")
