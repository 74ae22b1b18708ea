#!/usr/bin/env bash
# Make the virtual environment and install Podling into it. $1 is the environment's directory, $2 the extras ("" or "[dev]").
set -euo pipefail
directory=$1 extras=${2:-}
python=""
for candidate in python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$candidate; break
  fi
done
[ -n "$python" ] || { echo "podling: Python 3.11 or newer is needed: install python3" >&2; exit 1; }
if [ ! -x "$directory/bin/pip" ]; then
  if ! "$python" -m venv "$directory" >/dev/null 2>&1; then
    rm -rf "$directory"
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
      echo "Installing python3-venv ..."
      { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y python3-venv; } >/dev/null 2>&1 || true
    fi
    "$python" -m venv "$directory" || { echo "podling: cannot make a virtual environment: install python3-venv" >&2; exit 1; }
  fi
fi
echo "Installing Podling into $directory ..."
# As a plain path entry: the default editable finder costs every start 20 ms.
"$directory/bin/pip" install --quiet --disable-pip-version-check --config-settings editable_mode=compat -e ".$extras"
"$directory/bin/python" -m compileall -q control agent
