"""Ports for a test that takes its cluster's supervisor down and up again, beside tests that start clusters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from control.cli.port_reservation import reserve_port
from control.cli.ranges import AGENT_PORT_FIRST, API_PORT_FIRST

NEW_CLUSTERS_AT_ONCE_MAX = 200


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
