#!/usr/bin/env bash
# Run the tests. `fast`: what needs no Docker Engine, in parallel. `all`: that, then what needs one, one by one
# (they share the engine, the host's routes and two cores). Fails, never skips, when the engine cannot be had.
set -euo pipefail
python -m pytest tests -m "not docker" -n 2 --dist worksteal
if [ "${1:-all}" = all ]; then
  python -m pytest tests -m docker
fi
