"""The supervisor, as a process with processes: it restarts what crashes and takes everything with it when it dies."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from control.cli import supervisor_client
from control.cli.failure import CommandError
from control.cli.port_reservation import is_reserved
from control.cli.ranges import is_port_free
from control.cli.supervisor import RESTART_DELAY_SECONDS_MIN
from control.cli.supervisor_client import ask, start_supervisor, stop_supervisor
from control.config import ClusterDirectory
from tests.cluster import is_alive, wait_for

# Ends when its lifeline does, as control and agent do.
FAITHFUL = "import sys; sys.stdin.read()"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[ClusterDirectory]:
    """A cluster directory whose supervisor is stopped at the end."""
    made = ClusterDirectory(tmp_path / ("long-" * 25))
    made.root.mkdir()
    yield made
    stop_supervisor(made)


#: A reservation is a name on this host, and nobody listens there: other processes of tests have others.
FIRST_PORT = 100_000 + 10 * os.getpid()


def list_processes(directory: ClusterDirectory, **scripts: str | None) -> None:
    """Write processes.json: name → Python program, None for one that is not wanted; each with a port."""
    entries = [
        {
            "name": name,
            "command": [sys.executable, "-c", script or FAITHFUL],
            "log": str(directory.log_file(name)),
            "wanted": script is not None,
            "port": FIRST_PORT + number,
        }
        for number, (name, script) in enumerate(scripts.items())
    ]
    directory.processes_file.write_text(json.dumps(entries))


def state(directory: ClusterDirectory, name: str) -> dict[str, Any]:
    answer = ask(directory, "status")
    assert answer is not None
    found: dict[str, Any] = next(item for item in answer["processes"] if item["name"] == name)
    return found


def test_a_killed_process_is_restarted(directory: ClusterDirectory) -> None:
    list_processes(directory, control=FAITHFUL)
    start_supervisor(directory)
    first = wait_for(lambda: state(directory, "control")["pid"], "it runs")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: state(directory, "control")["pid"] not in (0, first), "it runs again")
    assert state(directory, "control")["restarts"] == 1


def test_a_process_that_crashes_at_once_is_restarted_with_a_growing_delay(directory: ClusterDirectory) -> None:
    list_processes(directory, broken="import sys, time; print(time.monotonic()); sys.exit(3)")
    start_supervisor(directory)
    wait_for(lambda: state(directory, "broken")["restarts"] >= 4, "it was restarted four times")
    times = [float(line) for line in directory.log_file("broken").read_text().split()]
    # A busy machine makes the gaps longer, never shorter.
    for number in range(3):
        assert times[number + 1] - times[number] >= RESTART_DELAY_SECONDS_MIN * 2**number
    assert state(directory, "broken")["exitStatus"] in (3, None)


def test_a_process_killed_on_request_stays_dead_until_it_is_wanted_again(directory: ClusterDirectory) -> None:
    list_processes(directory, agent=FAITHFUL)
    start_supervisor(directory)
    pid = wait_for(lambda: state(directory, "agent")["pid"], "it runs")
    ask(directory, "kill", name="agent")
    assert not is_alive(pid)
    assert state(directory, "agent")["pid"] == 0
    ask(directory, "reload")
    wait_for(lambda: state(directory, "agent")["pid"], "it runs again")


def test_entries_that_appear_and_vanish_are_followed(directory: ClusterDirectory) -> None:
    list_processes(directory, one=FAITHFUL, two=None)
    start_supervisor(directory)
    wait_for(lambda: state(directory, "one")["pid"], "one runs")
    assert state(directory, "two")["pid"] == 0
    list_processes(directory, one=None, two=FAITHFUL)
    ask(directory, "reload")
    wait_for(lambda: state(directory, "two")["pid"], "two runs")
    wait_for(lambda: state(directory, "one")["pid"] == 0, "one has ended")


@pytest.mark.skipif(sys.platform != "linux", reason="reservations are Linux's")
def test_the_ports_of_processes_that_are_down_stay_reserved_until_the_supervisor_ends(
    directory: ClusterDirectory,
) -> None:
    list_processes(directory, crashing="raise SystemExit", unwanted=None)
    supervisor = start_supervisor(directory)
    assert [is_reserved(FIRST_PORT), is_reserved(FIRST_PORT + 1)] == [True, True]
    assert not is_port_free(FIRST_PORT)
    list_processes(directory, crashing="raise SystemExit")
    ask(directory, "reload")
    assert [is_reserved(FIRST_PORT), is_reserved(FIRST_PORT + 1)] == [True, False]
    supervisor.kill()
    supervisor.wait()
    assert not is_reserved(FIRST_PORT)


def test_all_processes_end_with_a_killed_supervisor(directory: ClusterDirectory) -> None:
    list_processes(directory, control=FAITHFUL, agent=FAITHFUL)
    supervisor = start_supervisor(directory)
    pids = [wait_for(lambda name=name: state(directory, name)["pid"], "it runs") for name in ("control", "agent")]
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "its processes have ended")


def test_a_supervisor_that_is_too_late_is_stopped(directory: ClusterDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    list_processes(directory, control=FAITHFUL)
    made: list[subprocess.Popen[bytes]] = []

    class Started(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(subprocess, "Popen", Started)
    monkeypatch.setattr(supervisor_client, "START_SECONDS_MAX", 0.0)
    with pytest.raises(CommandError, match="the supervisor did not start"):
        start_supervisor(directory)
    assert [process.returncode for process in made] == [-signal.SIGKILL]
    assert ask(directory, "status") is None


def test_a_second_supervisor_refuses(directory: ClusterDirectory) -> None:
    list_processes(directory, control=FAITHFUL)
    start_supervisor(directory)
    command = [sys.executable, "-m", "control.cli.supervisor", str(directory.root)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "Another supervisor runs this cluster" in second.stderr


def test_garbage_on_the_socket_changes_nothing(directory: ClusterDirectory) -> None:
    import contextlib
    import socket

    list_processes(directory, control=FAITHFUL)
    start_supervisor(directory)
    pid = wait_for(lambda: state(directory, "control")["pid"], "it runs")
    for garbage in (b"\xff\xfe\n", b"{}\n", b'{"command": 7}\n', b'{"command": "kill", "name": "nobody"}\n', b""):
        with socket.socket(socket.AF_UNIX) as connection, contextlib.chdir(directory.root):
            connection.connect(directory.supervisor_socket.name)
            connection.sendall(garbage)
    assert state(directory, "control")["pid"] == pid


def test_a_process_that_is_asked_to_restart_does_so_at_once_and_is_no_crash(directory: ClusterDirectory) -> None:
    list_processes(directory, control=FAITHFUL)
    start_supervisor(directory)
    first = wait_for(lambda: state(directory, "control")["pid"], "it runs")
    ask(directory, "restart", name="control")
    wait_for(lambda: state(directory, "control")["pid"] not in (0, first), "it runs again")
    assert state(directory, "control")["restarts"] == 0


def test_a_supervisor_that_dies_while_it_is_asked_is_none(tmp_path: Path) -> None:
    directory = ClusterDirectory(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(tmp_path), ThreadPoolExecutor(1) as threads:
        listener.bind(directory.supervisor_socket.name)
        listener.listen()
        asking = threads.submit(ask, directory, "status")
        dying, _ = listener.accept()
        select.select([dying], [], [])
        dying.close()  # with the question unread, as a process that is killed does: the other end sees a reset
        assert asking.result() is None
