"""The tests find a kubectl as recent as they need and a compiler, or say what is missing before they start."""

from __future__ import annotations

import pytest

from tests.unit.scripts.machine import SCRIPTS, Machine

TOOLS = SCRIPTS / "test_tools.sh"
UNPACK = 'mkdir -p "$3/usr/bin"; echo recent >"$3/usr/bin/kubectl"'


@pytest.fixture
def debian(machine: Machine) -> Machine:
    """A Debian without compiler and with a Python that finds no recent kubectl unless it lies beside it."""
    keyring = machine.root / "usr/share/keyrings/debian-archive-keyring.gpg"
    keyring.parent.mkdir(parents=True)
    keyring.touch()
    machine.link("install")
    machine.stub("python", "[ -e $here/programs/kubectl ]", recorded=False)
    machine.stub("apt-get", "if [ $1 = indextargets ]; then echo http://mirror/debian/; fi; touch kubectl_1.deb")
    machine.stub("dpkg-deb", UNPACK)
    return machine


@pytest.mark.parametrize("tests", ["fast", "all"])
def test_a_machine_that_has_them_is_left_as_it_is(debian: Machine, tests: str) -> None:
    debian.stub("kubectl")
    debian.stub("gcc")

    done = debian.run(TOOLS, tests)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert debian.calls == []


def test_a_recent_kubectl_comes_from_the_next_release(debian: Machine) -> None:
    done = debian.run(TOOLS, "fast")

    assert (done.returncode, done.stderr) == (0, "")
    assert (debian.programs / "kubectl").read_text() == "recent\n"
    assert [call.split()[1] for call in debian.calls if call.startswith("apt-get")] == [
        "indextargets",
        "update",
        "download",
    ]
    assert list((debian.directory / "tmp").iterdir()) == []


def test_all_tests_need_a_compiler(debian: Machine) -> None:
    debian.stub("kubectl")

    assert debian.run(TOOLS, "all").returncode == 0
    assert debian.calls == ["apt-get update", "apt-get install -y --no-install-recommends gcc libc6-dev"]


@pytest.mark.parametrize("debian_like", [True, False])
def test_what_cannot_be_had_is_told(debian: Machine, debian_like: bool) -> None:
    if debian_like:
        debian.stub("apt-get", "echo 'E: no network' >&2; exit 100")
    else:
        (debian.programs / "apt-get").unlink()

    done = debian.run(TOOLS, "fast")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("podling: the tests need kubectl 1.31 or newer: install it")
    assert ("E: no network" in done.stderr) is debian_like
