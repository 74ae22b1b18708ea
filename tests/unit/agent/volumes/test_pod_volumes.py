"""Volumes of a Pod on the node's disk, without mounting: what files are there, with which rights, and when."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.volumes.pod_volumes import PodVolumes
from agent.volumes.projected import common_user
from agent.volumes.protocol import UnmountedVolumesError, VolumeError
from control.api.clock import FakeClock
from tests.fakes.objects import FakeObjects, make_pod


class Node:
    """A node's volumes over a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = FakeObjects()
        self.clock = FakeClock()
        self.volumes = PodVolumes(
            root=root,
            objects=self.objects,
            clock=self.clock,
            node=lambda: {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "3500m", "memory": "8Gi"}}},
            may_mount=False,
        )

    async def mount(self, volume: dict[str, Any], **spec: Any) -> Path:
        """Mount the one volume of a Pod and return where it is."""
        mounted = await self.volumes.mount_all(make_pod({"name": "v", **volume}, **spec))
        return mounted["v"].host_path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "pods")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def texts(directory: Path) -> dict[str, str]:
    """Every visible file with its text, as a container sees it."""
    found = {}
    for parent, names, files in os.walk(directory, followlinks=True):
        names[:] = [name for name in names if not name.startswith("..")]
        for name in files:
            path = Path(parent) / name
            found[str(path.relative_to(directory))] = path.read_text()
    return found


async def test_empty_dir_is_open_to_everyone_and_keeps_its_files(node: Node) -> None:
    place = await node.mount({"emptyDir": {}})
    (place / "kept").write_text("here")

    assert await node.mount({"emptyDir": {}}) == place

    assert place == node.root / "uid-1/volumes/kubernetes.io~empty-dir/v"
    assert mode_of(place) == 0o777
    assert (place / "kept").read_text() == "here"


async def test_empty_dir_in_memory_is_refused_where_the_agent_may_not_mount(node: Node) -> None:
    with pytest.raises(VolumeError, match="emptyDir medium Memory not supported"):
        await node.mount({"emptyDir": {"medium": "Memory"}})


async def test_config_map_has_a_file_per_key_text_and_binary(node: Node) -> None:
    node.objects.set_config_map("c", {"a.conf": "one\n"}, {"b.bin": b"two"})

    place = await node.mount({"configMap": {"name": "c"}})

    assert texts(place) == {"a.conf": "one\n", "b.bin": "two"}
    assert mode_of(place / "a.conf") == 0o644
    assert os.readlink(place / "a.conf") == "..data/a.conf"


async def test_config_map_items_choose_paths_and_modes(node: Node) -> None:
    node.objects.set_config_map("c", {"a": "1", "b": "2"})
    items = [{"key": "a", "path": "deep/er/a", "mode": 0o400}, {"key": "b", "path": "deep/b"}]

    place = await node.mount({"configMap": {"name": "c", "items": items, "defaultMode": 0o600}})

    assert texts(place) == {"deep/b": "2", "deep/er/a": "1"}
    assert mode_of(place / "deep/er/a") == 0o400
    assert mode_of(place / "deep/b") == 0o600


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        pytest.param({"configMap": {"name": "gone"}}, 'configmap "gone" not found', id="configmap missing"),
        pytest.param({"secret": {"secretName": "gone"}}, 'secret "gone" not found', id="secret missing"),
        pytest.param(
            {"configMap": {"name": "c", "items": [{"key": "x", "path": "x"}]}},
            "references non-existent config key: x",
            id="key missing",
        ),
        pytest.param(
            {"configMap": {"name": "c", "items": [{"key": "a", "path": "../x"}]}}, "invalid path", id="path leads out"
        ),
        pytest.param(
            {"projected": {"sources": [{"clusterTrustBundle": {"path": "x"}}]}},
            "projected volume source not supported: clusterTrustBundle",
            id="projected source not supported",
        ),
    ],
)
async def test_a_volume_that_cannot_be_prepared_says_why(node: Node, volume: dict[str, Any], message: str) -> None:
    node.objects.set_config_map("c", {"a": "1"})

    with pytest.raises(VolumeError) as caught:
        await node.mount(volume)

    assert str(caught.value).startswith('MountVolume.SetUp failed for volume "v" : ')
    assert message in str(caught.value)


