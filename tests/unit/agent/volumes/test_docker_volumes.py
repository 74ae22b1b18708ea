"""Volumes of the engine's own behind nfs and csi sources: what they are called, made of, and when they go."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.identity import NodeIdentity
from agent.runtime.protocol import ContainerState, EngineUnavailableError, RuntimeFailure
from agent.runtime.volume_records import VolumeRecord
from agent.volumes.pod_volumes import PodVolumes
from agent.volumes.protocol import EngineVolumeError, Mount, MountedVolume, UnmountedVolumesError, VolumeError
from agent.volumes.volume_holders import VolumeHolders, remove_volumes
from control.api.clock import FakeClock
from control.api.objects import Object
from tests.fakes.objects import FakeObjects, make_pod

OWNER = NodeIdentity(cluster="c", node="n")
PAUSE = "podling/pause:1"
NFS = {"nfs": {"server": "files.example", "path": "/exports/a"}}
CIFS = {"type": "cifs", "device": "//files/a", "o": "vers=3.0"}


class Node:
    """A node on a fake engine that outlives its agent."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.engine = FakeRuntime(FakeClock())
        self.engine.add_image(PAUSE)
        self.objects = FakeObjects()
        self.start()

    def start(self, *, may_mount: bool = True) -> None:
        """A new agent."""
        self.volumes = PodVolumes(
            root=self.directory / "pods",
            objects=self.objects,
            clock=FakeClock(),
            may_mount=may_mount,
            holders=VolumeHolders(self.engine, OWNER, PAUSE),
        )

    def claim(self, source: dict[str, Any], **spec: Any) -> dict[str, Any]:
        """The Pod's volume of a claim that is bound to a volume of this source."""
        metadata = {"name": "data", "namespace": "shop", "uid": "u-data"}
        self.objects.claims["data"] = {
            "metadata": metadata,
            "spec": {"volumeName": "disk"},
            "status": {"phase": "Bound"},
        }
        self.objects.volumes["disk"] = {
            "metadata": {"name": "disk"},
            "spec": {"claimRef": {"uid": "u-data"}, "accessModes": ["ReadWriteMany"], **spec, **source},
        }
        return {"persistentVolumeClaim": {"claimName": "data"}}

    async def mount(self, volume: dict[str, Any], *, uid: str = "uid-1") -> MountedVolume:
        return (await self.volumes.mount_all(pod_of(volume, uid=uid)))["v"]

    def volume(self, name: str) -> VolumeRecord:
        return self.engine.volumes.records[name]

    async def running(self) -> list[str]:
        records = await self.engine.list_containers({})
        return [record.name for record in records if record.state is ContainerState.RUNNING]


def pod_of(volume: dict[str, Any], *, uid: str = "uid-1") -> Object:
    pod = make_pod({"name": "v", **volume})
    pod["metadata"]["uid"] = uid
    return pod


def csi(**source: Any) -> dict[str, Any]:
    return {"csi": {"driver": "docker.podling.io", **source}}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize(
    ("source", "spec", "options", "read_only"),
    [
        pytest.param({}, {}, "addr=files.example,vers=4.2", False, id="plain"),
        pytest.param({"readOnly": True}, {}, "addr=files.example,ro,vers=4.2", True, id="read-only"),
        pytest.param({}, {"mountOptions": ["soft"]}, "addr=files.example,soft,vers=4.2", False, id="another option"),
        pytest.param({}, {"mountOptions": ["v3"]}, "addr=files.example,v3", False, id="a version as a flag"),
        pytest.param(
            {}, {"mountOptions": ["nfsvers=4.2", "hard"]}, "addr=files.example,nfsvers=4.2,hard", False, id="options"
        ),
    ],
)
async def test_nfs_is_a_volume_of_the_local_driver(
    node: Node, source: dict[str, Any], spec: dict[str, Any], options: str, read_only: bool
) -> None:
    mounted = await node.mount(node.claim({"nfs": {**NFS["nfs"], **source}}, **spec))

    assert (mounted.docker_volume, mounted.read_only) == ("podling_uid-1_v", read_only)
    made = node.volume("podling_uid-1_v")
    assert (made.driver, made.options) == ("local", {"type": "nfs", "device": ":/exports/a", "o": options})
    assert made.labels["io.podling.cluster"] == "c"
    assert await node.running() == ["k8s_VOLUME.v_web_shop_uid-1_0"]
    assert await node.engine.list_containers(OWNER.labels()) == [], "a mount that hangs must not hold up the node"


