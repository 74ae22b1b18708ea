"""Installing packages, and doing so one at a time."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

import pytest

from tests.unit.scripts.machine import SCRIPTS, Machine

HELD = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)"
#: a call that fails with HELD until it was made so often
HELD_TWICE = f'if [ "$(grep -c "apt-get update" $here/calls)" -lt 3 ]; then echo "{HELD}" >&2; exit 100; fi'


def run(machine: Machine, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return machine.run("bash", "-c", f"set -euo pipefail; . {SCRIPTS}/machine.sh; {script}", **env)


def test_whoever_has_the_package_lists_is_waited_for(machine: Machine) -> None:
    machine.stub("apt-get", HELD_TWICE)

    done = run(machine, "update_package_lists; install_packages one two")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Waiting for another program that installs packages ...\n"
    assert machine.calls == ["apt-get update"] * 3 + ["apt-get install -y --no-install-recommends one two"]


def test_the_wait_ends(machine: Machine) -> None:
    machine.stub("apt-get", f'echo "{HELD}" >&2; exit 100')

    done = run(machine, "install_packages one", APT_SECONDS_MAX="0")

    assert done.returncode == 1
    assert done.stderr.startswith(f"{HELD}\npodling: cannot install one: see ")
    assert len(machine.calls) == 1


def test_a_source_that_cannot_be_had_keeps_nobody_from_installing(machine: Machine) -> None:
    machine.stub("apt-get", 'if [ "$1" = update ]; then echo "E: no Release file" >&2; exit 100; fi')

    done = run(machine, "update_package_lists; install_packages one")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls == ["apt-get update", "apt-get install -y --no-install-recommends one"]
    assert list((machine.directory / "tmp").iterdir()) == []


def test_why_a_package_cannot_be_installed_is_told_and_kept(machine: Machine) -> None:
    machine.stub("apt-get", 'echo "E: Unable to locate package one" >&2; exit 100')

    done = run(machine, "install_packages one; echo unreached")

    assert (done.returncode, done.stdout) == (1, "")
    told, said = done.stderr.splitlines()
    assert told == "E: Unable to locate package one"
    assert said.startswith("podling: cannot install one: see ")
    assert Path(said.rpartition(" ")[2]).read_text() == f"{told}\n"


@pytest.mark.parametrize(("user", "installs"), [("0", True), ("1000", False)])
def test_root_alone_installs(machine: Machine, user: str, installs: bool) -> None:
    machine.stub("id", f"echo {user}", recorded=False)
    machine.stub("apt-get")

    assert (run(machine, "can_install").returncode == 0) is installs


def test_preparations_of_one_thing_exclude_one_another(machine: Machine) -> None:
    file = machine.directory / "thing"
    script = f"set -euo pipefail; . {SCRIPTS}/machine.sh; one_at_a_time {file}; echo alone; cat"
    with subprocess.Popen(
        ["bash", "-c", script], env=machine.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline() == "alone\n"
        with file.open("a") as mine:
            with pytest.raises(BlockingIOError):
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            first.stdin.close()
            fcntl.flock(mine, fcntl.LOCK_EX)
    assert first.returncode == 0
