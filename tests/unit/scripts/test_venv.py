"""A virtual environment is made once, and anew when it does not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.scripts.machine import SCRIPTS, Machine

VENV = SCRIPTS / "venv.sh"
INSTALL = "pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat -e .[dev]"


@pytest.fixture
def python(machine: Machine) -> str:
    """A `python3` whose environments are a pip and a python that work; returns the script that makes them."""
    for name in ("pip", "python"):
        (machine.directory / name).write_text(machine.stub_text(name, ""))
        (machine.directory / name).chmod(0o755)
    (machine.directory / "pyproject.toml").touch()
    make = 'mkdir -p "$3/bin"; touch "$3/pyvenv.cfg"; cp $here/pip $here/python "$3/bin"'
    machine.stub("python3", f'if [ "$1" = -m ]; then {make}; fi')
    return make


def environment_with(machine: Machine, pip: str) -> Path:
    directory = machine.directory / "env"
    (directory / "bin").mkdir(parents=True)
    (directory / "pyvenv.cfg").touch()
    (directory / "old").touch()
    (directory / "bin/pip").write_text(machine.stub_text("pip", pip))
    (directory / "bin/pip").chmod(0o755)
    (directory / "bin/python").write_text(machine.stub_text("python", ""))
    (directory / "bin/python").chmod(0o755)
    return directory


def made(machine: Machine) -> int:
    return sum(call.startswith("python3 -m venv") for call in machine.calls)


@pytest.mark.usefixtures("python")
def test_one_that_works_is_kept(machine: Machine) -> None:
    directory = environment_with(machine, "")

    assert machine.run(VENV, "env", "[dev]").returncode == 0
    assert (directory / "old").exists()
    assert made(machine) == 0
    assert INSTALL in machine.calls


@pytest.mark.usefixtures("python")
def test_one_whose_python_is_gone_is_made_anew(machine: Machine) -> None:
    directory = environment_with(machine, "exit 126")

    assert machine.run(VENV, "env", "[dev]").returncode == 0
    assert not (directory / "old").exists()
    assert made(machine) == 1
    assert INSTALL in machine.calls


@pytest.mark.usefixtures("python")
def test_a_directory_of_something_else_is_not_touched(machine: Machine) -> None:
    directory = machine.directory / "env"
    directory.mkdir()
    (directory / "thesis").touch()

    done = machine.run(VENV, "env")

    assert done.returncode == 1
    assert done.stderr == "podling: env is in the way: it is no virtual environment\n"
    assert (directory / "thesis").exists()


def test_what_python_lacks_for_it_is_installed(machine: Machine, python: str) -> None:
    machine.stub("python3", f'if [ "$1" = -m ]; then [ -e $here/ensurepip ] || exit 1; {python}; fi')
    machine.stub("apt-get", 'if [ "$1" = install ]; then touch $here/ensurepip; fi')

    done = machine.run(VENV, "env", "[dev]")

    assert (done.returncode, done.stderr) == (0, "")
    assert "apt-get install -y --no-install-recommends python3-venv" in machine.calls
    assert INSTALL in machine.calls


def test_a_python_that_is_too_old_is_told(machine: Machine) -> None:
    machine.stub("python3", "exit 1")

    done = machine.run(VENV, "env")

    assert done.returncode == 1
    assert done.stderr == "podling: Python 3.11 or newer is needed: install python3\n"