async def test_a_volume_of_a_type_that_is_not_there_says_so(node: Node) -> None:
    with pytest.raises(UnmountedVolumesError) as caught:
        await node.mount({"rbd": {"image": "s"}})
    assert list(map(str, caught.value.failures)) == [
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]"
        ': failed to get Plugin from volumeSpec for volume "v" err=no volume plugin matched'
    ]


async def test_every_volume_that_fails_is_told_and_the_others_are_mounted(node: Node) -> None:
    node.objects.set_config_map("c", {"a": "1"})
    pod = make_pod(
        {"name": "here", "configMap": {"name": "c"}},
        {"name": "one", "configMap": {"name": "gone"}},
        {"name": "two", "secret": {"secretName": "gone"}},
        {"name": "three", "persistentVolumeClaim": {"claimName": "gone"}},
    )

    with pytest.raises(UnmountedVolumesError) as caught:
        await node.volumes.mount_all(pod)

    assert list(map(str, caught.value.failures)) == [
        'MountVolume.SetUp failed for volume "one" : configmap "gone" not found',
        'MountVolume.SetUp failed for volume "two" : secret "gone" not found',
        "Unable to attach or mount volumes: unmounted volumes=[one three two], unattached volumes=[], "
        "failed to process volumes=[three]: error processing PVC shop/gone: "
        'failed to fetch PVC from API server: persistentvolumeclaims "gone" not found',
    ]
    assert texts(node.root / "uid-1/volumes/kubernetes.io~configmap/here") == {"a": "1"}


async def test_a_volume_that_no_container_uses_is_not_mounted(node: Node) -> None:
    pod = make_pod({"name": "v", "configMap": {"name": "gone"}}, containers=[{"name": "main"}])

    assert not await node.volumes.mount_all(pod)

    pod["spec"]["ephemeralContainers"] = [{"name": "debug", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]
    with pytest.raises(VolumeError, match='configmap "gone" not found'):
        await node.volumes.mount_all(pod)


async def test_optional_sources_may_be_missing(node: Node) -> None:
    node.objects.set_config_map("c", {"a": "1"})
    items = [{"key": "a", "path": "a"}, {"key": "b", "path": "b"}]

    assert texts(await node.mount({"configMap": {"name": "gone", "optional": True}})) == {}
    assert texts(await node.mount({"configMap": {"name": "c", "items": items, "optional": True}})) == {"a": "1"}


async def test_refresh_replaces_all_files_at_once_and_removes_old_ones(node: Node) -> None:
    node.objects.set_config_map("c", {"a": "1", "b": "1"})
    pod = make_pod({"name": "v", "configMap": {"name": "c"}})
    place = (await node.volumes.mount_all(pod))["v"].host_path
    first = os.readlink(place / "..data")
    node.objects.set_config_map("c", {"b": "2", "c": "2"})

    await node.volumes.refresh(pod, node.objects)

    assert texts(place) == {"b": "2", "c": "2"}
    assert os.readlink(place / "..data") != first
    assert not (place / first).exists()
    assert "a" not in os.listdir(place)


async def test_refresh_without_a_change_touches_nothing(node: Node) -> None:
    node.objects.set_config_map("c", {"a": "1"})
    pod = make_pod({"name": "v", "configMap": {"name": "c"}})
    place = (await node.volumes.mount_all(pod))["v"].host_path
    before = os.readlink(place / "..data")

    await node.volumes.refresh(pod, node.objects)

    assert os.readlink(place / "..data") == before


async def test_secret_is_decoded(node: Node) -> None:
    node.objects.set_secret("s", {"password": b"p\xff"})

    place = await node.mount({"secret": {"secretName": "s", "defaultMode": 0o400}})

    assert (place / "password").read_bytes() == b"p\xff"
    assert mode_of(place / "password") == 0o400


async def test_downward_api_tells_metadata_and_resources(node: Node) -> None:
    def resource(path: str, name: str, **more: str) -> dict[str, Any]:
        return {"path": path, "resourceFieldRef": {"containerName": "main", "resource": name, **more}}

    items = [
        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "one", "fieldRef": {"fieldPath": "metadata.labels['a']"}},
        resource("cpu", "requests.cpu", divisor="1m"),
        resource("whole", "requests.cpu"),
        resource("default", "limits.cpu", divisor="1m"),
        resource("memory", "limits.memory", divisor="1Mi"),
    ]
    containers = [
        {
            "name": "main",
            "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "100Mi"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        },
    ]

    place = await node.mount({"downwardAPI": {"items": items}}, containers=containers)

    assert texts(place) == {
        "name": "web",
        "labels": 'a="1"\nb="say \\"hi\\""',
        "one": "1",
        "cpu": "250",
        "whole": "1",
        "default": "3500",
        "memory": "100",
    }


async def test_projected_joins_its_sources(node: Node) -> None:
    node.objects.set_config_map("kube-root-ca.crt", {"ca.crt": "CA"})
    node.objects.set_secret("s", {"key": b"k"})
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        {"secret": {"name": "s"}},
    ]

    place = await node.mount({"projected": {"sources": sources}}, serviceAccountName="robot")

    assert texts(place) == {"token": "token-1", "ca.crt": "CA", "namespace": "shop", "key": "k"}
    assert node.objects.tokens_made == [("robot", (), 3607)]


