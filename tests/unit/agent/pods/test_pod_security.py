"""What security contexts refer to on the node, in the life of a Pod."""

from __future__ import annotations

from typing import Any

import pytest

from agent.runtime.accounts import Accounts
from agent.volumes.protocol import ImageSubPathError, Mount
from tests.fakes.agent_node import HollowNode

CONTAINER = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent"}


def localhost(profile: str) -> dict[str, Any]:
    return {"seccompProfile": {"type": "Localhost", "localhostProfile": profile}}


async def waiting_state(node: HollowNode) -> Any:
    return (await node.status())["containerStatuses"][0]["state"]["waiting"]


async def seccomp_options(node: HollowNode, container: str) -> list[str]:
    (record,) = await node.running(container)
    return list(node.runtime.create_body(record.id)["HostConfig"].get("SecurityOpt", ()))


async def test_a_container_waits_for_its_seccomp_profile(node: HollowNode) -> None:
    await node.create(containers=[CONTAINER], securityContext=localhost("late.json"))
    message = 'cannot load seccomp profile "late.json"'
    assert await waiting_state(node) == {"reason": "CreateContainerError", "message": message}
    assert f"Error: {message}" in node.event_messages("Failed")
    node.security_files.profiles["late.json"] = "{}"
    await node.settle(6)
    (web,) = await node.running("web")
    assert node.runtime.create_body(web.id)["HostConfig"]["SecurityOpt"] == ["seccomp={}"]


async def test_a_container_waits_for_a_part_of_an_image_that_is_not_there(
    node: HollowNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[Mount]:
        raise ImageSubPathError("not in the image")

    monkeypatch.setattr(node.volumes, "container_mounts", refuse)
    await node.create(containers=[CONTAINER])
    assert await waiting_state(node) == {"reason": "CreateContainerError", "message": "not in the image"}


async def test_the_profile_of_the_container_wins_over_that_of_the_pod(node: HollowNode) -> None:
    node.security_files.profiles = {"pod.json": '{"of":"pod"}', "own.json": '{"of":"container"}'}
    containers = [
        {**CONTAINER, "securityContext": localhost("own.json")},
        {**CONTAINER, "name": "inherits"},
        {**CONTAINER, "name": "free", "securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        {**CONTAINER, "name": "docker", "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
    ]
    await node.create(containers=containers, securityContext=localhost("pod.json"))
    assert {name: await seccomp_options(node, name) for name in ("web", "inherits", "free", "docker")} == {
        "web": ['seccomp={"of":"container"}'],
        "inherits": ['seccomp={"of":"pod"}'],
        "free": ["seccomp=unconfined"],
        "docker": [],
    }


async def test_a_container_without_a_profile_is_unconfined(node: HollowNode) -> None:
    await node.create(containers=[CONTAINER])
    assert await seccomp_options(node, "web") == ["seccomp=unconfined"]


async def test_strict_groups_need_an_image_that_can_be_read(node: HollowNode) -> None:
    context = {"runAsUser": 33, "supplementalGroupsPolicy": "Strict", "supplementalGroups": [60]}
    await node.create(containers=[CONTAINER], securityContext=context)
    waiting = await waiting_state(node)
    assert waiting["reason"] == "CreateContainerConfigError"
    assert "cannot apply supplementalGroupsPolicy Strict to container web" in waiting["message"]
    node.security_files.accounts = Accounts(passwd="www:x:33:34::/:", group="extra:x:50:www")
    await node.settle(6)
    (web,) = await node.running("web")
    body = node.runtime.create_body(web.id)
    assert (body["User"], body["HostConfig"]["GroupAdd"]) == ("33:34", ["60"])


async def test_the_status_says_which_mounts_are_read_only_with_all_below_them(node: HollowNode) -> None:
    mounts = [
        {"name": "v", "mountPath": "/if-possible", "readOnly": True, "recursiveReadOnly": "IfPossible"},
        {"name": "v", "mountPath": "/top", "readOnly": True},
        {"name": "v", "mountPath": "/writable"},
    ]
    volumes = [{"name": "v", "emptyDir": {}}]
    statuses = {}
    for name, possible in (("able", True), ("unable", False)):
        node.volumes.mounts = [Mount(host_path="/", container_path="/if-possible", recursive_read_only=possible)]
        await node.create(name, containers=[{**CONTAINER, "volumeMounts": mounts}], volumes=volumes)
        [status] = (await node.status(name))["containerStatuses"]
        statuses[name] = [mount.get("recursiveReadOnly") for mount in status["volumeMounts"]]

    assert statuses == {"able": ["Enabled", "Disabled", None], "unable": ["Disabled", "Disabled", None]}


async def test_mount_options_that_a_volume_cannot_have_are_events_of_their_own(node: HollowNode) -> None:
    node.volumes.failure = "Mount options are not supported for this volume type"
    node.volumes.reasons = ("UnsupportedMountOption", "FailedMount")
    await node.create(containers=[CONTAINER])
    for reason in ("UnsupportedMountOption", "FailedMount"):
        assert set(node.event_messages(reason)) == {node.volumes.failure}
    node.volumes.failure = ""
    await node.settle(5)
    assert (await node.status())["phase"] == "Running"
