"""Files of volumes that the agent itself reads: no link leads it out of the volume."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.volumes.file_reading import FILE_BYTES_MAX, read_volume_file
from agent.volumes.protocol import VolumeError


def test_a_file_is_read_and_a_missing_one_is_none(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.env").write_text("A='1'\n")
    assert read_volume_file(tmp_path, "sub/a.env") == "A='1'\n"
    assert read_volume_file(tmp_path, "sub/b.env") is None
    assert read_volume_file(tmp_path, "other/a.env") is None


@pytest.mark.parametrize("path", ["link", "way/secret", "/etc/passwd", "../secret", "sub", "pipe", "big"])
def test_nothing_but_a_regular_file_of_the_volume_is_read(tmp_path: Path, path: str) -> None:
    volume = tmp_path / "volume"
    (volume / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (volume / "link").symlink_to(tmp_path / "secret")
    (volume / "way").symlink_to(tmp_path)
    os.mkfifo(volume / "pipe")
    (volume / "big").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    with pytest.raises(VolumeError):
        read_volume_file(volume, path)