async def test_a_token_is_renewed_after_four_fifths_of_its_life(node: Node) -> None:
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 1000, "audience": "vault"}}
    pod = make_pod({"name": "v", "projected": {"sources": [token]}})
    place = (await node.volumes.mount_all(pod))["v"].host_path
    await node.clock.advance(799)
    await node.volumes.refresh(pod, node.objects)
    assert (place / "token").read_text() == "token-1"

    await node.clock.advance(2)
    await node.volumes.refresh(pod, node.objects)

    assert (place / "token").read_text() == "token-2"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    """One of each kind of file."""
    directory = tmp_path / "host"
    (directory / "directory").mkdir(parents=True)
    (directory / "file").write_text("kept")
    (directory / "link").symlink_to("directory")
    (directory / "dangling").symlink_to("nowhere")
    (directory / "device").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "socket"))
        yield directory


@pytest.mark.parametrize(
    ("name", "type_name"),
    [
        ("file", "File"),
        ("file", "FileOrCreate"),
        ("directory", "Directory"),
        ("directory", "DirectoryOrCreate"),
        ("link", "Directory"),
        ("socket", "Socket"),
        ("device", "CharDevice"),
        *((name, "") for name in ("file", "directory", "socket", "device")),
    ],
)
async def test_a_host_path_of_its_type_is_taken_as_it_is(node: Node, host: Path, name: str, type_name: str) -> None:
    assert await node.mount({"hostPath": {"path": str(host / name), "type": type_name}}) == host / name
    assert (host / "file").read_text() == "kept"


@pytest.mark.parametrize("name", ["new", "deep/er/new"])
async def test_a_host_path_is_made_where_its_type_says_so(node: Node, host: Path, name: str) -> None:
    made = await node.mount({"hostPath": {"path": str(host / name), "type": "DirectoryOrCreate"}})
    assert (made.is_dir(), mode_of(made)) == (True, 0o755)
    made = await node.mount({"hostPath": {"path": str(host / f"{name}-untyped"), "type": ""}})
    assert made.is_dir()
    made = await node.mount({"hostPath": {"path": f"{host / name}/file", "type": "FileOrCreate"}})
    assert (made.is_file(), mode_of(made)) == (True, 0o644)


