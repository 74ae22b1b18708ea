#!/usr/bin/env bash
# Make sure that a Docker Engine answers. One that answers is left as it is. On Debian and Ubuntu as root a missing
# one is installed (docker.io, iptables, nftables) and started, with systemd or without.
set -euo pipefail

fail() { echo "podling: $1" >&2; exit 1; }
answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

if [ "$(uname -s)" = Linux ]; then
  kernel=$(uname -r); major=${kernel%%.*}; rest=${kernel#*.}; minor=${rest%%[.-]*}
  if [ "$major" -lt 4 ] || { [ "$major" -eq 4 ] && [ "$minor" -lt 19 ]; }; then
    fail "Linux $kernel is too old, Podling needs 4.19: update the kernel"
  fi
fi

if command -v docker >/dev/null && answers; then exit 0; fi
if [ -n "${DOCKER_HOST:-}" ]; then
  fail "the Docker Engine at $DOCKER_HOST does not answer: start it, or unset DOCKER_HOST"
fi
socket=/var/run/docker.sock
if [ -S $socket ] && [ ! -w $socket ]; then
  fail "no permission on $socket: add yourself to the group docker (sudo usermod -aG docker $USER, then log in again)"
fi
if [ "$(id -u)" -ne 0 ]; then
  fail "no Docker Engine answers: install Docker (https://docs.docker.com/engine/install/) and start it, or run as root on Debian or Ubuntu"
fi
if ! command -v dockerd >/dev/null; then
  command -v apt-get >/dev/null || fail "no Docker Engine is installed: see https://docs.docker.com/engine/install/"
  echo "Installing docker.io, iptables and nftables ..."
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  { apt-get update && apt-get install -y --no-install-recommends docker.io iptables nftables iproute2 ca-certificates; } \
    >"$log" 2>&1 || { tail -n 5 "$log" >&2; fail "cannot install docker.io: see $log"; }
  rm -f "$log"
fi
if answers; then exit 0; fi

echo "Starting dockerd ..."
if [ -d /run/systemd/system ]; then
  systemctl start docker || fail "cannot start docker.service: see journalctl -u docker"
else
  if ! mountpoint -q /sys/fs/cgroup && [ -x /usr/bin/cgroupfs-mount ]; then cgroupfs-mount; fi
  if ! pidof dockerd >/dev/null; then
    mkdir -p /var/log
    # A pid file of a machine that was switched off would keep dockerd from starting.
    rm -f /var/run/docker.pid
    setsid dockerd </dev/null >>/var/log/dockerd.log 2>&1 &
  fi
fi
for _ in $(seq 1 300); do
  if answers; then exit 0; fi
  sleep 0.1
done
fail "dockerd did not start: $(tail -n 1 /var/log/dockerd.log 2>/dev/null || echo 'it left no log')"
