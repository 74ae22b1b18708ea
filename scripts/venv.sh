#!/usr/bin/env bash
# Make the virtual environment and install Podling into it. $1 is the environment's directory, $2 the extras ("" or "[dev]").
set -euo pipefail
. "$(dirname "$0")/machine.sh"
directory=$1 extras=${2:-}
python=""
for candidate in python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$candidate; break
  fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed: install python3"
one_at_a_time pyproject.toml
# Half of one, or one whose Python is gone or which was made at another place, is made anew.
if ! "$directory/bin/pip" --version >/dev/null 2>&1; then
  if [ -d "$directory" ] && [ ! -e "$directory/pyvenv.cfg" ]; then
    rmdir "$directory" 2>/dev/null || fail "$directory is in the way: it is no virtual environment"
  fi
  rm -rf "$directory"
  if ! "$python" -m venv "$directory" >/dev/null 2>&1; then
    rm -rf "$directory"
    if can_install; then
      echo "Installing python3-venv ..."
      update_package_lists
      install_packages python3-venv
    fi
    "$python" -m venv "$directory" || fail "cannot make a virtual environment: install python3-venv"
  fi
fi
echo "Installing Podling into $directory ..."
# As a plain path entry: the default editable finder costs every start 20 ms.
"$directory/bin/pip" install --quiet --disable-pip-version-check --config-settings editable_mode=compat -e ".$extras"
"$directory/bin/python" -m compileall -q control agent
