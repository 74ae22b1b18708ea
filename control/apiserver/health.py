"""/livez, /readyz and /healthz: named checks, with upstream's texts (`[+]ping ok`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Check = Callable[[], str]
"""Returns what is wrong, empty if nothing is."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The answer of a health endpoint."""

    is_healthy: bool
    text: str


class HealthChecks:
    """The checks of one server. A check counts for readiness, or for readiness and liveness."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {"ping": lambda: "", "log": lambda: ""}
        self._ready_only: set[str] = set()

    def add(self, name: str, check: Check, *, ready_only: bool = False) -> None:
        """Add a check."""
        self._checks[name] = check
        if ready_only:
            self._ready_only.add(name)

    def report(
        self, endpoint: str, *, only: str = "", is_verbose: bool = False, excluded: Sequence[str] = ()
    ) -> HealthReport | None:
        """Run the checks of an endpoint, or the one named by `only`; None if there is no such check."""
        names = [name for name in self._checks if endpoint == "readyz" or name not in self._ready_only]
        if only:
            if only not in names:
                return None
            return self._report_one(only)
        lines, failed = [], []
        for name in names:
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            if self._checks[name]():
                failed.append(name)
                lines.append(f"[-]{name} failed: reason withheld")
            else:
                lines.append(f"[+]{name} ok")
        unknown = ", ".join(f'"{name}"' for name in excluded if name not in names)
        if unknown:
            lines.append(f"warn: some health checks cannot be excluded: no matches for {unknown}")
        if failed:
            return HealthReport(False, "\n".join([*lines, f"{endpoint} check failed", ""]))
        return HealthReport(True, "\n".join([*lines, f"{endpoint} check passed", ""]) if is_verbose else "ok")

    def _report_one(self, name: str) -> HealthReport:
        problem = self._checks[name]()
        return HealthReport(False, f"internal server error: {problem}\n") if problem else HealthReport(True, "ok")