def cannot_mount(cause: str) -> RuntimeFailure:
    return RuntimeFailure(f"error while mounting volume: failed to mount local volume: mount :/exports/a: {cause}")


@pytest.mark.parametrize(
    ("causes", "version"),
    [
        (["protocol not supported"], "4.1"),
        (["protocol not supported", "protocol not supported"], "4"),
        (["protocol not supported", "invalid argument", "no such file or directory"], "3"),
        (["connection refused"], "4.1"),
    ],
)
async def test_an_nfs_server_is_asked_for_older_versions(node: Node, causes: list[str], version: str) -> None:
    for cause in causes:
        node.engine.inject_error("start_container", cannot_mount(cause))
    mounted = await node.mount(NFS)
    assert node.volume("podling_uid-1_v").options["o"] == f"addr=files.example,vers={version}"
    node.start()
    assert await node.mount(NFS) == mounted, "another agent takes what was agreed on"
    assert await node.running() == ["k8s_VOLUME.v_web_shop_uid-1_0"]


@pytest.mark.parametrize(
    ("options", "causes", "told"),
    [
        pytest.param([], ["permission denied"], "permission denied", id="an older version would not help"),
        pytest.param(
            [],
            ["protocol not supported", "no such file or directory", "protocol not supported", "protocol not supported"],
            "no such file or directory",
            id="what says most is told",
        ),
        pytest.param(["vers=3"], ["protocol not supported"], "protocol not supported", id="the one that was named"),
    ],
)
async def test_an_nfs_volume_that_cannot_be_mounted(
    node: Node, options: list[str], causes: list[str], told: str
) -> None:
    for cause in causes:
        node.engine.inject_error("start_container", cannot_mount(cause))
    volume = node.claim(NFS, mountOptions=options)
    with pytest.raises(UnmountedVolumesError, match=told):
        await node.mount(volume)
    assert not node.engine.volumes.records
    assert await node.running() == []
    assert (await node.mount(volume)).docker_volume == "podling_uid-1_v", "all failures were used up"


async def test_the_annotation_for_mount_options_wins(node: Node) -> None:
    claim = node.claim(NFS, mountOptions=["soft"])
    node.objects.volumes["disk"]["metadata"]["annotations"] = {"volume.beta.kubernetes.io/mount-options": "hard,intr"}
    await node.mount(claim)
    assert node.volume("podling_uid-1_v").options["o"] == "addr=files.example,hard,intr,vers=4.2"


async def test_an_inline_volume_goes_with_its_pod_also_when_another_agent_sees_its_end(node: Node) -> None:
    for volume in (NFS, csi(volumeAttributes={"type": "tmpfs", "device": "tmpfs"}), csi()):
        mounted = await node.mount(volume)
        assert await node.mount(volume) == mounted, "mounting again changes nothing"
        node.start()
        await node.volumes.unmount_all("uid-1")
        await node.volumes.unmount_all("uid-1")
        assert not node.engine.volumes.records
        assert not await node.engine.list_containers({})


async def test_a_claimed_docker_volume_outlives_its_pods_if_it_holds_data(node: Node) -> None:
    source = csi(volumeHandle="backups", volumeAttributes={"o": "size=1g"})
    assert (await node.mount(node.claim(source))).docker_volume == "backups"
    await node.volumes.unmount_all("uid-1")
    assert list(node.engine.volumes.records) == ["backups"]
    await remove_volumes(node.engine, "other", disposable_only=False)
    await remove_volumes(node.engine, "c", disposable_only=True)
    assert list(node.engine.volumes.records) == ["backups"]
    await remove_volumes(node.engine, "c", disposable_only=False)
    assert not node.engine.volumes.records


async def test_a_docker_volume_that_only_mounts_something_goes_with_its_last_pod(node: Node) -> None:
    claim = node.claim(csi(volumeHandle="share", volumeAttributes=CIFS))
    for uid in ("uid-1", "uid-2"):
        await node.mount(claim, uid=uid)
    await node.volumes.unmount_all("uid-1")
    assert list(node.engine.volumes.records) == ["share"]
    await node.volumes.unmount_all("uid-2")
    assert not node.engine.volumes.records


