"""Working inside another process' network namespace from a thread of ours. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

from agent.network.protocol import NetworkError

_CLONE_NEWNET = 0x40000000
POLL_SECONDS = 0.0005


@contextlib.contextmanager
def open_own_namespace(pid: int, *, deadline_seconds: float) -> Iterator[int]:
    """Yield a descriptor of the process' network namespace once it is its own and the process has no capability left.

    Nothing may join a sandbox before that: until then it is in the host's network with the right to administer it.
    """
    descriptor = _wait_for_namespace(pid, time.monotonic() + deadline_seconds)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for_namespace(pid: int, deadline: float) -> int:
    host = os.stat("/proc/self/ns/net").st_ino
    while True:
        try:
            descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(descriptor).st_ino != host and has_no_capabilities(_read_status(pid)):
                return descriptor
            os.close(descriptor)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise NetworkError(f"cannot wire sandbox: its process {pid} has exited") from error
        if time.monotonic() > deadline:
            raise NetworkError(f"cannot wire sandbox: its process {pid} did not leave the host's network in time")
        time.sleep(POLL_SECONDS)


def _read_status(pid: int) -> str:
    with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
        return file.read().decode()


def has_no_capabilities(status: str) -> bool:
    """Whether /proc/PID/status shows an empty effective set."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16) == 0
    return False


@contextlib.contextmanager
def entered(descriptor: int) -> Iterator[None]:
    """Move the calling thread, and it alone, into a network namespace for the time of the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set_namespace(descriptor)
        try:
            yield
        finally:
            _set_namespace(home)
    finally:
        os.close(home)


def _set_namespace(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise NetworkError(f"cannot enter network namespace: {os.strerror(code)}")


def write_sysctl(name: str, value: str) -> None:
    """Set a network sysctl of the namespace the calling thread is in. A slash in its name is a dot in a link's name."""
    path = Path("/proc/sys") / name.translate(str.maketrans("./", "/."))
    if ".." in path.parts or not name.startswith("net."):
        raise NetworkError(f"cannot set sysctl {name}: it is not one of the network namespace")
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(value.encode())
    except OSError as error:
        raise NetworkError(f"cannot set sysctl {name}: {error.strerror}") from error
