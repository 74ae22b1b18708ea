#!/usr/bin/env bash
# Make sure that there is a kubectl; on Debian and Ubuntu as root a missing one is installed (kubernetes-client).
set -euo pipefail
. "$(dirname "$0")/machine.sh"
if command -v kubectl >/dev/null; then exit 0; fi
can_install || fail "no kubectl found: install it, see https://kubernetes.io/docs/tasks/tools/"
echo "Installing kubernetes-client ..."
update_package_lists
install_packages kubernetes-client
