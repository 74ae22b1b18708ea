"""A snapshot of what a cluster could leave on a host, to compare before `up` with after `delete`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.cluster import docker, run, wait_for


def take_snapshot(*directories: Path) -> dict[str, list[str]]:
    """Containers, volumes, networks, links, routes, rules, mounts, processes, cgroups, files; sorted."""
    files = [str(path) for directory in directories for path in directory.rglob("*")]
    return {
        "containers": sorted(docker("ps", "-aq", "--no-trunc").split()),
        "volumes": sorted(docker("volume", "ls", "-q").split()),
        "networks": sorted(docker("network", "ls", "-q", "--no-trunc").split()),
        "links": sorted(os.listdir("/sys/class/net")),
        "addresses": _lines("ip", "-o", "address", "show"),
        "routes": _lines("ip", "route", "show", "table", "all"),
        "nft": _lines("nft", "-s", "list", "ruleset"),
        "iptables": _lines("iptables-save"),
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "processes": _processes(),
        "cgroups": podling_cgroups(Path("/sys/fs/cgroup")),
        "files": sorted(files),
    }


def take_first_snapshot(*directories: Path) -> dict[str, list[str]]:
    """The snapshot to compare with, once nothing changes by itself: the kernel may still tear down what others had."""
    found = take_snapshot(*directories)

    def is_settled() -> bool:
        nonlocal found
        before, found = found, take_snapshot(*directories)
        return found == before

    wait_for(is_settled, "the host rests")
    return found


def difference(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """What appeared (+) or vanished (-), by kind; empty when the snapshots are equal."""
    changes = {}
    for kind, lines in before.items():
        appeared = [f"+ {line}" for line in after[kind] if line not in lines]
        vanished = [f"- {line}" for line in lines if line not in after[kind]]
        if appeared or vanished:
            changes[kind] = appeared + vanished
    return changes


def podling_cgroups(root: Path) -> list[str]:
    """Podling's cgroups and those in them: `podling/…`, or `podling.slice/…` where systemd makes them."""
    tops = [top for name in ("podling", "podling.slice") for top in root.glob(f"**/{name}")]
    return sorted(str(directory) for top in tops for directory, _, _ in os.walk(top))


def _lines(*command: str) -> list[str]:
    output = run(command, check=False).stdout
    # Counters, time stamps and lifetimes change by themselves.
    kept = (re.sub(r"\[\d+:\d+\]|valid_lft \S+ preferred_lft \S+", "", line).rstrip() for line in output.splitlines())
    return sorted(line for line in kept if line and not line.startswith("#"))


def _processes() -> list[str]:
    """Command lines of all processes that have to do with Podling."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(r"-m (control|agent)\b|control\.cli", command) and "pytest" not in command:
            found.append(f"{entry.name} {command}")
    return sorted(found)
