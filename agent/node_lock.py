"""The locks that make an agent the only one of its node: on the node's directory, and on the host.

Two agents of one node with different directories would both adopt the node's containers. The kernel lets go of both
locks when the process ends, however it ends; a predecessor that is just ending, its supervisor dead, is waited for.
"""

from __future__ import annotations

import fcntl
import hashlib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PREDECESSOR_SECONDS_MAX = 5.0
PREDECESSOR_POLL_SECONDS = 0.02
EVICTION_NAME = "\0podling-eviction"


class NodeTakenError(Exception):
    """Another agent runs this node and does not end; the text names what it holds."""


@contextmanager
def only_agent(state_dir: Path, cluster: str, node_name: str) -> Iterator[None]:
    """Be the only agent of a node on this host. Makes the directory. Raises NodeTakenError."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + PREDECESSOR_SECONDS_MAX
    with (state_dir / "agent.lock").open("w") as lock, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as name:
        if not _wait(lambda: _has_locked(lock), deadline):
            raise NodeTakenError(f"another agent runs node {node_name} (it holds {lock.name})")
        if not _wait(lambda: _has_node_name(name, cluster, node_name), deadline):
            raise NodeTakenError(
                f"another agent runs node {node_name} of cluster {cluster!r} on this host, with another --state-dir"
            )
        yield


@contextmanager
def take_eviction_turn() -> Iterator[bool]:
    """Be the only node of this host that evicts, whatever its cluster; False while another one does.

    All of them see the same memory and the same disk run out, and one Pod gone may be enough.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as name:
        yield sys.platform != "linux" or _has_bound(name, EVICTION_NAME)


def _wait(is_done: Callable[[], bool], deadline: float) -> bool:
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(PREDECESSOR_POLL_SECONDS)
    return True


def _has_locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_node_name(name: socket.socket, cluster: str, node_name: str) -> bool:
    if sys.platform != "linux":
        return True  # Pods are wired on Linux only: elsewhere no agent gets further than this
    digest = hashlib.sha256(f"{cluster}/{node_name}".encode()).hexdigest()
    return _has_bound(name, f"\0podling-agent-{digest}")


def _has_bound(name: socket.socket, abstract_name: str) -> bool:
    """Whether a name in Linux' abstract socket namespace is ours: a lock that leaves no file behind."""
    try:
        name.bind(abstract_name)
    except OSError:
        return False
    return True
