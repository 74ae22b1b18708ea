"""Volumes behind claims: what a Pod is given, and why it is given nothing yet."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from agent.volumes import local
from agent.volumes.claimed_places import find_place
from agent.volumes.mounts import compute_devices
from agent.volumes.pod_directory import PodDirectory
from agent.volumes.pod_volumes import PodVolumes
from agent.volumes.protocol import MountedVolume, UnmountedVolumesError, VolumeError
from control.api.clock import FakeClock
from control.api.objects import Object
from tests.fakes.objects import FakeObjects, make_pod

#: of a Pod that uses its volume as a device
DEVICES: dict[str, Any] = {"containers": [{"name": "main", "volumeDevices": [{"name": "v", "devicePath": "/dev/v"}]}]}
UNPROCESSED = (
    "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]"
)


class Node:
    """One claim `data` bound to one volume `disk`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "persistent"
        self.objects = FakeObjects()
        self.labels: dict[str, str] = {}
        self.volumes = self.start_again()
        metadata = {"name": "data", "namespace": "shop", "uid": "u-data"}
        self.claim: Object = {"metadata": metadata, "spec": {"volumeName": "disk"}, "status": {"phase": "Bound"}}
        self.volume: Object = {
            "metadata": {"name": "disk"},
            "spec": {"claimRef": {"uid": "u-data"}, "local": {"path": str(self.root / "disk")}},
        }
        self.objects.claims["data"] = self.claim
        self.objects.volumes["disk"] = self.volume

    def start_again(self) -> PodVolumes:
        """What another agent on the same disk knows."""
        self.volumes = PodVolumes(
            root=self.directory / "pods",
            objects=self.objects,
            clock=FakeClock(),
            may_mount=False,
            local_root=self.root,
            node=lambda: {"metadata": {"name": "node-1", "labels": self.labels}},
        )
        return self.volumes

    async def mount(self, claim: Any = None, *, pod_uid: str = "uid-1", **spec: Any) -> MountedVolume:
        volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data", **(claim or {})}}
        pod = make_pod(volume, **spec)
        pod["metadata"]["uid"] = pod_uid
        return (await self.volumes.mount_all(pod))["v"]

    async def failures(self, **options: Any) -> list[str]:
        with pytest.raises(UnmountedVolumesError) as refused:
            await self.mount(**options)
        return list(map(str, refused.value.failures))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_a_local_volume_of_ours_is_made_open_to_everyone_and_keeps_its_files(node: Node) -> None:
    mounted = await node.mount()
    assert mounted.host_path == node.root / "disk"
    assert stat.S_IMODE(mounted.host_path.stat().st_mode) == 0o777
    (mounted.host_path / "kept").write_text("x")
    assert ((await node.mount()).host_path / "kept").read_text() == "x"
    await node.volumes.unmount_all("uid-1")
    assert (mounted.host_path / "kept").exists(), "it belongs to the claim, not to the Pod"


async def test_the_next_agent_knows_where_the_volume_is(node: Node) -> None:
    mounted = await node.mount()
    node.start_again()
    assert find_place(PodDirectory(node.directory / "pods" / "uid-1"), "v") == mounted.host_path
    await node.volumes.unmount_all("uid-1")
    assert find_place(PodDirectory(node.directory / "pods" / "uid-1"), "v") is None


async def test_another_path_must_exist(node: Node, tmp_path: Path) -> None:
    node.volume["spec"]["local"] = {"path": str(tmp_path / "elsewhere")}
    with pytest.raises(VolumeError, match="does not exist"):
        await node.mount()
    (tmp_path / "elsewhere").mkdir()
    assert (await node.mount()).host_path == tmp_path / "elsewhere"


async def test_a_claim_may_be_mounted_read_only_and_stand_for_a_host_path(node: Node, tmp_path: Path) -> None:
    del node.volume["spec"]["local"]
    node.volume["spec"]["hostPath"] = {"path": str(tmp_path)}
    mounted = await node.mount({"readOnly": True})
    assert (mounted.host_path, mounted.read_only) == (tmp_path, True)


@pytest.mark.parametrize("policy", ["Always", "OnRootMismatch"])
async def test_the_files_of_a_claim_are_given_to_the_pods_group(node: Node, policy: str) -> None:
    context = {"fsGroup": 4711, "fsGroupChangePolicy": policy}
    directory = (await node.mount(securityContext=context)).host_path
    assert directory.stat().st_gid == 4711
    (directory / "later").write_text("x")
    (directory / "later").chmod(0o600)
    await node.mount(securityContext=context)
    is_changed = bool((directory / "later").stat().st_mode & stat.S_IRGRP)
    assert is_changed == (policy == "Always")


