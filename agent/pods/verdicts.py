"""What the probes say of one container, as the decisions see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerVerdicts:
    """True passed its threshold, False failed it, None means no verdict yet (or no such probe)."""

    liveness: bool | None = None
    readiness: bool | None = None
    startup: bool | None = None


NO_VERDICTS = ContainerVerdicts()
