from __future__ import annotations

from pathlib import Path

from agent.usage.written_volumes import read_written_volumes
from agent.volumes.pod_directory import PodDirectory

POD = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
    "spec": {
        "volumes": [
            {"name": "password", "secret": {"secretName": "s"}},
            {"name": "token", "projected": {"sources": []}},
            {"name": "names", "downwardAPI": {"items": []}},
            {"name": "quick", "emptyDir": {"medium": "Memory"}},
            {"name": "cache", "emptyDir": {}},
            {"name": "settings", "configMap": {"name": "c"}},
            {"name": "host", "hostPath": {"path": "/"}},
        ]
    },
}


def test_what_is_written_or_in_memory_is_counted_and_ephemeral_storage_is_not(tmp_path: Path) -> None:
    assert read_written_volumes(tmp_path, POD) == ()
    directory = PodDirectory(tmp_path / "u")
    for type_name, name in (
        ("secret", "password"), ("projected", "token"), ("downwardAPI", "names"), ("emptyDir", "quick"),
        ("emptyDir", "cache"), ("configMap", "settings"),
    ):  # fmt: skip
        directory.volume(type_name, name).mkdir(parents=True)
    (directory.volume("secret", "password") / "key").write_text("x")
    found = {volume.name: volume for volume in read_written_volumes(tmp_path, POD)}
    assert list(found) == ["password", "token", "names", "quick"]
    assert (found["password"].files.inodes, found["token"].files.inodes) == (2, 1)
    assert found["token"].disk.capacity_bytes > 0
