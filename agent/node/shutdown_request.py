"""How an agent is told to shut its node down: by SIGUSR1, and beforehand by a file that says how long it may take."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from pathlib import Path

from agent.node.shutdown import ShutdownPeriods

SIGNAL = signal.SIGUSR1
FILE_NAME = "shutdown.json"


def take_request(state_dir: Path) -> ShutdownPeriods:
    """Read the file and remove it: the next request has its own. Without one the periods are the usual ones."""
    path = state_dir / FILE_NAME
    periods = ShutdownPeriods()
    with suppress(OSError, ValueError, KeyError, TypeError):
        request = json.loads(path.read_text())
        periods = ShutdownPeriods(
            total_seconds=max(0.0, float(request["gracePeriodSeconds"])),
            critical_seconds=max(0.0, float(request["criticalGracePeriodSeconds"])),
        )
    path.unlink(missing_ok=True)
    return periods