@pytest.mark.parametrize(
    ("name", "type_name", "message"),
    [
        ("missing", "Directory", "is not a directory"),
        ("file", "Directory", "is not a directory"),
        ("file", "DirectoryOrCreate", "is not a directory"),
        ("missing", "File", "is not a file"),
        ("directory", "File", "is not a file"),
        ("directory", "FileOrCreate", "is not a file"),
        ("socket", "File", "is not a file"),
        ("file", "Socket", "is not a socket file"),
        ("file", "CharDevice", "is not a character device"),
        ("device", "BlockDevice", "is not a block device"),
        ("dangling", "Directory", "is not a directory"),
        ("none/file", "FileOrCreate", "cannot create .*/none/file: No such file or directory"),
    ],
)
async def test_a_host_path_of_another_type_is_named(
    node: Node, host: Path, name: str, type_name: str, message: str
) -> None:
    with pytest.raises(VolumeError, match=f'volume "v" : hostPath type check failed: .*{message}'):
        await node.mount({"hostPath": {"path": str(host / name), "type": type_name}})
    assert not (host / "none").exists()


async def test_an_image_whose_layers_the_engine_does_not_tell_is_refused(node: Node) -> None:
    message = "image volumes not supported: the agent may not mount"
    with pytest.raises(VolumeError, match=message):
        await node.mount({"image": {"reference": "i"}})
    node.volumes = PodVolumes(root=node.root, objects=node.objects, clock=node.clock, may_mount=True)
    with pytest.raises(VolumeError, match="the engine does not keep images in layers of overlay2"):
        await node.mount({"image": {"reference": "i"}})


async def test_a_config_map_of_a_megabyte_is_mounted_whole(node: Node) -> None:
    node.objects.set_config_map("c", {"text": "é" * (1 << 19)}, {"bytes": b"\0" * 100})
    place = await node.mount({"configMap": {"name": "c"}})
    assert (place / "text").stat().st_size == 1 << 20
    assert (place / "bytes").stat().st_size == 100


async def test_unmounting_removes_the_pod_and_is_idempotent(node: Node) -> None:
    place = await node.mount({"emptyDir": {}})
    (place / "directory").mkdir()
    (place / "link").symlink_to("/etc")

    await node.volumes.unmount_all("uid-1")
    await node.volumes.unmount_all("uid-1")

    assert list(node.root.iterdir()) == []
    assert os.listdir("/etc") != []


async def test_garbage_is_what_no_pod_wants(node: Node) -> None:
    await node.mount({"emptyDir": {}})

    await node.volumes.collect_garbage(frozenset({"uid-1"}))
    assert (node.root / "uid-1").exists()
    await node.volumes.collect_garbage(frozenset())

    assert not (node.root / "uid-1").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to a group takes root")
async def test_fs_group_owns_what_the_agent_made(node: Node) -> None:
    node.objects.set_config_map("c", {"a": "1"})
    context = {"fsGroup": 4321}

    empty = await node.mount({"emptyDir": {}}, securityContext=context)
    config = await node.mount({"configMap": {"name": "c", "defaultMode": 0o400}}, securityContext=context)

    assert empty.stat().st_gid == 4321
    assert mode_of(empty) == 0o2777
    assert (config / "a").stat().st_gid == 4321
    assert mode_of(config / "a") == 0o440


@pytest.mark.parametrize(
    ("pod_user", "users", "debugger", "owner"),
    [
        pytest.param(None, [None], None, None, id="nobody says"),
        pytest.param(1, [None, None], None, 1, id="the Pod says"),
        pytest.param(None, [2, 2], None, 2, id="all containers say the same"),
        pytest.param(1, [2, None], None, None, id="containers differ"),
        pytest.param(None, [2], 3, 2, id="a debugger does not count"),
    ],
)
def test_a_token_is_owned_by_the_one_user_of_the_containers(
    pod_user: int | None, users: list[int | None], debugger: int | None, owner: int | None
) -> None:
    def containers(*ids: int | None) -> list[dict[str, Any]]:
        return [{"name": f"c{index}", "securityContext": {"runAsUser": user}} for index, user in enumerate(ids)]

    context = {"runAsUser": pod_user}
    pod = make_pod(containers=containers(*users), ephemeralContainers=containers(debugger), securityContext=context)
    assert common_user(pod) == owner
