"""Every conformance requirement that is at hand has a test of ours named after it, or a row that says why not.

A requirement's name is its codename without the tags at its end: `[sig-node] Pods should be updated`. A test carries it
in `@pytest.mark.requirement(…)` or as the key of a table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT.parent / "shared" / "conformance" / "open.yaml"
COMPATIBILITY = ROOT / "docs" / "compatibility.md"

needs_requirements = pytest.mark.skipif(not REQUIREMENTS.is_file(), reason=f"no requirements in {REQUIREMENTS}")


def without_tags(codename: str) -> str:
    """A codename without the tags at its end: `[Conformance]`, `[LinuxOnly]` and so on."""
    return re.sub(r"( \[[^]]*\])+$", "", codename)


def open_requirements() -> list[str]:
    """Names of all requirements in the file, in its order."""
    codenames = [str(item["codename"]) for item in yaml.safe_load(REQUIREMENTS.read_text())]
    return [without_tags(codename) for codename in codenames]


def strings_of_tests() -> Iterator[str]:
    """Every string constant of every test module but this one."""
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__).resolve():
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_the_tags_at_the_end_of_a_codename_are_no_part_of_its_name() -> None:
    assert without_tags("[sig-node] [DRA] CRUD [LinuxOnly] Tests [Slow] [Conformance]") == (
        "[sig-node] [DRA] CRUD [LinuxOnly] Tests"
    )


def excuses() -> list[str]:
    """The names that have a row which says why they do not hold; one that ends with `…` stands for all it begins."""
    section = COMPATIBILITY.read_text().split("\n## Conformance\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \| \S", section, re.MULTILINE)


def is_excused(name: str, excuse: str) -> bool:
    """Whether the row is about the requirement."""
    return name.startswith(excuse.removesuffix("…")) if excuse.endswith("…") else name == excuse


@needs_requirements
def test_every_requirement_has_a_test_or_a_reason() -> None:
    tested, rows = set(strings_of_tests()), excuses()
    untested = [name for name in open_requirements() if name not in tested]
    assert [name for name in untested if not any(is_excused(name, excuse) for excuse in rows)] == []
    assert [excuse for excuse in rows if not any(is_excused(name, excuse) for name in untested)] == []