async def test_a_volume_that_exists_is_taken_as_it_is_and_never_removed(node: Node) -> None:
    theirs = VolumeRecord(name="theirs", driver="rclone", mountpoint="/elsewhere", options={"remote": "x"})
    node.engine.volumes.records["theirs"] = theirs
    mounted = await node.mount(node.claim(csi(volumeHandle="theirs", readOnly=True)))
    assert (mounted.docker_volume, mounted.read_only, mounted.host_path) == ("theirs", True, Path("/elsewhere"))
    await node.volumes.unmount_all("uid-1")
    await remove_volumes(node.engine, "c", disposable_only=False)
    assert node.engine.volumes.records == {"theirs": theirs}


async def test_credentials_are_mount_options_and_stand_in_no_label(node: Node) -> None:
    node.objects.set_secret("login", {"username": b"me", "password": b"hunter2"})
    reference = {"name": "login", "namespace": "vault"}
    claim = node.claim(csi(volumeHandle="share", volumeAttributes=CIFS, nodePublishSecretRef=reference))
    await node.mount(claim)
    assert node.volume("share").options["o"] == "vers=3.0,username=me,password=hunter2"
    labels = [record.labels for record in await node.engine.list_containers({})] + [node.volume("share").labels]
    assert "hunter2" not in str(labels)
    node.objects.set_secret("login", {"token": b"t"})
    attributes = {"driver": "rclone", "remote": "r"}
    inline = csi(volumeAttributes=attributes, nodePublishSecretRef={"name": "login"})
    await node.mount(inline, uid="uid-2")
    made = node.volume("podling_uid-2_v")
    assert (made.driver, made.options) == ("rclone", {"remote": "r", "token": "t"})


@pytest.mark.parametrize(
    ("source", "spec", "message"),
    [
        pytest.param(
            {"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "x"}},
            {},
            "driver name ebs.csi.aws.com not found in the list of registered CSI drivers",
            id="another driver",
        ),
        pytest.param(csi(volumeHandle="x", fsType="ext4"), {}, "fsType is not supported", id="fsType"),
        pytest.param(
            csi(volumeHandle="x", nodeStageSecretRef={"name": "s"}), {}, "nodeStageSecretRef is not", id="stage secret"
        ),
        pytest.param(
            csi(volumeHandle="x", nodePublishSecretRef={"name": "s"}), {}, 'secret "s" not found', id="no secret"
        ),
        pytest.param(csi(volumeHandle="a/b"), {}, 'a/b" cannot be the name of a Docker', id="name"),
        pytest.param(csi(volumeHandle="x"), {"mountOptions": ["ro"]}, "mount options need a Docker", id="options"),
        pytest.param({"hostPath": {"path": "/"}}, {"mountOptions": ["ro"]}, "Mount options are not", id="host path"),
    ],
)
async def test_what_no_docker_volume_can_be_is_refused(
    node: Node, source: dict[str, Any], spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(VolumeError, match=message):
        await node.mount(node.claim(source, **spec))
    assert not node.engine.volumes.records


async def test_a_docker_volume_is_no_device(node: Node) -> None:
    pod = pod_of(node.claim(csi(volumeHandle="x"), volumeMode="Block"))
    pod["spec"]["containers"] = [{"name": "main", "volumeDevices": [{"name": "v", "devicePath": "/dev/v"}]}]
    with pytest.raises(VolumeError, match=r'MapVolume.SetUpDevice failed for volume "disk" : .* Block is not support'):
        await node.volumes.mount_all(pod)


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        pytest.param({"password": b"a,ro"}, "no credentials with a comma", id="a comma"),
        pytest.param({"token": b"a"}, "username, password, domain of a secret, not token", id="another key"),
    ],
)
async def test_credentials_that_cannot_be_passed_are_refused_unseen(
    node: Node, secret: dict[str, bytes], message: str
) -> None:
    node.objects.set_secret("login", secret)
    with pytest.raises(VolumeError, match=message) as refused:
        await node.mount(csi(volumeAttributes=CIFS, nodePublishSecretRef={"name": "login"}))
    assert "a,ro" not in str(refused.value)


async def test_options_of_an_existing_volume_must_be_those_wanted(node: Node) -> None:
    await node.mount(node.claim(csi(volumeHandle="share", volumeAttributes=CIFS)))
    claim = node.claim(csi(volumeHandle="share", volumeAttributes={**CIFS, "o": "vers=2.0"}))
    with pytest.raises(VolumeError, match='"share" exists with another driver or other options'):
        await node.mount(claim, uid="uid-2")
    assert len(await node.running()) == 1, "the Pod that has it keeps it"


