"""`python -m tests.simulation SEED [LAST]`: replay one seed with its trace, or try a range of them."""

from __future__ import annotations

import sys
import time

from tests.simulation.simulate import run_seed


def main(arguments: list[str]) -> int:
    """Return 1 if a property does not hold."""
    first = int(arguments[0])
    last = int(arguments[1]) if len(arguments) > 1 else first
    failed = 0
    for seed in range(first, last + 1):
        began = time.process_time()
        outcome = run_seed(seed, output=sys.stdout if first == last else None)
        failed += bool(outcome.violation)
        print(
            f"seed {seed}: {outcome.violation or 'all properties hold'} "
            f"({outcome.seconds:.0f} virtual seconds in {time.process_time() - began:.2f}, "
            f"revision {outcome.revision}, {outcome.lines} lines, {outcome.digest[:12]})"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
