"""Working inside another process' network namespace from a thread of ours. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from agent.network.protocol import NetworkError

_CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def open_own_namespace(pid: int) -> Iterator[int]:
    """Yield a descriptor of the process' network namespace. Raises NetworkError if that is the host's, or gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NetworkError(f"cannot wire sandbox: its process {pid} has exited") from error
    try:
        if os.path.samestat(os.fstat(descriptor), os.stat("/proc/self/ns/net")):
            raise NetworkError(f"cannot wire sandbox: its process {pid} is in the host's network")
        yield descriptor
    finally:
        os.close(descriptor)


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
