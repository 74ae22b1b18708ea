#!/usr/bin/env bash
# Make sure that there is what the tests need beyond Podling: a recent kubectl and, for `all`, a C compiler. On Debian a
# missing kubectl is unpacked into the virtual environment from Debian 13, whose package runs on Debian 12 as well.
set -euo pipefail
. "$(dirname "$0")/machine.sh"
release=trixie
#: the machine's root directory; tests have one of their own
keyring=${PODLING_MACHINE_ROOT:-}/usr/share/keyrings/debian-archive-keyring.gpg

recent_kubectl() { python -c 'import sys, tests.cluster; sys.exit(not tests.cluster.oldest_and_newest())'; }

unpack_kubectl() { # DIRECTORY
  local scratch mirror options
  scratch=$(mktemp -d)
  # shellcheck disable=SC2064  # the directory of now
  trap "rm -rf '$scratch'" EXIT
  # shellcheck disable=SC2016  # apt's variable
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Component: main' 'Label: Debian' 2>/dev/null | head -n 1) || true
  mkdir -p "$scratch"/{parts,lists/partial,cache/archives/partial}
  echo "deb [signed-by=$keyring] ${mirror:-http://deb.debian.org/debian} $release main" >"$scratch/sources.list"
  options=(-o "Dir::Etc::sourcelist=$scratch/sources.list" -o "Dir::Etc::sourceparts=$scratch/parts"
    -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o "APT::Sandbox::User=$(id -un)")
  if ! apt "$scratch/log" "${options[@]}" update ||
    ! (cd "$scratch" && apt log "${options[@]}" download kubectl && dpkg-deb -x kubectl_*.deb root); then
    tail -n 5 "$scratch/log" >&2
    return
  fi
  install -D -m 755 "$scratch/root/usr/bin/kubectl" "$1/kubectl"
}

if [ "$1" = all ] && ! command -v gcc >/dev/null; then
  can_install || fail "the tests need a C compiler: install gcc"
  echo "Installing gcc ..."
  update_package_lists
  install_packages gcc libc6-dev
fi

if recent_kubectl; then exit 0; fi
if command -v apt-get >/dev/null && [ -f "$keyring" ]; then
  directory=$(dirname "$(command -v python)")
  echo "Unpacking the kubectl of Debian's $release into $directory ..."
  unpack_kubectl "$directory"
fi
recent_kubectl || fail "the tests need kubectl 1.31 or newer: install it, see https://kubernetes.io/docs/tasks/tools/"
