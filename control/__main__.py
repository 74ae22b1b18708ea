"""`python -m control run --state-dir DIR`: the control plane of one cluster."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Parse the arguments and run the control plane until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m control", description="The control plane of a Podling cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the API server, the controllers and the scheduler")
    run.add_argument("--state-dir", type=Path, required=True, help="the cluster's directory, made by `podling up`")
    run.add_argument("--lifeline", action="store_true", help="stop when standard input closes")
    arguments = parser.parse_args()

    from control.main import run_process

    return run_process(arguments.state_dir, lifeline=arguments.lifeline)


if __name__ == "__main__":
    sys.exit(main())
