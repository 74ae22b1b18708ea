"""The agent's flags about what confines Pods, named as the kubelet's."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent.config import SECCOMP_PROFILE_ROOT


def add_security_flags(run: argparse.ArgumentParser) -> None:
    """Unsafe sysctls and seccomp profiles."""
    run.add_argument(
        "--allowed-unsafe-sysctls",
        type=_sysctl_patterns,
        default=(),
        metavar="NAME,...",
        help="sysctls that Pods may have beside the safe ones; NAME* is a prefix",
    )
    run.add_argument(
        "--seccomp-profile-root",
        type=Path,
        default=SECCOMP_PROFILE_ROOT,
        help="directory of the seccomp profiles that Pods name",
    )
    run.add_argument(
        "--seccomp-default",
        action="store_true",
        help="confine containers that name no seccomp profile by Docker's (default: by none)",
    )


def _sysctl_patterns(text: str) -> tuple[str, ...]:
    """Judged here, so that a pattern that can never hold stops the agent before it does anything."""
    from agent.runtime.sysctls import SysctlAllowlist, SysctlPatternError

    patterns = tuple(pattern for pattern in text.split(",") if pattern)
    try:
        SysctlAllowlist.of(patterns, "")
    except SysctlPatternError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return patterns
