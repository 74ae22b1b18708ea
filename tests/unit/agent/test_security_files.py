"""Seccomp profiles below their root, and the accounts in an image's layers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.pods.container_configuration import ConfinementError
from agent.runtime.accounts import Accounts
from agent.security_files import HostSecurityFiles


@pytest.fixture
def files(tmp_path: Path) -> HostSecurityFiles:
    return HostSecurityFiles(tmp_path)


def test_a_profile_is_read_without_its_blanks(files: HostSecurityFiles, tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/audit.json").write_text('{\n "defaultAction": "SCMP_ACT_LOG"\n}\n')

    assert files.read_seccomp_profile("profiles/audit.json") == '{"defaultAction":"SCMP_ACT_LOG"}'


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.json", 'cannot load seccomp profile "{root}/missing.json": open {root}/missing.json: no such file'),
        ("broken.json", 'cannot load seccomp profile "{root}/broken.json": Expecting'),
        ("../secret.json", 'must be relative and not contain "..", but got "../secret.json"'),
        ("/etc/secret.json", 'must be relative and not contain ".."'),
        ("", 'cannot load seccomp profile "{root}": open {root}: is a directory'),
    ],
)
def test_a_profile_that_cannot_be_had_says_why(
    files: HostSecurityFiles, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "broken.json").write_text("{")

    with pytest.raises(ConfinementError) as failure:
        files.read_seccomp_profile(name)

    assert message.format(root=tmp_path) in str(failure.value)


def make_layer(root: Path, name: str, **texts: str) -> str:
    """A layer whose /etc has these files."""
    (root / name / "etc").mkdir(parents=True)
    for file, text in texts.items():
        (root / name / "etc" / file).write_text(text)
    return str(root / name)


def test_accounts_are_those_of_the_topmost_layer_that_has_them(files: HostSecurityFiles, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    layers = [
        str(tmp_path / "empty"),
        make_layer(tmp_path, "top", group="top"),
        make_layer(tmp_path, "base", group="base", passwd="base"),
    ]

    assert files.read_accounts(layers) == Accounts(passwd="base", group="top")


def test_an_image_without_accounts_has_none(files: HostSecurityFiles, tmp_path: Path) -> None:
    assert files.read_accounts([make_layer(tmp_path, "scratch")]) == Accounts()


def test_what_cannot_be_read_is_unknown(files: HostSecurityFiles, tmp_path: Path) -> None:
    link = make_layer(tmp_path, "link")
    Path(link, "etc/passwd").symlink_to("/etc/passwd")

    assert files.read_accounts([]) is None
    assert files.read_accounts([str(tmp_path / "gone")]) is None
    assert files.read_accounts([link]) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="makes what only root may make")
def test_a_layer_can_take_away_what_is_below_it(files: HostSecurityFiles, tmp_path: Path) -> None:
    base = make_layer(tmp_path, "base", passwd="base", group="base")
    removed, opaque = make_layer(tmp_path, "removed"), make_layer(tmp_path, "opaque")
    os.mknod(f"{removed}/etc/passwd", 0o020000, os.makedev(0, 0))
    (tmp_path / "bare").mkdir()
    os.mknod(tmp_path / "bare/etc", 0o020000, os.makedev(0, 0))

    assert files.read_accounts([removed, base]) == Accounts(group="base")
    assert files.read_accounts([str(tmp_path / "bare"), base]) == Accounts()
    try:
        os.setxattr(f"{opaque}/etc", "trusted.overlay.opaque", b"y")
    except OSError:
        pytest.skip("the file system has no such attributes")
    assert files.read_accounts([opaque, base]) == Accounts()
