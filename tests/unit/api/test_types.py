from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from control.api.types import Container, Pod

ROOT = Path(__file__).resolve().parents[3]


def test_the_types_are_what_their_generator_makes() -> None:
    command = [sys.executable, "scripts/generate_types.py", "--check"]
    checked = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_types_describe_plain_objects() -> None:
    container: Container = {"name": "c", "image": "i"}
    pod: Pod = {"metadata": {"name": "x"}, "spec": {"containers": [container]}}
    assert pod["spec"]["containers"][0]["image"] == "i"
