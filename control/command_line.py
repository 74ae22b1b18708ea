"""The command line of the control plane's processes: `run` is all of it for one cluster of `podling up`; `scheduler`
and `controllers` are one part each, for any Kubernetes API server, with the flags of kube-scheduler and
kube-controller-manager.
"""

from __future__ import annotations

import argparse
import ipaddress
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from control.api.durations import parse_duration

if TYPE_CHECKING:
    from control.leading import Election
    from control.part_process import ControllersSettings

NODE_MASK_BITS_MAX = 30


def _parse_boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def _parse_duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# As Go's flags: `--flag`, `--flag=true`, `--flag=false`.
_BOOLEAN: dict[str, Any] = {
    "type": _parse_boolean, "nargs": "?", "const": True, "default": True, "metavar": "true|false",
}  # fmt: skip
_DURATION: dict[str, Any] = {"type": _parse_duration, "metavar": "TIME"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run one command until it is told to stop; returns the exit status."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.command == "run":
        from control.main import run_process

        return run_process(options.state_dir, lifeline=options.lifeline)
    from control.part_process import run_controller_manager, run_scheduler

    try:
        election = read_election(options)
        if options.command == "scheduler":
            return run_scheduler(options.kubeconfig, election)
        return run_controller_manager(options.kubeconfig, election, read_controllers_settings(options))
    except (ValueError, OSError) as error:
        print(f"podling: {error}", file=sys.stderr)
        return 1


def make_parser() -> argparse.ArgumentParser:
    """The parser of `python -m control`."""
    parser = argparse.ArgumentParser(prog="python -m control", description="The control plane of a Podling cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the API server, the controllers and the scheduler")
    run.add_argument("--state-dir", type=Path, required=True, help="the cluster's directory, made by `podling up`")
    run.add_argument("--lifeline", action="store_true", help="stop when standard input closes")
    scheduler = commands.add_parser("scheduler", help="run the scheduler alone, in kube-scheduler's place")
    _add_part_options(scheduler, "kube-scheduler")
    controllers = commands.add_parser("controllers", help="run the controllers alone, as kube-controller-manager does")
    _add_part_options(controllers, "kube-controller-manager")
    _add_controllers_options(controllers)
    return parser


def _add_part_options(parser: argparse.ArgumentParser, lease: str) -> None:
    add = parser.add_argument
    add("--kubeconfig", type=Path, required=True, help="how to reach the API server, and as whom")
    add("--leader-elect", **_BOOLEAN, help="work only while holding the Lease, so that several may run")
    add("--leader-elect-resource-name", default=lease, metavar="NAME", help="name of the Lease")
    add("--leader-elect-resource-namespace", default="kube-system", metavar="NAME", help="its namespace")
    add("--leader-elect-lease-duration", **_DURATION, default=15.0, help="others take over when it is this old")
    add("--leader-elect-renew-deadline", **_DURATION, default=10.0, help="a leader that cannot renew it stops by then")
    add("--leader-elect-retry-period", **_DURATION, default=2.0, help="time between tries to acquire or renew it")


def _add_controllers_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--controllers", default="*", metavar="LIST", help="which to run: `*` all, `name` this one, `-name` all but it")
    add("--use-service-account-credentials", **_BOOLEAN, help="let each act as its ServiceAccount, not as one user")
    add("--root-ca-file", type=Path, metavar="FILE", help="authority to publish (default: the kubeconfig's)")
    add("--cluster-cidr", default="10.244.0.0/16", metavar="RANGE", help="range of all Pods, cut into nodes' ranges")
    add("--node-cidr-mask-size", type=int, default=24, metavar="BITS", help="prefix length of a node's range")
    add("--profile", choices=("default", "upstream"), default="default", help="timings")
    add("--node-monitor-period", **_DURATION, help="time between looks at the nodes (default: the profile's)")
    add("--node-monitor-grace-period", **_DURATION, help="a node silent for longer is lost (default: the profile's)")


def read_election(options: argparse.Namespace) -> Election:
    """What the flags of leader election say. Raises ValueError for timings that cannot be."""
    from control.client.leader_election import ElectionTimings
    from control.leading import Election

    return Election(
        name=options.leader_elect_resource_name,
        enabled=options.leader_elect,
        namespace=options.leader_elect_resource_namespace,
        timings=ElectionTimings(
            lease_seconds=options.leader_elect_lease_duration,
            renew_deadline_seconds=options.leader_elect_renew_deadline,
            retry_seconds=options.leader_elect_retry_period,
        ),
    )


def read_controllers_settings(options: argparse.Namespace) -> ControllersSettings:
    """What the controllers' flags say. Raises ValueError for what cannot be, OSError for a file that is not there."""
    from control.controllers.context import options_of_profile
    from control.part_process import ControllersSettings, choose_controllers

    cluster_cidr = ipaddress.IPv4Network(options.cluster_cidr)
    if not cluster_cidr.prefixlen <= options.node_cidr_mask_size <= NODE_MASK_BITS_MAX:
        raise ValueError(f"--node-cidr-mask-size must be from {cluster_cidr.prefixlen} to {NODE_MASK_BITS_MAX}")
    chosen = options_of_profile(
        options.profile,
        pod_cidr=str(cluster_cidr),
        ca_pem=options.root_ca_file.read_text() if options.root_ca_file else "",
    )
    timings = chosen.node_timings
    if options.node_monitor_period is not None:
        timings = replace(timings, monitor_period_seconds=options.node_monitor_period)
    if options.node_monitor_grace_period is not None:
        timings = replace(timings, grace_seconds=options.node_monitor_grace_period)
    return ControllersSettings(
        options=replace(chosen, node_mask_bits=options.node_cidr_mask_size, node_timings=timings),
        factories=choose_controllers([name.strip() for name in options.controllers.split(",") if name.strip()]),
        uses_service_accounts=options.use_service_account_credentials,
    )
