"""A Docker Engine is left as it is, started or installed, whatever the machine is like."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.scripts.machine import SCRIPTS, Machine

ENGINE = SCRIPTS / "engine.sh"
ANSWERS_WHEN_STARTED = "[ -e $here/started ]"
#: what dockerd finds when it starts
DOCKERD = """\
for found in docker.pid docker/containerd/containerd.pid; do
  if [ -e $here/root/var/run/$found ]; then echo "found $found" >>$here/calls; fi
done
if [ -e /proc/self/fd/9 ]; then echo "holds the lock" >>$here/calls; fi
touch $here/started
"""


@pytest.fixture
def pid_files(machine: Machine) -> dict[str, Path]:
    """Where dockerd and its containerd say who they are."""
    directory = machine.root / "var/run"
    (directory / "docker/containerd").mkdir(parents=True)
    return {"dockerd": directory / "docker.pid", "containerd": directory / "docker/containerd/containerd.pid"}


def own_calls(machine: Machine) -> list[str]:
    """What was done to the machine: not the questions."""
    return [call for call in machine.calls if not call.startswith(("docker version", "apt-cache"))]


def test_an_engine_that_answers_is_left_as_it_is(machine: Machine) -> None:
    machine.stub("docker")
    for name in ("apt-get", "dockerd", "systemctl"):
        machine.stub(name)

    done = machine.run(ENGINE)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert own_calls(machine) == []


@pytest.mark.parametrize("docker_cli", [False, True], ids=["Debian 12", "Debian 13"])
@pytest.mark.parametrize("apparmor", ["", "N", "Y"])
def test_a_missing_engine_is_installed_with_what_it_needs_and_started(
    machine: Machine, docker_cli: bool, apparmor: str
) -> None:
    for name, script in (("docker", ANSWERS_WHEN_STARTED), ("dockerd", DOCKERD)):
        (machine.directory / name).write_text(machine.stub_text(name, script))
        (machine.directory / name).chmod(0o755)
    machine.stub("apt-cache", "" if docker_cli else "exit 100")
    machine.stub("apt-get", 'if [ "$1" = install ]; then cp $here/docker $here/dockerd $here/programs; fi')
    if apparmor:
        enabled = machine.root / "sys/module/apparmor/parameters/enabled"
        enabled.parent.mkdir(parents=True)
        enabled.write_text(f"{apparmor}\n")

    done = machine.run(ENGINE)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Installing a Docker Engine ...\nStarting dockerd ...\n"
    packages = "docker.io iptables nftables iproute2 ca-certificates"
    packages += " docker-cli" * docker_cli + " apparmor" * (apparmor == "Y")
    assert own_calls(machine) == [
        "apt-get update",
        f"apt-get install -y --no-install-recommends {packages}",
        "dockerd ",
    ]


def test_cgroups_are_mounted_where_nobody_has(machine: Machine) -> None:
    machine.stub("docker", ANSWERS_WHEN_STARTED)
    machine.stub("dockerd", DOCKERD)
    machine.stub("mountpoint", "exit 1", recorded=False)
    (machine.directory / "cgroupfs-mount").write_text(machine.stub_text("cgroupfs-mount", "exit 1"))
    (machine.directory / "cgroupfs-mount").chmod(0o755)
    machine.stub("apt-get", 'if [ "$1" = install ]; then cp $here/cgroupfs-mount $here/programs; fi')

    assert machine.run(ENGINE).returncode == 0
    assert own_calls(machine) == [
        "apt-get update",
        "apt-get install -y --no-install-recommends cgroupfs-mount",
        "cgroupfs-mount ",
        "dockerd ",
    ]


def test_systemd_starts_its_engine(machine: Machine) -> None:
    (machine.root / "run/systemd/system").mkdir(parents=True)
    machine.stub("docker", ANSWERS_WHEN_STARTED)
    machine.stub("dockerd")
    machine.stub("systemctl", "touch $here/started")

    assert machine.run(ENGINE).returncode == 0
    assert own_calls(machine) == ["systemctl start docker"]


@pytest.mark.parametrize("pid", ["", "somebody", str(2**22 + 1)], ids=["empty", "of somebody else", "of nobody"])
def test_pid_files_of_a_crash_are_removed(machine: Machine, pid_files: dict[str, Path], pid: str) -> None:
    for file in pid_files.values():
        file.write_text(str(os.getpid()) if pid == "somebody" else pid)
    machine.stub("docker", ANSWERS_WHEN_STARTED)
    machine.stub("dockerd", DOCKERD)

    assert machine.run(ENGINE).returncode == 0
    assert own_calls(machine) == ["dockerd "]


def test_a_dockerd_that_is_starting_is_waited_for(machine: Machine, pid_files: dict[str, Path]) -> None:
    dockerd = machine.stub("dockerd", "echo here; cat", recorded=False)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([dockerd], env=machine.environment, **pipes) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        # It has read its script, which can be replaced.
        assert running.stdout.readline() == b"here\n"
        pid_files["dockerd"].write_text(str(running.pid))
        machine.stub("dockerd", DOCKERD)
        machine.stub("docker", '[ "$(grep -c "docker version" $here/calls)" -ge 5 ]')

        done = machine.run(ENGINE)

        running.stdin.close()
    assert (done.returncode, done.stdout, done.stderr) == (0, "Starting dockerd ...\n", "")
    assert own_calls(machine) == []
    assert pid_files["dockerd"].exists()


def test_a_dockerd_that_has_ended_says_why(machine: Machine) -> None:
    machine.stub("docker", "exit 1")
    machine.stub("dockerd", "echo starting; echo failed to start daemon: no room >&2; exit 1")

    done = machine.run(ENGINE)

    assert done.returncode == 1
    assert done.stderr == "podling: dockerd did not start: failed to start daemon: no room\n"


def test_who_is_not_root_is_told_so(machine: Machine) -> None:
    machine.stub("id", 'if [ "$1" = -u ]; then echo 1000; else echo ann; fi', recorded=False)
    machine.stub("docker", "exit 1")
    for name in ("apt-get", "dockerd"):
        machine.stub(name)

    done = machine.run(ENGINE)

    assert done.returncode == 1
    assert done.stderr.startswith("podling: no Docker Engine answers ann: run as root")
    assert own_calls(machine) == []


def test_an_engine_elsewhere_is_not_replaced(machine: Machine) -> None:
    machine.stub("docker", "exit 1")
    machine.stub("dockerd")

    done = machine.run(ENGINE, DOCKER_HOST="tcp://192.0.2.9:2376")

    assert done.returncode == 1
    assert "the Docker Engine at tcp://192.0.2.9:2376 does not answer" in done.stderr
    assert own_calls(machine) == []
