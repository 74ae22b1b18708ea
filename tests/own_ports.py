"""Ports that stay a test's own while nobody listens there, beside tests that start clusters and servers."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from control.cli.port_reservation import reserve_port
from control.cli.ranges import AGENT_PORT_FIRST, API_PORT_FIRST, is_port_free

#: Which of the processes this is that run tests side by side.
WORKER_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
NEW_CLUSTERS_AT_ONCE_MAX = 200
#: Below the ports of outgoing connections, which the kernel gives to anybody, and beside all that have a fixed number.
OWN_PORTS = range(12_000, 20_000)


def fixed_port(number: int) -> int:
    """The port of this number in the first process of tests, and another one in each of the others."""
    return number + 1000 * (WORKER_NUMBER % 9)


@contextmanager
def own_port() -> Iterator[int]:
    """A port for a server that comes, goes and comes again."""
    for port in random.sample(OWN_PORTS, len(OWN_PORTS)):
        if is_port_free(port) and (holder := reserve_port(port)) is not None:
            with holder:
                yield port
            return
    raise AssertionError("no port is free")


@contextmanager
def away_from_the_first_ports() -> Iterator[None]:
    """Let a new cluster choose ports that no other new cluster chooses while this one is down.

    They are reserved for that moment and not listened on: another `up` may have chosen one of them already.
    """
    with ExitStack() as held:
        for first in (API_PORT_FIRST, AGENT_PORT_FIRST):
            for port in range(first, first + NEW_CLUSTERS_AT_ONCE_MAX):
                if (holder := reserve_port(port)) is not None:
                    held.enter_context(holder)
        yield
