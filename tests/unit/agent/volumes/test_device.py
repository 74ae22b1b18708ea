"""A file system on a device: which programs of the node run, in which order, and what their failures become."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.volumes.device import find_format, format_and_mount
from agent.volumes.protocol import VolumeError

DEVICE = Path("/dev/loop77")
Result = tuple[int, str]


class Programs:
    """The programs of a node, by name: exit status and output. Those that are not named do not exist."""

    def __init__(self, **results: Result) -> None:
        self.results = {name.replace("mkfs_", "mkfs."): result for name, result in results.items()}
        self.ran: list[str] = []

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.ran.append(" ".join(command))
        if command[0] not in self.results:
            raise FileNotFoundError(command[0])
        status, output = self.results[command[0]]
        return subprocess.CompletedProcess(command, status, stdout=output, stderr="")


NOTHING, EXT4, XFS, PARTITIONS = (2, ""), (0, "DEVNAME=x\nTYPE=ext4\n"), (0, "TYPE=xfs\n"), (0, "PTTYPE=dos\n")
FINE = (0, "")


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(programs: Programs, **options: Any) -> list[str]:
        monkeypatch.setattr(subprocess, "run", programs.run)
        wanted = {"file_system": "ext4", "options": (), "read_only": False, **options}
        format_and_mount(DEVICE, tmp_path / "place", **wanted)
        return [line.replace(str(tmp_path), "") for line in programs.ran[1:]]

    return run


def test_an_empty_device_is_formatted_as_upstream_does(mount: Any) -> None:
    assert mount(Programs(blkid=NOTHING, mkfs_ext4=FINE, mount=FINE)) == [
        "mkfs.ext4 -F -m0 /dev/loop77",
        "mount -t ext4 -o defaults /dev/loop77 /place",
    ]
    assert mount(Programs(blkid=NOTHING, mkfs_btrfs=FINE, mount=FINE), file_system="btrfs", options=("noatime",)) == [
        "mkfs.btrfs /dev/loop77",
        "mount -t btrfs -o defaults,noatime /dev/loop77 /place",
    ]


def test_what_is_there_is_checked_and_never_formatted(mount: Any) -> None:
    mounted = "mount -t ext4 -o defaults /dev/loop77 /place"
    for status in (0, 1, 8):  # clean, corrected, not checked (it is mounted for another Pod)
        programs = Programs(blkid=EXT4, fsck=(status, ""), mount=FINE)
        assert mount(programs) == ["fsck -a /dev/loop77", mounted]
    assert mount(Programs(blkid=EXT4, mount=FINE))[1:] == [mounted], "a node without fsck"


@pytest.mark.parametrize(
    ("found", "size_bytes", "grown"),
    [
        pytest.param(EXT4, 2 << 60, ["resize2fs /dev/loop77"], id="smaller than its volume is said to be"),
        pytest.param(XFS, 2 << 60, ["xfs_growfs -d /place"], id="xfs"),
        pytest.param((0, "TYPE=vfat\n"), 2 << 60, [], id="one that does not grow"),
        pytest.param(EXT4, 1, [], id="large enough"),
    ],
)
def test_a_file_system_grows_to_its_device(mount: Any, found: Result, size_bytes: int, grown: list[str]) -> None:
    for programs in (
        Programs(blkid=found, mount=FINE, resize2fs=FINE, xfs_growfs=FINE),
        Programs(blkid=found, mount=FINE),
    ):
        assert mount(programs, size_bytes=size_bytes)[2:] == grown
    assert mount(Programs(blkid=found, mount=FINE), size_bytes=size_bytes, read_only=True)[1:] == []


def test_a_file_system_that_will_not_grow_is_told_of(mount: Any) -> None:
    with pytest.raises(VolumeError, match=r"resize of device /dev/loop77 failed: exit status 1\. resize2fs output: no"):
        mount(Programs(blkid=EXT4, mount=FINE, resize2fs=(1, "no")), size_bytes=2 << 60)


def test_a_read_only_volume_is_neither_checked_nor_made(mount: Any) -> None:
    programs = Programs(blkid=EXT4, mount=FINE)
    assert mount(programs, read_only=True) == ["mount -t ext4 -o defaults,ro /dev/loop77 /place"]
    with pytest.raises(VolumeError, match="cannot mount unformatted disk /dev/loop77 as we are manipulating it in"):
        mount(Programs(blkid=NOTHING), read_only=True)


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        pytest.param(Programs(), 'executable file "blkid" not found on the node', id="no blkid"),
        pytest.param(Programs(blkid=(4, "broken")), "cannot find out what /dev/loop77 holds: broken", id="blkid fails"),
        pytest.param(Programs(blkid=NOTHING), 'executable file "mkfs.ext4" not found', id="no mkfs"),
        pytest.param(
            Programs(blkid=NOTHING, mkfs_ext4=(1, "too small")),
            r'format of disk "/dev/loop77" failed: type:\("ext4"\) .*too small',
            id="mkfs fails",
        ),
        pytest.param(
            Programs(blkid=EXT4, fsck=(4, "bad block")), "'fsck' found errors .* not correct them: bad block", id="fsck"
        ),
        pytest.param(
            Programs(blkid=XFS, fsck=FINE, mount=(32, "wrong fs type")),
            'failed to mount the volume as "ext4", it already contains xfs. Mount error: wrong fs type',
            id="another file system",
        ),
        pytest.param(
            Programs(blkid=PARTITIONS, fsck=FINE, mount=(32, "wrong fs type")),
            "it already contains unknown data, probably partitions",
            id="partitions",
        ),
        pytest.param(
            Programs(blkid=EXT4, fsck=FINE, mount=(32, "no\n luck")), "exit status 32: no luck", id="mount fails"
        ),
    ],
)
def test_a_device_that_cannot_be_mounted_says_why(mount: Any, programs: Programs, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        mount(programs)
    assert not any(line.startswith("mkfs") for line in programs.ran) or programs.results["blkid"] == NOTHING


def test_a_program_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: Sequence[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(VolumeError, match="blkid did not end within 600 seconds"):
        find_format(DEVICE)