async def test_a_mount_that_fails_says_why_leaves_nothing_and_is_tried_with_what_is_told_then(node: Node) -> None:
    node.objects.set_secret("login", {"password": b"old"})
    claim = node.claim(csi(volumeHandle="share", volumeAttributes=CIFS, nodePublishSecretRef={"name": "login"}))
    node.engine.volumes.mount_errors["share"] = "permission denied"
    with pytest.raises(UnmountedVolumesError) as refused:
        await node.mount(claim)
    [failure] = refused.value.failures
    assert isinstance(failure, EngineVolumeError)
    assert re.match(r'MountVolume.SetUp failed for volume "disk" : .*permission denied', str(failure))
    assert not await node.engine.list_containers({})
    assert not node.engine.volumes.records
    node.engine.volumes.mount_errors.clear()
    node.objects.set_secret("login", {"password": b"new"})
    await node.mount(claim)
    assert node.volume("share").options["o"] == "vers=3.0,password=new"


@pytest.mark.parametrize(
    ("verb", "after"),
    [
        ("create_container", False),
        ("create_container", True),
        ("start_container", False),
        ("start_container", True),
        ("find_volume", False),
    ],
)
async def test_a_call_that_failed_may_have_happened(node: Node, verb: str, after: bool) -> None:
    for error in (RuntimeFailure("refused"), EngineUnavailableError("gone")):
        node.engine.inject_error(verb, error, after=after)
        with pytest.raises(UnmountedVolumesError, match=str(error)):
            await node.mount(NFS)
        await node.mount(NFS)
        assert await node.running() == ["k8s_VOLUME.v_web_shop_uid-1_0"]
        await node.volumes.unmount_all("uid-1")
        assert not node.engine.volumes.records


@pytest.mark.parametrize(
    ("verb", "after"),
    [
        ("list_containers", False),
        ("remove_container", False),
        ("remove_container", True),
        ("find_volume", False),
        ("remove_volume", False),
        ("remove_volume", True),
    ],
)
async def test_what_a_failed_release_left_is_garbage(node: Node, verb: str, after: bool) -> None:
    await node.mount(NFS)
    node.engine.inject_error(verb, EngineUnavailableError("gone"), after=after)
    with pytest.raises(EngineVolumeError, match="gone"):
        await node.volumes.unmount_all("uid-1")
    node.start()
    await node.volumes.collect_garbage(frozenset())
    assert not node.engine.volumes.records
    assert not await node.engine.list_containers({})
    assert not (node.directory / "pods" / "uid-1").exists()


async def test_garbage_is_what_no_pod_of_the_node_wants(node: Node) -> None:
    await node.mount(NFS)
    await node.mount(NFS, uid="uid-2")
    await node.volumes.collect_garbage(frozenset({"uid-2"}))
    assert await node.running() == ["k8s_VOLUME.v_web_shop_uid-2_0"]
    assert list(node.engine.volumes.records) == ["podling_uid-2_v"]


async def test_a_holder_that_died_is_replaced(node: Node) -> None:
    await node.mount(NFS)
    (record,) = await node.engine.list_containers({})
    node.engine.exit_container(record.id, exit_code=137)
    await node.mount(NFS)
    assert await node.running() == ["k8s_VOLUME.v_web_shop_uid-1_0"]


def container_mounts(node: Node, volume: MountedVolume, **mount: Any) -> list[Mount]:
    container = {"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/data", **mount}]}
    return node.volumes.container_mounts(make_pod(), container, {"v": volume}, {})


async def test_containers_mount_the_volume_by_its_name(node: Node) -> None:
    volume = await node.mount(NFS)
    assert container_mounts(node, volume, readOnly=True) == [
        Mount(
            host_path="/var/lib/docker/volumes/podling_uid-1_v/_data",
            container_path="/data",
            docker_volume="podling_uid-1_v",
            read_only=True,
        )
    ]
    with pytest.raises(VolumeError, match="is a Docker volume: it has no mount propagation"):
        container_mounts(node, volume, mountPropagation="HostToContainer")


async def test_a_sub_path_needs_the_files_at_hand(node: Node, tmp_path: Path) -> None:
    volume = await node.mount(NFS)
    with pytest.raises(VolumeError, match='"podling_uid-1_v" is not mounted at /var/lib/docker/volumes/'):
        container_mounts(node, volume, subPath="a")
    here = MountedVolume(name="v", host_path=tmp_path, docker_volume="x")
    node.start(may_mount=False)
    with pytest.raises(VolumeError, match="files are out of the agent's reach"):
        container_mounts(node, here, subPath="a")
