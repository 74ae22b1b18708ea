"""Recorded answers of a real kube-apiserver, where they are at hand: a folder beside the repository."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "golden" / "open"
_TIME, _MICRO_TIME = "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"
_VALUES = ((r"\$\{MTIME\d+\}", _MICRO_TIME), (r"\$\{TIME\d+\}", _TIME), (r'"\$\{NODEPORT\d+\}"', "30000"))

needs_recordings = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded answers in {FOLDER}")


class Step(NamedTuple):
    """One recorded request and its answer."""

    scenario: str
    request: dict[str, Any]
    response: dict[str, Any]

    @property
    def body(self) -> Any:
        """Decoded answer."""
        return self.response.get("body")

    @property
    def sent(self) -> bytes:
        """Body of the request as text."""
        if "bodyText" in self.request:
            return str(self.request["bodyText"]).encode()
        return json.dumps(self.request.get("body"), separators=(",", ":")).encode()


def recorded_steps(pattern: str) -> Iterator[Step]:
    """Iterate over the steps of all scenarios whose `group/name` matches the glob."""
    for path in sorted(FOLDER.glob(f"{pattern}.json")):
        scenario = json.loads(path.read_text())
        for step in scenario["steps"]:
            if "request" in step and step.get("response"):
                yield Step(scenario["scenario"], step["request"], step["response"])


def filled(value: Any) -> Any:
    """Put values where a recording has placeholders for times and ports; other placeholders are texts already."""
    text = json.dumps(value)
    for pattern, replacement in _VALUES:
        text = re.sub(pattern, replacement, text)
    return json.loads(text)
