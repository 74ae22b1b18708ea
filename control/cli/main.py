"""The `podling` command: one file per subcommand, put together here."""

from __future__ import annotations

import typer

from control.cli.down import delete, down
from control.cli.failure import CommandError, exit_with
from control.cli.kubeconfig import kubeconfig
from control.cli.logs import logs
from control.cli.node import node_app
from control.cli.snapshot import snapshot_app
from control.cli.status import status
from control.cli.up import up
from control.cli.version import version

app = typer.Typer(
    name="podling",
    help="Real Kubernetes Pods on nothing but a Docker Engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (up, down, delete, status, kubeconfig, logs, version):
    app.command()(command)
app.add_typer(node_app, name="node")
app.add_typer(snapshot_app, name="snapshot")


def main() -> None:
    """Run the command line; a known failure is one line and exit status 1."""
    try:
        app()
    except CommandError as error:
        exit_with(error)
