"""What kubectl prints, in a form to compare with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def lines(text: str) -> list[str]:
    """The lines without the padding of tables and without empty ones."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def read(kubectl: Callable[..., Any], *arguments: str) -> Any:
    """`kubectl get -o json`, decoded."""
    return json.loads(kubectl("get", *arguments, "-o", "json").stdout)
