"""200 seeds: whatever happens, the properties hold. `make sim SEED=…` replays one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.simulate import Plan, run_seed

SEEDS = range(1, 201)
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("seed", SEEDS)
def test_all_properties_hold(seed: int) -> None:
    outcome = run_seed(seed)
    replay = f"seed {seed}: {outcome.violation}\nreplay it: make sim SEED={seed}\n\n{outcome.tail}"
    assert not outcome.violation, replay


@pytest.mark.parametrize("seed", range(1, 6))
def test_clocks_that_jump_and_a_machine_that_sleeps_evict_and_restart_nothing(seed: int) -> None:
    clocks = ("a clock is stepped", "the machine is suspended")
    told = io.StringIO()
    plan = Plan(nodes=3, operations=0, faults=6, pause_seconds=4.0, kinds_of_faults=clocks)
    outcome = run_seed(seed, plan=plan, output=told)
    assert not outcome.violation, outcome.tail
    assert "binding -> done" in told.getvalue()
    before_the_end = told.getvalue().partition("nothing goes wrong any more")[0]
    assert "DELETE /api/v1/namespaces/default/pods" not in before_the_end
    assert " event kill " not in before_the_end
    assert " event die " not in before_the_end


def test_a_seed_does_the_same_again() -> None:
    assert run_seed(SEEDS[0]).digest == run_seed(SEEDS[0]).digest
    assert run_seed(SEEDS[0]).digest != run_seed(SEEDS[1]).digest


def test_a_seed_does_the_same_in_another_process_whose_strings_hash_otherwise() -> None:
    code = "from tests.simulation.simulate import run_seed; print(run_seed(3).digest, run_seed(4).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1
