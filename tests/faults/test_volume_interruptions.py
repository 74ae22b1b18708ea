"""The agent stopped at every call while the volumes of a Pod are made or removed: nothing is lost or left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import ContainerState, CreateBody
from agent.volumes.pod_volumes import PodVolumes
from agent.volumes.volume_holders import VolumeHolders
from control.api.builtin_kinds import PODS
from control.api.meta import uid_of
from tests.fakes.agent_node import OWNER, PAUSE, HollowNode
from tests.faults.test_agent_interruptions import WEB, Story, check_order, running_ids, settle_in_order, tell

TOKEN = {"serviceAccountToken": {"path": "token"}}
FIELD = {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}
VOLUMES: list[dict[str, Any]] = [
    {"name": "empty", "emptyDir": {}},
    {"name": "config", "configMap": {"name": "settings"}},
    {"name": "secret", "secret": {"secretName": "hidden"}},
    {"name": "projected", "projected": {"sources": [TOKEN, {"configMap": {"name": "settings"}}]}},
    {"name": "downward", "downwardAPI": {"items": [FIELD]}},
    {"name": "claimed", "persistentVolumeClaim": {"claimName": "data"}},
    {"name": "nfs", "nfs": {"server": "files", "path": "/"}},
    {"name": "docker", "csi": {"driver": "docker.podling.io"}},
]
MOUNTS = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in VOLUMES]
PART = {"name": "empty", "mountPath": "/part", "subPath": "a/b"}
SPEC: dict[str, Any] = {"volumes": VOLUMES, "containers": [{**WEB, "volumeMounts": [*MOUNTS, PART]}]}


class VolumeNode(HollowNode):
    """A node whose volumes are real files; what the agent may not mount here, the engine mounts."""

    async def start(self) -> None:
        self.volumes = PodVolumes(  # type: ignore[assignment]
            root=self.directory / "volumes",
            objects=self.objects,
            clock=self.clock,
            may_mount=False,
            local_root=self.directory / "persistent",
            holders=VolumeHolders(self.runtime, OWNER, PAUSE),
        )
        await super().start()


async def start_pod(node: HollowNode, engine: FakeRuntime) -> None:
    await node.create("new", **SPEC)
    await node.settle(2)


async def delete_pod(node: HollowNode, engine: FakeRuntime) -> None:
    await node.delete("old", grace=1)
    await node.settle(3)


async def make_node(directory: Path) -> HollowNode:
    """A stopped node on which the Pod `old` runs."""
    node = VolumeNode(directory)
    node.objects.config_maps["settings"] = {"data": {"colour": "red"}}
    node.objects.secrets["hidden"] = {"data": {"word": "bWVsbG9u"}}
    claim = {"name": "data", "namespace": "default", "uid": "u-data"}
    bound = {"spec": {"volumeName": "disk"}, "status": {"phase": "Bound"}}
    local = {"path": str(directory / "persistent" / "disk")}
    node.objects.claims["data"] = {"metadata": claim, **bound}
    node.objects.volumes["disk"] = {
        "metadata": {"name": "disk"},
        "spec": {"claimRef": {"uid": "u-data"}, "accessModes": ["ReadWriteOnce"], "local": local},
    }
    await node.start()
    await node.create("old", **SPEC)
    await node.settle(1)
    await node.crash()
    return node


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("story", [start_pod, delete_pod], ids=["a Pod starts", "a Pod is deleted"])
async def test_a_stop_at_any_call_leaves_the_volumes_of_the_pods_there_are(
    tmp_path: Path, story: Story, after: bool
) -> None:
    undisturbed = await make_node(tmp_path / "undisturbed")
    calls = (await tell(undisturbed, story, stop_at=0, after=False)).calls
    assert len(calls) > 3
    for number, verb in enumerate(calls, 1):
        told = f"stopped at call {number}, {verb}"
        node = await make_node(tmp_path / str(number))
        old = await running_ids(node, "old")
        await tell(node, story, stop_at=number, after=after)
        await node.start()
        await settle_in_order(node, told, check_volumes)
        if story is start_pod:
            assert await running_ids(node, "old") == old, told
        await node.crash()


async def check_volumes(node: HollowNode, told: str) -> None:
    """Every Pod has each of its volumes once, mounted; those of no Pod are gone, what belongs to a claim is there."""
    await node.volumes.collect_garbage(node.workers.uids() | node.cache.pod_uids())
    await check_order(node, told)
    uids = {uid_of(pod) for pod in (await node.client.list(PODS))["items"]}
    assert set(node.runtime.volumes.records) == {f"podling_{uid}_{name}" for uid in uids for name in ("nfs", "docker")}
    records = await node.runtime.list_containers({})
    holders = [record for record in records if record.name.startswith("k8s_VOLUME.")]
    assert len(holders) == 2 * len(uids), told
    assert all(record.state is ContainerState.RUNNING for record in holders), told
    assert set(os.listdir(node.directory / "volumes")) == uids, told
    assert (node.directory / "persistent" / "disk").is_dir()
    bodies = [node.runtime.create_body(record.id) for record in records]
    assert not missing_sources(bodies), told


def missing_sources(bodies: list[CreateBody]) -> list[str]:
    """What containers have mounted of the node and is not there."""
    mounts = [mount for body in bodies for mount in body["HostConfig"].get("Mounts", ())]
    return [one["Source"] for one in mounts if one["Type"] == "bind" and not Path(one["Source"]).exists()]
