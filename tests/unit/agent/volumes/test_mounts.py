"""Which mounts a container gets, and that no subPath leads out of its volume."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.volumes.mounting import can_mount, mount_tmpfs, mounts_below, unmount
from agent.volumes.mounts import compute_mounts
from agent.volumes.pod_volumes import PodVolumes
from agent.volumes.protocol import ImageSubPathError, Mount, MountedVolume, VolumeError
from control.api.clock import FakeClock
from control.api.objects import Object
from tests.fakes.objects import FakeObjects, make_pod


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir(mode=0o755)
    return tmp_path / "volume"


def container_mounts(
    tmp_path: Path, mount: Object, *, read_only: bool = False, may_mount: bool = False, **environment: str
) -> list[Mount]:
    volumes = PodVolumes(root=tmp_path / "pods", objects=FakeObjects(), clock=FakeClock(), may_mount=may_mount)
    container = {"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/data", **mount}]}
    mounted = {"v": MountedVolume(name="v", host_path=tmp_path / "volume", read_only=read_only)}
    return volumes.container_mounts(make_pod(), container, mounted, environment)


@pytest.mark.parametrize(
    ("mount", "read_only", "expected"),
    [
        pytest.param({}, False, (False, ""), id="plain"),
        pytest.param({"readOnly": True}, False, (True, ""), id="the mount is read-only"),
        pytest.param({}, True, (True, ""), id="the volume is read-only"),
        pytest.param({"mountPropagation": "HostToContainer"}, False, (False, "rslave"), id="from the host"),
        pytest.param({"mountPropagation": "Bidirectional"}, False, (False, "rshared"), id="both ways"),
    ],
)
def test_mounts_follow_their_spec(
    tmp_path: Path, volume: Path, mount: Object, read_only: bool, expected: tuple[bool, str]
) -> None:
    [made] = container_mounts(tmp_path, mount, read_only=read_only)

    assert made == Mount(host_path=str(volume), container_path="/data", read_only=expected[0], propagation=expected[1])


def test_an_unknown_volume_is_named(tmp_path: Path, volume: Path) -> None:
    with pytest.raises(VolumeError, match='cannot find volume "other" to mount into container "main"'):
        container_mounts(tmp_path, {"name": "other"})


def test_a_missing_sub_path_is_made_with_the_mode_of_the_volume(tmp_path: Path, volume: Path) -> None:
    volume.chmod(0o750)

    [made] = container_mounts(tmp_path, {"subPath": "a/b"})

    assert made.host_path == str(volume / "a/b")
    assert (volume / "a/b").stat().st_mode & 0o7777 == 0o750


def test_a_sub_path_expression_is_expanded(tmp_path: Path, volume: Path) -> None:
    [made] = container_mounts(tmp_path, {"subPathExpr": "$(POD)-$$x"}, POD="web")

    assert made.host_path == str(volume / "web-$x")


def test_a_sub_path_expression_needs_its_variables(tmp_path: Path, volume: Path) -> None:
    with pytest.raises(VolumeError, match='missing value for "POD"'):
        container_mounts(tmp_path, {"subPathExpr": "$(POD)"})


def test_a_link_inside_the_volume_may_be_followed(tmp_path: Path, volume: Path) -> None:
    (volume / "real").mkdir()
    (volume / "link").symlink_to("real")

    [made] = container_mounts(tmp_path, {"subPath": "link"})

    assert made.host_path == str(volume / "real")


@pytest.mark.parametrize("target", ["/etc", "../outside", "/", "nested/../../outside"])
def test_no_link_leads_out_of_the_volume(tmp_path: Path, volume: Path, target: str) -> None:
    (tmp_path / "outside").mkdir()
    (volume / "nested").mkdir()
    (volume / "link").symlink_to(target)

    for sub_path in ("link", "link/deeper"):
        with pytest.raises(VolumeError, match="leads out of the volume"):
            container_mounts(tmp_path, {"subPath": sub_path})
    assert not (tmp_path / "outside/deeper").exists()


@pytest.mark.parametrize("sub_path", ["../x", "a/../../x", "/etc"])
def test_a_sub_path_is_relative_and_never_climbs(tmp_path: Path, volume: Path, sub_path: str) -> None:
    with pytest.raises(VolumeError, match="must be relative"):
        container_mounts(tmp_path, {"subPath": sub_path})


@pytest.mark.parametrize(
    ("is_image", "error_type", "why"),
    [
        pytest.param(True, ImageSubPathError, '"a" does not exist in the image', id="of an image"),
        pytest.param(False, VolumeError, "Read-only file system", id="of another volume"),
    ],
)
def test_a_sub_path_that_cannot_be_made_is_told(
    volume: Path, is_image: bool, error_type: type[VolumeError], why: str
) -> None:
    def refuse(*_: object) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "a")

    container = {"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/data", "subPath": "a"}]}
    mounted = {"v": MountedVolume(name="v", host_path=volume, is_image=is_image)}
    with pytest.raises(VolumeError) as refused:
        compute_mounts(container, mounted, {}, refuse)
    assert type(refused.value) is error_type
    assert str(refused.value) == f'failed to prepare subPath for volumeMount "v" of container "main": {why}'


def test_a_directory_that_becomes_a_link_while_it_is_resolved_leads_nowhere(
    tmp_path: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (volume / "a/b").mkdir(parents=True)
    resolve = os.path.realpath

    def resolve_too_early(path: Any) -> str:
        found = resolve(path)
        if str(path).endswith("a/b"):
            (volume / "a").rename(volume / "moved")
            (volume / "a").symlink_to("/etc")
        return found

    monkeypatch.setattr(os.path, "realpath", resolve_too_early)
    with pytest.raises(VolumeError, match='subPath changed while it was opened: "a" is a symbolic link now'):
        container_mounts(tmp_path, {"subPath": "a/b"})


def mount_lines(directory: Path) -> list[str]:
    """What the kernel says about everything that is mounted below a directory."""
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(directory) in line]


@pytest.mark.skipif(not can_mount(), reason="without the right to mount there is nothing to tell apart")
def test_an_engine_behind_tcp_sees_nothing_of_what_is_mounted_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    assert not can_mount()


@pytest.mark.skipif(not can_mount(), reason="binding takes root in the host's mount namespace")
class TestMounting:
    """With the right to mount."""

    @pytest.fixture(autouse=True)
    def _unmount(self, tmp_path: Path) -> Iterator[None]:
        yield
        for point in mounts_below(tmp_path):
            unmount(point)

    def test_a_sub_path_is_held_even_if_its_name_is_exchanged_later(self, tmp_path: Path, volume: Path) -> None:
        (volume / "a").mkdir()
        (volume / "a/file").write_text("right")
        [made] = container_mounts(tmp_path, {"subPath": "a"}, may_mount=True)

        (volume / "a").rename(volume / "moved")
        (volume / "a").symlink_to("/etc")

        assert Path(made.host_path) != volume / "a"
        assert (Path(made.host_path) / "file").read_text() == "right"

    def test_every_start_binds_anew(self, tmp_path: Path, volume: Path) -> None:
        (volume / "file").write_text("old")
        container_mounts(tmp_path, {"subPath": "file"}, may_mount=True)
        (volume / "new").write_text("new")
        (volume / "new").rename(volume / "file")

        [made] = container_mounts(tmp_path, {"subPath": "file"}, may_mount=True)

        assert Path(made.host_path).read_text() == "new"
        assert len(mounts_below(tmp_path / "pods")) == 1

    async def test_removing_a_pod_unmounts_and_spares_what_was_mounted(self, tmp_path: Path, volume: Path) -> None:
        (volume / "a").mkdir()
        (volume / "a/file").write_text("precious")
        container_mounts(tmp_path, {"subPath": "a"}, may_mount=True)
        volumes = PodVolumes(root=tmp_path / "pods", objects=FakeObjects(), clock=FakeClock(), may_mount=True)

        await volumes.unmount_all("uid-1")

        assert (volume / "a/file").read_text() == "precious"
        assert mounts_below(tmp_path / "pods") == []
        assert not (tmp_path / "pods/uid-1").exists()

    def test_each_mount_of_each_container_has_its_own_part(self, tmp_path: Path, volume: Path) -> None:
        mounts = [{"name": "v", "mountPath": f"/{part}", "subPath": part} for part in ("a", "b")]
        volumes = PodVolumes(root=tmp_path / "pods", objects=FakeObjects(), clock=FakeClock(), may_mount=True)
        mounted = {"v": MountedVolume(name="v", host_path=volume)}
        places = {}
        for name in ("one", "two"):
            container = {"name": name, "volumeMounts": mounts}
            for mount in volumes.container_mounts(make_pod(), container, mounted, {}):
                places[name, mount.container_path] = Path(mount.host_path)
        (places["one", "/a"] / "file").write_text("a")
        assert len(set(places.values())) == 4
        assert (places["two", "/a"] / "file").read_text() == "a"
        assert list(places["two", "/b"].iterdir()) == []

    async def test_a_mount_that_is_in_use_goes_with_its_pod(self, tmp_path: Path) -> None:
        volumes = PodVolumes(root=tmp_path / "pods", objects=FakeObjects(), clock=FakeClock(), may_mount=True)
        mounted = await volumes.mount_all(make_pod({"name": "v", "emptyDir": {"medium": "Memory"}}))
        (mounted["v"].host_path / "file").write_text("in use")
        with (mounted["v"].host_path / "file").open() as file:
            await volumes.unmount_all("uid-1")
            assert file.read() == "in use"
        assert mount_lines(tmp_path) == []
        assert not (tmp_path / "pods/uid-1").exists()

    async def test_a_full_disk_fails_the_volume_and_leaves_what_was_there(self, tmp_path: Path) -> None:
        (tmp_path / "pods").mkdir()
        mount_tmpfs(tmp_path / "pods", size_bytes=64 << 10)
        objects = FakeObjects()
        objects.set_config_map("c", {"key": "small"})
        volumes = PodVolumes(root=tmp_path / "pods", objects=objects, clock=FakeClock(), may_mount=False)
        pod = make_pod({"name": "v", "configMap": {"name": "c"}})
        place = (await volumes.mount_all(pod))["v"].host_path
        objects.set_config_map("c", {"key": "x" * (128 << 10)})
        with pytest.raises(VolumeError, match=r'volume "v" : No space left on device'):
            await volumes.refresh(pod, objects)
        assert (place / "key").read_text() == "small"
        objects.set_config_map("c", {"key": "other"})
        await volumes.refresh(pod, objects)
        assert (place / "key").read_text() == "other"

    async def test_layers_of_an_image_are_mounted_over_one_another_read_only(self, tmp_path: Path) -> None:
        layers = []
        for number, name in enumerate(("top", "bottom")):
            directory = tmp_path / "engine" / f"{number}" / "diff"
            directory.mkdir(parents=True)
            (directory / name).write_text(name)
            (directory / "both").write_text(name)
            layers.append(str(directory))
        (tmp_path / "engine" / "l").mkdir()
        (tmp_path / "engine" / "l" / "SHORT").symlink_to("../0/diff")
        (tmp_path / "engine" / "0" / "link").write_text("SHORT")
        volumes = PodVolumes(root=tmp_path / "pods", objects=FakeObjects(), clock=FakeClock(), may_mount=True)
        pod = make_pod({"name": "v", "image": {"reference": "i"}}, {"name": "w", "image": {"reference": "j"}})

        for _ in range(2):
            mounted = await volumes.mount_all(pod, {"v": layers, "w": layers[:1]})

        place = mounted["v"].host_path
        assert {path.name: path.read_text() for path in place.iterdir()} == {
            "top": "top",
            "bottom": "bottom",
            "both": "top",
        }
        assert {path.name for path in mounted["w"].host_path.iterdir()} == {"top", "both"}
        assert mounted["v"].read_only
        with pytest.raises(OSError, match="Read-only"):
            (place / "new").touch()
        await volumes.unmount_all("uid-1")
        assert mounts_below(tmp_path / "pods") == []

    async def test_memory_volumes_are_tmpfs_with_their_limit(self, tmp_path: Path) -> None:
        objects = FakeObjects()
        objects.set_secret("s", {"a": b"1"})
        volumes = PodVolumes(root=tmp_path / "pods", objects=objects, clock=FakeClock(), may_mount=True)
        pod = make_pod(
            {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "s", "secret": {"secretName": "s"}},
        )

        mounted = await volumes.mount_all(pod)
        (mounted["m"].host_path / "kept").touch()
        again = await volumes.mount_all(pod)

        points: Any = mounts_below(tmp_path / "pods")
        assert sorted(points) == sorted(volume.host_path for volume in mounted.values())
        assert (again["m"].host_path / "kept").exists()
        with pytest.raises(OSError, match="No space left"):
            (mounted["m"].host_path / "big").write_bytes(b"x" * (2 << 20))
        await volumes.unmount_all("uid-1")
        assert mounts_below(tmp_path / "pods") == []

    async def test_volumes_of_huge_pages_have_the_size_of_page_that_the_pod_asks_for(self, tmp_path: Path) -> None:
        volumes = PodVolumes(root=tmp_path / "pods", objects=FakeObjects(), clock=FakeClock(), may_mount=True)
        requests = {"hugepages-2Mi": "4Mi"}
        pod = make_pod({"name": "h", "emptyDir": {"medium": "HugePages"}}, resources={"requests": requests})

        mounted = await volumes.mount_all(pod)

        (line,) = mount_lines(tmp_path)
        assert "hugetlbfs" in line
        assert "pagesize=2M" in line
        assert stat.S_IMODE(mounted["h"].host_path.stat().st_mode) == 0o755, "as the kernel makes it"
        await volumes.unmount_all("uid-1")
        assert mounts_below(tmp_path / "pods") == []

    async def test_a_size_of_huge_pages_that_the_kernel_lacks_is_an_error(self, tmp_path: Path) -> None:
        volumes = PodVolumes(root=tmp_path / "pods", objects=FakeObjects(), clock=FakeClock(), may_mount=True)
        requests = {"hugepages-3Mi": "3Mi"}
        pod = make_pod({"name": "h", "emptyDir": {"medium": "HugePages-3Mi"}}, resources={"requests": requests})

        with pytest.raises(VolumeError, match="cannot mount huge pages of 3Mi"):
            await volumes.mount_all(pod)

    def test_a_recursively_read_only_mount_takes_along_what_is_below_it(self, tmp_path: Path, volume: Path) -> None:
        (volume / "below").mkdir()
        mount_tmpfs(volume / "below")
        try:
            [made] = container_mounts(tmp_path, {"readOnly": True, "recursiveReadOnly": "Enabled"}, may_mount=True)

            copy = Path(made.host_path)
            assert (made.read_only, made.recursive_read_only) == (True, True)
            assert mounts_below(tmp_path / "pods") == [copy / "below", copy]
            for place in (copy, copy / "below"):
                with pytest.raises(OSError, match="Read-only"):
                    (place / "new").touch()
            (volume / "below/seen").touch()
            assert (copy / "below/seen").exists()
        finally:
            unmount(volume / "below")

    async def test_a_local_directory_is_mounted_with_its_options(self, tmp_path: Path, volume: Path) -> None:
        (volume / "program").write_text("#!/bin/sh\n")
        (volume / "program").chmod(0o755)
        objects = FakeObjects()
        objects.claims["claim"] = {
            "metadata": {"name": "claim", "uid": "u"},
            "spec": {"volumeName": "disk"},
            "status": {"phase": "Bound"},
        }
        objects.volumes["disk"] = {
            "metadata": {"name": "disk"},
            "spec": {
                "claimRef": {"uid": "u"},
                "local": {"path": str(volume)},
                "mountOptions": ["noexec", "ro"],
                "accessModes": ["ReadWriteMany"],
            },
        }
        volumes = PodVolumes(root=tmp_path / "pods", objects=objects, clock=FakeClock(), may_mount=True)
        pod = make_pod({"name": "v", "persistentVolumeClaim": {"claimName": "claim"}})

        for _ in range(2):
            mounted = await volumes.mount_all(pod)

        place = mounted["v"].host_path
        assert mounts_below(tmp_path / "pods") == [place]
        assert os.access(volume / "program", os.X_OK)
        assert not os.access(place / "program", os.X_OK)
        with pytest.raises(OSError, match="Read-only"):
            (place / "new").touch()
        await volumes.unmount_all("uid-1")
        assert mounts_below(tmp_path / "pods") == []
        assert (volume / "program").exists()

    async def test_copies_are_renewed_at_every_start_and_go_with_the_pod(self, tmp_path: Path, volume: Path) -> None:
        mount = {"readOnly": True, "recursiveReadOnly": "IfPossible", "subPath": "part"}
        container_mounts(tmp_path, mount, may_mount=True)
        (volume / "part/below").mkdir()
        mount_tmpfs(volume / "part/below")
        try:
            [made] = container_mounts(tmp_path, mount, may_mount=True)
            assert made.recursive_read_only
            assert len(mounts_below(tmp_path / "pods")) == 2
            volumes = PodVolumes(root=tmp_path / "pods", objects=FakeObjects(), clock=FakeClock(), may_mount=True)

            await volumes.collect_garbage(frozenset())

            assert mounts_below(tmp_path / "pods") == []
            assert mounts_below(volume) == [volume / "part/below"]
        finally:
            unmount(volume / "part/below")


def test_a_mount_that_cannot_be_recursively_read_only_is_refused_or_left(tmp_path: Path, volume: Path) -> None:
    message = (
        'failed to resolve recursive read-only mode: volume "v" requested recursive read-only mode, '
        "but it is not supported by the runtime"
    )
    with pytest.raises(VolumeError, match=message):
        container_mounts(tmp_path, {"readOnly": True, "recursiveReadOnly": "Enabled"})
    [made] = container_mounts(tmp_path, {"readOnly": True, "recursiveReadOnly": "IfPossible"})
    assert not made.recursive_read_only


def test_an_engine_makes_mounts_recursive_where_the_agent_cannot(tmp_path: Path, volume: Path) -> None:
    volumes = PodVolumes(
        root=tmp_path / "pods", objects=FakeObjects(), clock=FakeClock(), may_mount=False, engine_recurses=True
    )
    spec = {"name": "v", "mountPath": "/data", "readOnly": True, "recursiveReadOnly": "Enabled"}
    mounted = {"v": MountedVolume(name="v", host_path=volume)}

    [made] = volumes.container_mounts(make_pod(), {"name": "main", "volumeMounts": [spec]}, mounted, {})

    assert made == Mount(host_path=str(volume), container_path="/data", read_only=True, recursive_read_only=True)
