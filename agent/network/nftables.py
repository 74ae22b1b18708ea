"""The cluster's nft table, and the accept rules in Docker's chain: rendered purely, applied in one transaction.

All nodes of a cluster on one host share the table. Docker sets the policy of FORWARD to DROP and offers DOCKER-USER for
exceptions: the two rules there, marked with the cluster's comment, are the only ones outside the table.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from typing import Any

from agent.network.protocol import NetworkError

COMMAND_SECONDS_MAX = 30
DOCKER_CHAIN, FORWARD_CHAIN = "DOCKER-USER", "FORWARD"


def table_name(cluster: str) -> str:
    """Name of the cluster's table, and the comment of its rules elsewhere."""
    return f"podling-{cluster}"


def render_masquerade(cluster: str, cluster_cidr: str) -> str:
    """What leaves the Pod range for elsewhere takes the host's address. Replaces this chain only."""
    table = table_name(cluster)
    return (
        f"add table ip {table}\n"
        f"add chain ip {table} outbound {{ type nat hook postrouting priority srcnat; policy accept; }}\n"
        f"flush chain ip {table} outbound\n"
        f"add rule ip {table} outbound ip saddr {cluster_cidr} ip daddr != {cluster_cidr} masquerade\n"
    )


def render_removal(cluster: str) -> str:
    """Removes the table whether or not it exists: `add` first, so that `delete` cannot fail."""
    table = table_name(cluster)
    return f"add table ip {table}\ndelete table ip {table}\n"


def forward_rules(cluster: str, cluster_cidr: str) -> list[list[str]]:
    """The rules, as iptables arguments, that let Pod traffic through Docker's FORWARD policy."""
    comment = ["-m", "comment", "--comment", table_name(cluster), "-j", "ACCEPT"]
    return [["-s", cluster_cidr, *comment], ["-d", cluster_cidr, *comment]]


def apply_ruleset(text: str) -> None:
    """Apply a ruleset as one transaction. Raises NetworkError with nft's words."""
    _run(["nft", "-f", "-"], text)


def list_map(cluster: str, name: str) -> dict[str, Any]:
    """A map of the cluster's table in nft's JSON; empty when there is none of that name. Raises NetworkError."""
    if not _succeeds(["nft", "list", "map", "ip", table_name(cluster), name]):
        return {}
    listing: dict[str, Any] = json.loads(_run(["nft", "-j", "list", "map", "ip", table_name(cluster), name]))
    return listing


def ensure_forwarding(cluster: str, cluster_cidr: str) -> None:
    """Insert the accept rules where they are missing. Without iptables on the host nobody set a policy with it."""
    chain = _forward_chain()
    if chain is None:
        return
    for rule in forward_rules(cluster, cluster_cidr):
        if not _succeeds(["iptables", "-w", "-C", chain, *rule]):
            _run(["iptables", "-w", "-I", chain, *rule])


def remove_forwarding(cluster: str) -> None:
    """Delete the accept rules, known by their comment, as often as they are there, in either chain.

    Docker may have made its chain, or lost it, since the rules were inserted.
    """
    if shutil.which("iptables") is None:
        return
    for chain in (DOCKER_CHAIN, FORWARD_CHAIN):
        for rule in _own_rules(cluster, chain):
            _succeeds(["iptables", "-w", "-D", *rule])


def _own_rules(cluster: str, chain: str) -> list[list[str]]:
    """The cluster's rules in a chain as iptables arguments, starting with the chain."""
    listing = subprocess.run(
        ["iptables", "-w", "-S", chain], capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
    )
    rules = [shlex.split(line) for line in listing.stdout.splitlines()]
    return [rule[1:] for rule in rules if rule[0] == "-A" and table_name(cluster) in rule]


def _forward_chain() -> str | None:
    if shutil.which("iptables") is None:
        return None
    return DOCKER_CHAIN if _succeeds(["iptables", "-w", "-n", "-L", DOCKER_CHAIN]) else FORWARD_CHAIN


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=COMMAND_SECONDS_MAX, check=False).returncode == 0


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
        )
    except FileNotFoundError as error:
        raise NetworkError(f"cannot set firewall rules: {command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NetworkError(f"cannot set firewall rules: {command[0]} did not finish") from error
    if done.returncode:
        raise NetworkError(f"cannot set firewall rules: {command[0]}: {done.stderr.strip()}")
    return done.stdout
