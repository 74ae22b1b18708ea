#!/usr/bin/env bash
# Make sure that there is a kubectl; on Debian and Ubuntu as root a missing one is installed (kubernetes-client).
set -euo pipefail
command -v kubectl >/dev/null && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "podling: no kubectl found: install it, see https://kubernetes.io/docs/tasks/tools/" >&2; exit 1
fi
echo "Installing kubernetes-client ..."
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
{ apt-get update && apt-get install -y --no-install-recommends kubernetes-client; } >"$log" 2>&1 || {
  tail -n 5 "$log" >&2; echo "podling: cannot install kubernetes-client: see $log" >&2; exit 1; }
rm -f "$log"
