"""Mounting without holding up the worker: slow mounts, failing ones, and how often they are tried."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent.pods.pod_files import PodFiles
from agent.volumes.protocol import EngineVolumeError, MountedVolume, UnmountedVolumesError, VolumeError
from control.api.builtin_kinds import PODS
from control.api.objects import ReadOnlyObject
from control.api.volumes import used_volumes
from tests.fakes.agent_node import FakeVolumes, HollowNode

VOLUME = {"name": "v", "nfs": {"server": "s", "path": "/"}}


class CountingVolumes(FakeVolumes):
    """Volumes that mount what containers use."""

    tries = 0

    async def mount_all(self, pod: ReadOnlyObject, *arguments: Any) -> Mapping[str, MountedVolume]:
        self.tries += 1
        mounted = await super().mount_all(pod, *arguments)
        return {name: volume for name, volume in mounted.items() if name in used_volumes(pod)[0]}


class SlowVolumes(FakeVolumes):
    """Volumes that mount when `answer` says so, with the error it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: asyncio.Future[VolumeError | None] = asyncio.get_running_loop().create_future()
        self.tries = 0
        self.warning: tuple[str, str] | None = None

    async def mount_all(self, *arguments: Any) -> Mapping[str, MountedVolume]:
        self.tries += 1
        error = await asyncio.shield(self.answer)
        if error is not None:
            raise UnmountedVolumesError([error], ["v"])
        mounted = await super().mount_all(*arguments)
        return {name: replace(volume, warning=self.warning) for name, volume in mounted.items()}


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[HollowNode]:
    hollow = HollowNode(tmp_path)
    hollow.volumes = SlowVolumes()
    await hollow.start()
    yield hollow
    await hollow.crash()


def slow(node: HollowNode) -> SlowVolumes:
    assert isinstance(node.volumes, SlowVolumes)
    return node.volumes


