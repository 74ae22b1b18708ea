"""`python -m tests.pod_fuzz SEED [LAST]`: replay one seed with its trace, or try a range of them."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.pod_fuzz.story import run_seed


def main(arguments: list[str]) -> int:
    """Return 1 if a promise is not kept."""
    first = int(arguments[0])
    last = int(arguments[1]) if len(arguments) > 1 else first
    failed = 0
    began = time.process_time()
    for seed in range(first, last + 1):
        with tempfile.TemporaryDirectory(prefix="podling-pods-") as directory:
            outcome = run_seed(seed, Path(directory), output=sys.stdout if first == last else None)
        failed += bool(outcome.violations)
        if outcome.violations:
            print(f"seed {seed}: {outcome.violations[0]} ({len(outcome.violations)} in all)", flush=True)
    print(f"{failed} of {last + 1 - first} seeds failed, {time.process_time() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
