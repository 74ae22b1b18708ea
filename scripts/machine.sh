# What the scripts share that prepare a machine. To be sourced.
# shellcheck shell=bash

#: how long somebody else may keep us from installing, in seconds
APT_SECONDS_MAX=${APT_SECONDS_MAX:-600}

fail() { echo "podling: $1" >&2; exit 1; }

can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

# Whoever prepares the same thing waits until it is done, so that it finds it done. $1 is the file that stands for it.
one_at_a_time() {
  if command -v flock >/dev/null; then
    exec 9>>"$1"
    flock 9
  fi
}

# apt waits for dpkg's lock if it is told to, but not for that of the package lists, which a machine that was just
# switched on fetches by itself.
apt() { # LOG ARGUMENTS...
  local log=$1 end=$((SECONDS + APT_SECONDS_MAX)) told=""
  shift
  until LC_ALL=C DEBIAN_FRONTEND=noninteractive \
    apt-get -o "DPkg::Lock::Timeout=$APT_SECONDS_MAX" -o Acquire::Retries=3 "$@" >"$log" 2>&1 </dev/null 9>&-; do
    if ! grep -q 'Could not get lock' "$log" || [ "$SECONDS" -ge "$end" ]; then return 1; fi
    [ -n "$told" ] || echo "Waiting for another program that installs packages ..." >&2
    told=yes
    sleep 1
  done
}

update_package_lists() {
  local log
  log=$(mktemp)
  # One source of several that cannot be had is no reason to stop: the packages may come from the others.
  apt "$log" update || true
  rm -f "$log"
}

install_packages() { # PACKAGE...
  local log
  log=$(mktemp)
  apt "$log" install -y --no-install-recommends "$@" || { tail -n 5 "$log" >&2; fail "cannot install $*: see $log"; }
  rm -f "$log"
}
