"""How a command ends when it cannot do its work: one line that says why and how to mend it, exit status 1."""

from __future__ import annotations

import sys
from typing import NoReturn


class CommandError(Exception):
    """A failure to tell the user: `cause` in one line, `mend` as what to do about it."""

    def __init__(self, cause: str, mend: str = "") -> None:
        super().__init__(f"{cause}: {mend}" if mend else cause)


def exit_with(error: CommandError) -> NoReturn:
    """Print the one line and end with status 1."""
    print(f"podling: {error}", file=sys.stderr)
    raise SystemExit(1)