async def test_a_mount_that_takes_long_is_waited_for_beside_the_worker(node: HollowNode) -> None:
    await node.create(volumes=[VOLUME])
    await node.settle(10)
    waiting = (await node.status())["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ContainerCreating"
    assert slow(node).tries == 1, "it is not begun again"
    assert not node.event_messages("FailedMount")
    slow(node).answer.set_result(None)
    await node.settle()
    assert (await node.status())["phase"] == "Running"


async def test_a_pod_whose_mount_does_not_end_can_be_deleted(node: HollowNode) -> None:
    await node.create(volumes=[VOLUME])
    await node.settle(3)
    await node.delete(grace=1)
    await node.settle(2)
    assert await node.find() is None
    assert not await node.running("POD")
    slow(node).answer.set_result(None)
    await node.settle()
    assert not node.volumes.mounted, "what was mounted after the end is unmounted"


@pytest.mark.parametrize(
    ("error", "tries", "told"),
    [
        # The start of the sandbox wakes the worker once more.
        pytest.param(VolumeError('configmap "c" not found'), 32, 6, id="an object may come at any time"),
        pytest.param(EngineVolumeError("no such device"), 5, 5, id="the engine is asked ever more rarely"),
    ],
)
async def test_a_failing_mount_is_told_ever_more_rarely_and_tried_again(
    node: HollowNode, error: VolumeError, tries: int, told: int
) -> None:
    slow(node).answer.set_result(error)
    await node.create(volumes=[VOLUME])
    await node.settle(30)
    assert slow(node).tries == tries
    assert node.event_messages("FailedMount") == [str(error)] * told
    slow(node).answer = asyncio.get_running_loop().create_future()
    slow(node).answer.set_result(None)
    await node.settle(60)
    assert (await node.status())["phase"] == "Running"


@pytest.mark.parametrize("error", [VolumeError("refused"), None], ids=["it fails", "it does not end"])
async def test_a_pod_whose_volumes_are_not_mounted_is_not_ready_to_start(
    node: HollowNode, error: VolumeError | None
) -> None:
    """As told by a kubelet, which makes no sandbox before (test/e2e_node/pod_conditions_test.go)."""
    if error is not None:
        slow(node).answer.set_result(error)
    await node.create(volumes=[VOLUME])
    await node.settle(5)
    status = await node.status()
    verdicts = {item["type"]: item["status"] for item in status["conditions"]}
    assert verdicts["PodReadyToStartContainers"] == "False"
    assert verdicts["PodScheduled"] == verdicts["Initialized"] == "True"
    assert (status["phase"], status.get("podIP")) == ("Pending", None)
    slow(node).answer = asyncio.get_running_loop().create_future() if error is not None else slow(node).answer
    slow(node).answer.set_result(None)
    await node.settle(10)
    status = await node.status()
    verdicts = {item["type"]: item["status"] for item in status["conditions"]}
    assert verdicts["PodReadyToStartContainers"] == "True"
    assert (status["phase"], status["podIP"]) == ("Running", "10.244.0.2")


@pytest.mark.parametrize("error", [VolumeError("refused"), None], ids=["it fails", "it does not end"])
async def test_a_pod_that_waits_for_long_is_told_what_for(node: HollowNode, error: VolumeError | None) -> None:
    if error is not None:
        slow(node).answer.set_result(error)
    await node.create(volumes=[VOLUME])
    await node.settle(260)
    message = (
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
        "failed to process volumes=[]: context deadline exceeded"
    )
    assert node.event_messages("FailedMount").count(message) == 2


async def test_a_volume_that_a_new_container_is_the_first_to_use_is_mounted_then(tmp_path: Path) -> None:
    node = HollowNode(tmp_path)
    volumes = node.volumes = CountingVolumes()
    await node.start()
    await node.create(volumes=[VOLUME], containers=[{"name": "web", "image": "web:1"}])
    assert volumes.tries == 1
    debugger = {"name": "debug", "image": "web:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    await node.client.patch(PODS, "web", {"spec": {"ephemeralContainers": [debugger]}}, namespace="default")
    await node.settle(2)
    assert volumes.tries == 2
    assert await node.running("debug")
    await node.crash()


async def test_what_the_user_of_a_volume_should_know_is_told(node: HollowNode) -> None:
    slow(node).warning = ("AlreadyMountedVolume", "shared")
    slow(node).answer.set_result(None)
    await node.create(volumes=[VOLUME])
    assert node.event_messages("AlreadyMountedVolume") == ["shared"]


async def test_a_new_sandbox_mounts_again(node: HollowNode) -> None:
    slow(node).answer.set_result(None)
    await node.create(volumes=[VOLUME])
    assert slow(node).tries == 1
    (sandbox,) = await node.running("POD")
    node.runtime.exit_container(sandbox.id, exit_code=137)
    await node.settle(2)
    assert (await node.status())["phase"] == "Running"
    assert slow(node).tries == 2


class StubbornVolumes(FakeVolumes):
    """Volumes that do not go at once."""

    refusals = 3

    async def unmount_all(self, pod_uid: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise VolumeError("cannot unmount: Device or resource busy")
        await super().unmount_all(pod_uid)


async def test_a_pod_s_object_goes_when_its_volumes_have_been_given_back(tmp_path: Path) -> None:
    node = HollowNode(tmp_path)
    volumes = node.volumes = StubbornVolumes()
    await node.start()
    await node.create(volumes=[VOLUME])
    await node.delete(grace=1)
    await node.settle(0.1)
    assert volumes.mounted, "the first try has failed"
    assert not await node.running("POD")
    assert await node.find() is not None
    await node.settle(10)
    assert not node.volumes.mounted
    assert not node.workers.uids()
    assert await node.find() is None
    await node.crash()


class VolumesOfTheEngine(FakeVolumes):
    """Volumes that the engine keeps while a container names them; notes how many containers are left at the end."""

    def __init__(self, node: HollowNode) -> None:
        super().__init__()
        self._node = node
        self.containers_left: list[int] = []

    async def are_held_by_containers(self, pod_uid: str) -> bool:
        return pod_uid in self.mounted

    async def unmount_all(self, pod_uid: str) -> None:
        if pod_uid in self.mounted:
            self.containers_left.append(len(await self._node.runtime.list_containers({})))
        await super().unmount_all(pod_uid)


async def test_containers_go_before_the_volumes_that_they_hold(tmp_path: Path) -> None:
    node = HollowNode(tmp_path)
    volumes = node.volumes = VolumesOfTheEngine(node)
    await node.start()
    await node.create(volumes=[VOLUME])
    await node.delete(grace=1)
    await node.settle(2)
    assert await node.find() is None
    assert volumes.containers_left == [0]
    await node.crash()


async def test_files_that_cannot_be_written_are_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    node = HollowNode(tmp_path)
    await node.start()
    with monkeypatch.context() as full:
        full.setattr(PodFiles, "container_mounts", fail)
        await node.create()
    waiting = (await node.status())["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerConfigError"
    assert waiting["message"] == "cannot write the files of the container: No space left on device"
    await node.settle(6)
    assert (await node.status())["phase"] == "Running"
    await node.crash()
