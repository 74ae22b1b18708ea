"""Which platforms' programs a node runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.node.platforms import can_run


@pytest.fixture
def emulators(tmp_path: Path) -> Path:
    (tmp_path / "qemu-aarch64").write_text("enabled\ninterpreter /usr/bin/qemu-aarch64\n")
    (tmp_path / "qemu-s390x").write_text("disabled\n")
    (tmp_path / "rosetta").write_text("enabled\n")
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "node", "expected"),
    [
        ("", "amd64", True),
        ("linux/amd64", "amd64", True),
        ("linux/386", "amd64", True),
        ("linux/arm", "arm64", True),
        ("windows/amd64", "amd64", False),
        ("linux/arm64", "amd64", True),
        ("linux/s390x", "amd64", False),
        ("linux/ppc64le", "amd64", False),
        ("linux/amd64", "arm64", True),
        ("linux/amd64", "riscv64", True),
        ("windows/arm64", "amd64", False),
    ],
)
def test_can_run(platform: str, node: str, expected: bool, emulators: Path) -> None:
    assert can_run(platform, node, emulators) is expected


def test_nothing_is_emulated_where_the_kernel_has_no_emulators(tmp_path: Path) -> None:
    assert not can_run("linux/arm64", "amd64", tmp_path / "missing")
