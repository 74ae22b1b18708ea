"""Images that no registry has are assembled from packages, whatever the machine knows of them and whoever does it."""

from __future__ import annotations

import stat
import sys
import tarfile
from pathlib import Path

import pytest

from tests.unit.scripts.machine import SCRIPTS, Machine

#: an engine that has no image and reaches no registry; keeps what is imported
DOCKER = """\
[ "$1" = import ] || exit 1
for word in "$@"; do file=$name; name=$word; done
cp "$file" $here/image.tar
"""
KNOWN = 'echo "  Candidate: 1.0"'
UNPACK = 'mkdir -p "$3/bin"; cp $here/busybox "$3/bin/busybox"; chown 1234:1234 "$3/bin/busybox" 2>/dev/null || true'


@pytest.fixture
def debian(machine: Machine) -> Machine:
    """A machine whose sources have every package; unpacking one gives a busybox of two applets."""
    (machine.directory / "busybox").write_text(machine.stub_text("busybox", "echo sh; echo ls", recorded=False))
    (machine.directory / "busybox").chmod(0o755)
    machine.link("chown")
    machine.stub("docker", DOCKER)
    machine.stub("apt-cache", KNOWN)
    machine.stub("apt-get", "if [ $1 = download ]; then touch busybox-static_1.0.deb; fi")
    machine.stub("dpkg-deb", UNPACK)
    return machine


def make_busybox(machine: Machine, umask: int = 0o022) -> str:
    return machine.run(sys.executable, SCRIPTS / "images.py", "busybox", "--no-pull", umask=umask).stderr


def calls(machine: Machine) -> list[str]:
    return [call for call in machine.calls if call.startswith("apt-get")]


def test_an_image_is_readable_for_everybody_and_owned_by_root(debian: Machine) -> None:
    assert make_busybox(debian, umask=0o077) == ""

    with tarfile.open(debian.directory / "image.tar") as tar:
        entries = {entry.name: entry for entry in tar.getmembers()}
    assert {(entry.uid, entry.gid, entry.uname) for entry in entries.values()} == {(0, 0, "root")}
    closed = [name for name, entry in entries.items() if not entry.issym() and not entry.mode & stat.S_IROTH]
    assert closed == []
    assert entries["."].mode == 0o755
    assert entries["./bin/ls"].linkname == "busybox"


def test_package_lists_are_fetched_where_there_are_none(debian: Machine) -> None:
    debian.stub("apt-cache", f"if [ -e $here/fetched ]; then {KNOWN}; fi")
    debian.stub("apt-get", "if [ $1 = update ]; then touch $here/fetched; else touch busybox-static_1.0.deb; fi")

    assert make_busybox(debian) == ""
    assert calls(debian) == ["apt-get update", "apt-get download busybox-static"]


def test_package_lists_that_name_what_is_gone_are_fetched_anew(debian: Machine) -> None:
    debian.stub(
        "apt-get",
        "if [ $1 = update ]; then touch $here/fetched; exit; fi\n"
        'if [ ! -e $here/fetched ]; then echo "E: 404 Not Found" >&2; exit 100; fi\n'
        "touch busybox-static_1.0.deb",
    )

    assert make_busybox(debian) == ""
    assert calls(debian) == ["apt-get download busybox-static", "apt-get update", "apt-get download busybox-static"]


@pytest.mark.parametrize(
    ("known", "fetch", "expected"),
    [
        pytest.param(KNOWN, "echo 'E: no network' >&2; exit 100", "cannot download busybox-static: E: no network"),
        pytest.param(KNOWN, "exit 100", "cannot download busybox-static: apt-get ended with status 100"),
        pytest.param("", "", "cannot download busybox-static: this machine's sources have none of them"),
    ],
    ids=["no network", "no reason", "no such package"],
)
def test_what_cannot_be_had_is_told_in_a_line(debian: Machine, known: str, fetch: str, expected: str) -> None:
    debian.stub("apt-cache", known)
    debian.stub("apt-get", fetch)

    assert make_busybox(debian) == f"podling: {expected}\n"
    assert not Path(debian.directory / "image.tar").exists()


@pytest.mark.parametrize("merged", [False, True], ids=["Debian 12", "Debian 13"])
def test_the_loader_is_where_programs_name_it(debian: Machine, merged: bool) -> None:
    libraries = "usr/lib64" if merged else "lib64"
    debian.stub(
        "dpkg-deb",
        f'{UNPACK}; mkdir -p "$3/usr/sbin" "$3/{libraries}"; touch "$3/usr/sbin/nginx" "$3/{libraries}/ld.so"',
    )

    assert debian.run(sys.executable, SCRIPTS / "images.py", "nginx", "--no-pull").stderr == ""

    with tarfile.open(debian.directory / "image.tar") as tar:
        loader = tar.getmember(f"./{libraries}/ld.so")
        assert loader.isreg()
        if merged:
            assert tar.getmember("./lib64").linkname == "usr/lib64"


def test_an_image_without_its_program_is_not_made(debian: Machine) -> None:
    done = debian.run(sys.executable, SCRIPTS / "images.py", "nginx", "--no-pull")

    assert done.returncode == 1
    assert done.stderr == ("podling: no package of this machine's sources has nginx: pull nginx:latest by hand\n")
    assert not Path(debian.directory / "image.tar").exists()
