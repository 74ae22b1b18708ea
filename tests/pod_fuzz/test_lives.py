"""Some seeds; `python -m tests.pod_fuzz FIRST LAST` tries as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pod_fuzz.story import run_seed

SEEDS_PER_TEST = 15


@pytest.mark.parametrize("first", range(1, 91, SEEDS_PER_TEST))
def test_pods_are_what_kubernetes_promises(first: int, tmp_path: Path) -> None:
    broken = {}
    for seed in range(first, first + SEEDS_PER_TEST):
        violations = run_seed(seed, tmp_path / str(seed)).violations
        if violations:
            broken[seed] = violations[0]
    assert not broken