async def test_the_group_is_given_what_a_link_leads_to(node: Node, tmp_path: Path) -> None:
    (tmp_path / "behind").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "behind")
    node.volume["spec"]["local"] = {"path": str(tmp_path / "link")}
    await node.mount(securityContext={"fsGroup": 4711})
    status = (tmp_path / "behind").stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (4711, 0o2770)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda node: node.objects.claims.clear(),
            'failed to fetch PVC from API server: persistentvolumeclaims "data" not found',
            id="no claim",
        ),
        pytest.param(lambda node: node.claim.update(status={"phase": "Pending"}), "PVC is not bound", id="not bound"),
        pytest.param(
            lambda node: node.claim["spec"].clear(), "PVC has empty pvc.Spec.VolumeName", id="bound to nothing"
        ),
        pytest.param(
            lambda node: node.claim["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"),
            "PVC is being deleted",
            id="going",
        ),
        pytest.param(
            lambda node: node.objects.volumes.clear(),
            'failed to fetch PV disk from API server: persistentvolumes "disk" not found',
            id="no such volume",
        ),
        pytest.param(
            lambda node: node.volume["spec"].pop("claimRef"),
            "found PV object disk but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim",
            id="the volume is nobody's",
        ),
        pytest.param(
            lambda node: node.volume["spec"].update(claimRef={"uid": "other"}),
            "found PV object disk but its pv.Spec.ClaimRef.UID other does not point to claim.UID u-data",
            id="the volume is another's",
        ),
    ],
)
async def test_a_claim_that_cannot_be_mounted_says_why(node: Node, change: Any, message: str) -> None:
    change(node)
    assert await node.failures() == [f"{UNPROCESSED}: error processing PVC shop/data: {message}"]


async def test_a_volume_of_a_type_that_is_not_there_says_so(node: Node) -> None:
    node.volume.update(spec={"claimRef": {"uid": "u-data"}, "rbd": {"image": "i"}})
    message = 'failed to get Plugin from volumeSpec for volume "disk" err=no volume plugin matched'
    assert await node.failures() == [f"{UNPROCESSED}: {message}"]


@pytest.mark.parametrize(
    ("mode", "use", "message"),
    [
        ("Block", "volumeMounts", "volume v has volumeMode Block, but is specified in volumeMounts"),
        ("Filesystem", "volumeDevices", "volume v has volumeMode Filesystem, but is specified in volumeDevices"),
    ],
)
async def test_a_volume_is_used_as_what_it_is(node: Node, mode: str, use: str, message: str) -> None:
    node.volume["spec"]["volumeMode"] = mode
    assert await node.failures(containers=[{"name": "main", use: [{"name": "v"}]}]) == [f"{UNPROCESSED}: {message}"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("Filesystem", (('MountVolume.NodeAffinity check failed for volume "disk" : ', "FailedMount"))),
        ("Block", (('MapVolume.NodeAffinity check failed for volume "disk" : ', "FailedMount"))),
    ],
)
async def test_a_volume_of_another_node_is_not_mounted(node: Node, mode: str, expected: tuple[str, str]) -> None:
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}]
    node.volume["spec"] |= {"volumeMode": mode, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}
    use = DEVICES if mode == "Block" else {}
    with pytest.raises(UnmountedVolumesError) as refused:
        await node.mount(**use)
    [failure] = refused.value.failures
    assert (str(failure), failure.reasons[0]) == (f"{expected[0]}no matching NodeSelectorTerms", expected[1])
    node.labels["zone"] = "b"
    if mode == "Filesystem":
        await node.mount(**use)


