#!/usr/bin/env bash
# Run the tests. `fast`: what needs no Docker Engine. `all`: that, then what needs one, file by file on both cores (a
# cluster for each), then what must have the machine for itself. Fails, never skips, when the engine cannot be had.
set -euo pipefail
scripts/test_tools.sh "${1:-all}"
python -m pytest tests -m "not docker" -n 2 --dist worksteal
if [ "${1:-all}" = all ]; then
  python -m pytest tests -m "docker and not alone" -n 2 --dist loadfile
  python -m pytest tests -m "docker and alone"
fi
