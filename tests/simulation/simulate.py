"""One seed from its beginning to its end: a cluster starts, is used and hurt, is left alone, and must be in order."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tests.simulation.cluster import Sabotage, SimulatedCluster
from tests.simulation.determinism import determinism
from tests.simulation.faults import FAULTS, run_faults
from tests.simulation.first_objects import first_objects
from tests.simulation.judge import PropertyViolatedError
from tests.simulation.loop import VirtualLoop
from tests.simulation.quiescence import find_disorder
from tests.simulation.repair import repair
from tests.simulation.simulated_process import SimulatedProcess
from tests.simulation.trace import TraceLogHandler
from tests.simulation.workload import run_workload

#: How long everything may take to be in order again: longer than the longest back-off (300 s) and what follows it.
CONVERGENCE_SECONDS_MAX = 900.0
LOOK_SECONDS = 2.0
#: What was killed gets this many turns to be torn down.
TURNS_OF_THE_END = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much happens. `kinds_of_faults` are all, unless some are named."""

    nodes: int = 3
    operations: int = 8
    faults: int = 6
    pause_seconds: float = 1.5
    kinds_of_faults: tuple[str, ...] = tuple(FAULTS)

    @classmethod
    def of_seed(cls, seed: int) -> Plan:
        """A plan of its own for each seed: some quiet, some crowded."""
        draw = random.Random(f"{seed}/plan")
        return cls(
            nodes=draw.choice([1, 2, 3, 3]),
            operations=draw.randrange(3, 11),
            faults=draw.randrange(2, 9),
            pause_seconds=draw.choice([0.3, 1.0, 2.0]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run was like. `violation` is empty if all properties held."""

    seed: int
    digest: str
    lines: int
    seconds: float
    revision: int
    violation: str
    tail: str


def run_seed(
    seed: int, *, plan: Plan | None = None, output: TextIO | None = None, sabotage: Sabotage | None = None
) -> Outcome:
    """Run one seed. The same seed does the same, down to the last line of its trace."""
    first_objects()  # made before this seed's randomness begins
    with tempfile.TemporaryDirectory(prefix="podling-simulation-") as directory, determinism(seed):
        return _run_in_loop(seed, plan or Plan.of_seed(seed), Path(directory), output, sabotage)


def _run_in_loop(seed: int, plan: Plan, directory: Path, output: TextIO | None, sabotage: Sabotage | None) -> Outcome:
    """Run the seed. Whatever it made is garbage when this returns, before the end of its determinism collects it."""
    loop = VirtualLoop()
    try:
        who = SimulatedProcess(loop, "world", place="user")
        cluster = SimulatedCluster(loop, seed=seed, directory=directory, output=output, sabotage=sabotage)
        with _logs(cluster):
            return loop.run_until_complete(who.start(_run(cluster, seed, plan)))
    finally:
        loop.close()


async def _run(cluster: SimulatedCluster, seed: int, plan: Plan) -> Outcome:
    violation = ""
    story = asyncio.ensure_future(_tell(cluster, plan))
    try:
        while not story.done():
            await asyncio.wait({story}, timeout=1.0)
            for failure in cluster.loop.failures:
                cluster.judge.require(False, "nothing_unforeseen_happens", failure)
            cluster.judge.raise_violations()
        story.result()
    except PropertyViolatedError as error:
        violation = str(error)
    finally:
        story.cancel()
        cluster.stop()
        for _ in range(TURNS_OF_THE_END):
            await asyncio.sleep(0)
    return Outcome(
        seed=seed,
        digest=cluster.trace.digest(),
        lines=cluster.trace.count,
        seconds=cluster.loop.seconds,
        revision=cluster.history.revision,
        violation=violation,
        tail=cluster.trace.tail(),
    )


async def _tell(cluster: SimulatedCluster, plan: Plan) -> None:
    await cluster.start(nodes=plan.nodes)
    await asyncio.gather(
        run_workload(cluster, operations=plan.operations, pause_seconds=plan.pause_seconds),
        run_faults(
            cluster,
            kinds=plan.kinds_of_faults,
            count=plan.faults,
            pause_seconds=plan.pause_seconds * max(1.0, plan.operations / (plan.faults or 1)),
        ),
    )
    cluster.trace.write("world", "nothing goes wrong any more")
    await repair(cluster)
    await _wait_for_order(cluster)


async def _wait_for_order(cluster: SimulatedCluster) -> None:
    deadline = cluster.loop.seconds + CONVERGENCE_SECONDS_MAX
    disorder = await find_disorder(cluster)
    while disorder and cluster.loop.seconds < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        disorder = await find_disorder(cluster)
    cluster.judge.require(not disorder, "everything_converges", disorder)
    cluster.judge.raise_violations()


@contextmanager
def _logs(cluster: SimulatedCluster) -> Iterator[None]:
    """What the programs log goes into the trace, and nowhere else."""

    def who() -> str:
        process = SimulatedProcess.of()
        return process.name if process is not None else "world"

    def unforeseen(text: str) -> None:
        cluster.judge.require(False, "nothing_unforeseen_happens", f"{who()} logged an error: {text}")

    handler = TraceLogHandler(cluster.trace, who, unforeseen)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers, root.level = [handler], logging.WARNING
    try:
        yield
    finally:
        root.handlers, root.level = before, level
