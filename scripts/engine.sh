#!/usr/bin/env bash
# Make sure that a Docker Engine answers. One that answers is left as it is. On Debian and Ubuntu as root a missing
# one is installed (docker.io and what it needs) and started, with systemd or without.
set -euo pipefail
. "$(dirname "$0")/machine.sh"
#: the machine's root directory; tests have one of their own
root=${PODLING_MACHINE_ROOT:-}
log=$root/var/log/dockerd.log

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
has_systemd() { [ -d "$root/run/systemd/system" ]; }

runs() { # PIDFILE NAME: whether the file names a process of that name that has not ended
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] || return 1
  awk -v name="$2" '/^Name:/ { n = $2 } /^State:/ { s = $2 } END { exit !(n == name && s != "Z") }' \
    "/proc/$pid/status" 2>/dev/null
}

packages() {
  echo docker.io iptables nftables iproute2 ca-certificates
  # From Debian 13 on the command is a package of its own.
  if apt-cache show docker-cli >/dev/null 2>&1; then echo docker-cli; fi
  # An engine that finds AppArmor in the kernel starts no container without its parser.
  if grep -qs Y "$root/sys/module/apparmor/parameters/enabled"; then echo apparmor; fi
}

install_engine() {
  can_install || fail "no Docker Engine is installed: see https://docs.docker.com/engine/install/"
  echo "Installing a Docker Engine ..."
  update_package_lists
  # shellcheck disable=SC2046  # one word for each package
  install_packages $(packages)
}

mount_cgroups() {
  if mountpoint -q "$root/sys/fs/cgroup"; then return; fi
  if ! command -v cgroupfs-mount >/dev/null && can_install; then
    update_package_lists
    install_packages cgroupfs-mount
  fi
  # What of it does not do, dockerd says.
  if command -v cgroupfs-mount >/dev/null; then cgroupfs-mount >>"$log" 2>&1 || true; fi
}

start_dockerd() {
  mkdir -p "$root/var/log"
  # Without systemd nobody may have done it.
  mount_cgroups
  # Pid files of a machine that was switched off name nobody, or somebody else, and would keep dockerd from starting.
  runs "$root/var/run/docker/containerd/containerd.pid" containerd ||
    rm -f "$root/var/run/docker/containerd/containerd.pid"
  runs "$root/var/run/docker.pid" dockerd || rm -f "$root/var/run/docker.pid"
  setsid dockerd </dev/null >>"$log" 2>&1 9>&- &
  dockerd=$!
}

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
if [ "$(id -u)" -ne 0 ]; then
  fail "no Docker Engine answers $(id -un): run as root, which Podling's nodes need, and which starts or installs one"
fi

mkdir -p "$root/run/lock"
one_at_a_time "$root/run/lock/podling-engine.lock"
if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
  install_engine
fi
if answers; then exit 0; fi

echo "Starting dockerd ..."
dockerd=""
if has_systemd; then
  systemctl start docker || fail "cannot start docker.service: see journalctl -u docker"
elif ! runs "$root/var/run/docker.pid" dockerd; then
  start_dockerd
fi
for _ in $(seq 1 600); do
  ended=""
  if [ -n "$dockerd" ] && ! kill -0 "$dockerd" 2>/dev/null; then ended=yes; fi
  if answers; then exit 0; fi
  if [ -n "$ended" ]; then break; fi
  sleep 0.1
done
fail "dockerd did not start: $(tail -n 1 "$log" 2>/dev/null || echo 'it left no log')"
