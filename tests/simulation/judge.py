"""Where properties report that they do not hold. The first violation ends the run."""

from __future__ import annotations

from tests.simulation.trace import Trace


class PropertyViolatedError(AssertionError):
    """A property does not hold; the message begins with its name."""


class Judge:
    """Collects violations. Reporting never raises: it happens inside the programs, which might catch it."""

    def __init__(self, trace: Trace) -> None:
        self.violations: list[str] = []
        self._trace = trace

    def require(self, holds: object, name: str, message: str) -> None:
        """Say that a property, by its name, does not hold, unless it does."""
        if not holds:
            self.violations.append(f"{name}: {message}")
            self._trace.write("VIOLATION", f"{name}: {message}")

    def raise_violations(self) -> None:
        """Raise PropertyViolatedError if there were any."""
        if self.violations:
            raise PropertyViolatedError(self.violations[0])
