from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from agent.usage.container_processes import ContainerProcesses, open_files_max, read_container_processes

LIMITS = "Limit                     Soft Limit           Hard Limit           Units\n"


def test_open_files_and_sockets_of_all_processes_are_counted(tmp_path: Path) -> None:
    for name, targets in (("7", ("/dev/null", "socket:[12]")), ("8", ("socket:[13]",))):
        (tmp_path / name / "fd").mkdir(parents=True)
        for number, target in enumerate(targets):
            (tmp_path / name / "fd" / str(number)).symlink_to(target)
    (tmp_path / "7" / "limits").write_text(f"{LIMITS}Max open files            1024   4096   files\n")
    found = read_container_processes(7, (7, 8, 9), tmp_path)
    assert found == ContainerProcesses(open_files=3, sockets=2, open_files_max=1024)


def test_a_process_of_this_machine_is_read() -> None:
    with socket.socket():
        found = read_container_processes(os.getpid(), (os.getpid(),))
    assert found.sockets >= 1
    assert found.open_files > found.sockets


@pytest.mark.parametrize(("soft", "expected"), [("unlimited", -1), ("64", 64)])
def test_no_limit_is_minus_one(soft: str, expected: int) -> None:
    assert open_files_max(f"{LIMITS}Max open files            {soft}   unlimited   files\n") == expected


def test_a_process_that_is_gone_has_no_limit() -> None:
    assert open_files_max("") == 0