async def test_an_ephemeral_volumes_claim_must_be_the_pods_own(node: Node) -> None:
    node.objects.claims["web-v"] = node.claim
    volume = {"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}
    with pytest.raises(VolumeError, match=r"PVC shop/web-v was not created for pod shop/web \(pod is not owner\)"):
        await node.volumes.mount_all(make_pod(volume))
    node.claim["metadata"]["ownerReferences"] = [{"uid": "uid-1", "controller": True}]
    assert (await node.volumes.mount_all(make_pod(volume)))["v"].host_path == node.root / "disk"


IN_USE = (
    'MountVolume.SetUp failed for volume "disk" : '
    "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
)


async def test_a_volume_for_one_pod_is_given_to_one_until_that_has_gone(node: Node) -> None:
    node.volume["spec"]["accessModes"] = ["ReadWriteOncePod"]
    await node.mount()
    await node.mount()
    node.start_again()
    with pytest.raises(VolumeError) as refused:
        await node.mount(pod_uid="uid-2")
    assert str(refused.value) == IN_USE
    await node.volumes.unmount_all("uid-1")
    await node.mount(pod_uid="uid-2")


async def test_of_two_pods_that_want_a_volume_for_one_at_once_one_gets_it(node: Node) -> None:
    node.volume["spec"]["accessModes"] = ["ReadWriteOncePod"]
    outcomes = await asyncio.gather(
        *(node.mount(pod_uid=f"uid-{number}") for number in range(8)), return_exceptions=True
    )
    assert sum(isinstance(outcome, MountedVolume) for outcome in outcomes) == 1


@pytest.mark.parametrize("modes", [["ReadWriteOnce"], ["ReadWriteOncePod", "ReadWriteOnce"], ["ReadWriteMany"], []])
async def test_a_volume_that_may_be_for_more_is_given_to_all(node: Node, modes: list[str]) -> None:
    node.volume["spec"]["accessModes"] = modes
    for pod_uid in ("uid-1", "uid-2"):
        await node.mount(pod_uid=pod_uid)


async def test_a_block_claim_needs_a_device(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "device"
    node.volume["spec"] |= {"volumeMode": "Block", "local": {"path": str(path)}}
    prefix, suffix = "MapVolume.", f'failed for volume "disk" : lstat {path}: no such file or directory'
    assert await node.failures(**DEVICES) == [f"{prefix}EvalHostSymlinks {suffix}"]
    path.touch()
    with pytest.raises(UnmountedVolumesError, match=r"MapVolume.MapBlockVolume failed .* is not a block device") as no:
        await node.mount(**DEVICES)
    assert no.value.failures[0].reasons == ("FailedMapVolume",)


async def test_a_block_volume_for_one_pod_is_refused_to_another_in_the_words_of_its_mode(node: Node) -> None:
    node.volume["spec"] |= {"volumeMode": "Block", "accessModes": ["ReadWriteOncePod"]}
    with pytest.raises(VolumeError, match=r"MapVolume.MapBlockVolume failed"):
        await node.mount(**DEVICES)
    assert await node.failures(pod_uid="uid-2", **DEVICES) == [
        IN_USE.replace("MountVolume.SetUp", "MapVolume.SetUpDevice")
    ]


async def test_pods_that_share_a_volume_keep_the_group_of_the_first(node: Node) -> None:
    directory = (await node.mount(securityContext={"fsGroup": 4711})).host_path
    same = await node.mount(pod_uid="uid-2", securityContext={"fsGroup": 4711})
    assert same.warning is None
    other = await node.mount(pod_uid="uid-3", securityContext={"fsGroup": 4712})
    assert other.warning == (
        "AlreadyMountedVolume",
        "The requested fsGroup is 4712, but the volume disk has GID 4711. The volume may not be shareable.",
    )
    assert directory.stat().st_gid == 4711
    for pod_uid in ("uid-1", "uid-2", "uid-3"):
        await node.volumes.unmount_all(pod_uid)
    await node.mount(pod_uid="uid-3", securityContext={"fsGroup": 4712})
    assert directory.stat().st_gid == 4712, "nobody else has it any more"


async def test_the_group_of_a_volume_is_not_changed_for_who_only_reads_it(node: Node) -> None:
    directory = (await node.mount()).host_path
    before = directory.stat().st_gid
    await node.mount({"readOnly": True}, securityContext={"fsGroup": 4711})
    assert directory.stat().st_gid == before


@pytest.mark.parametrize(("text", "group"), [("4711", 4711), ("staff", None), ("", None)])
async def test_a_volume_may_name_a_group_for_its_pods(node: Node, text: str, group: int | None) -> None:
    node.volume["metadata"]["annotations"] = {"pv.beta.kubernetes.io/gid": text}
    assert (await node.mount()).group == group


def test_devices_are_mapped_not_mounted() -> None:
    container = {"name": "main", "volumeDevices": [{"name": "v", "devicePath": "/dev/xvda"}]}
    volume = MountedVolume(name="v", host_path=Path("/dev/loop7"), is_block=True, read_only=True)
    (device,) = compute_devices(container, {"v": volume})
    assert (device.host_path, device.container_path, device.read_only) == ("/dev/loop7", "/dev/xvda", True)
    with pytest.raises(VolumeError, match="cannot find block volume"):
        compute_devices(container, {"v": MountedVolume(name="v", host_path=Path("/x"))})


def test_removal_takes_the_data_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "pvc-1").mkdir()
    (tmp_path / "pvc-1" / "file").write_text("x")
    local.remove(tmp_path, "pvc-1")
    local.remove(tmp_path, "pvc-1")
    assert not (tmp_path / "pvc-1").exists()
    for name in ("..", "../pods", "", ".", "a/b"):
        with pytest.raises(VolumeError, match="invalid volume name"):
            local.remove(tmp_path, name)


async def test_mount_options_that_a_type_does_not_have_are_upstreams_event(node: Node) -> None:
    node.volume["spec"] = {
        "claimRef": {"uid": "u-data"},
        "hostPath": {"path": "/"},
        "mountOptions": ["ro"],
    }
    with pytest.raises(UnmountedVolumesError) as refused:
        await node.mount()
    assert refused.value.failures[0].reasons == ("UnsupportedMountOption", "FailedMount")
    assert str(refused.value) == (
        'MountVolume.MountOptionSupport check failed for volume "disk" : '
        "Mount options are not supported for this volume type"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["discard"], 'MountVolume.SetUp failed for volume "disk" : mount option "discard" is not one of a directory'),
        (["ro"], "the agent may not mount directories here"),
    ],
)
async def test_mount_options_of_a_directory_that_cannot_be_had(node: Node, options: list[str], message: str) -> None:
    node.volume["spec"]["mountOptions"] = options
    with pytest.raises(VolumeError, match=message):
        await node.mount()
