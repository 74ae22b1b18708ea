"""`podling snapshot`: save the objects of a cluster to a file, and bring them back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control.cli.clusters import DEFAULT_NAME, ClusterName, DataDirectory, exclusive, get_cluster
from control.cli.failure import CommandError
from control.cli.supervisor_client import ask

snapshot_app = typer.Typer(help="Save and restore the objects of a cluster.", no_args_is_help=True)

SnapshotFile = Annotated[Path, typer.Argument(metavar="FILE", help="The snapshot.", show_default=False)]


@snapshot_app.command()
def save(file: SnapshotFile, name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """Write all objects of the cluster, as they are at one moment, to a file."""
    from control.storage.protocol import StorageError
    from control.storage.snapshot import save_snapshot

    directory, _ = get_cluster(name, data_dir)
    try:
        facts = save_snapshot(directory.store_file, file.expanduser().resolve())
    except StorageError as error:
        raise CommandError(str(error)) from error
    print(f"Saved {facts.objects} objects of cluster {name!r} at revision {facts.revision} to {file}.")


@snapshot_app.command()
def restore(file: SnapshotFile, name: ClusterName = DEFAULT_NAME, data_dir: DataDirectory = None) -> None:
    """Replace all objects of the cluster, which must be down, by those of a snapshot."""
    from control.storage.protocol import StorageError
    from control.storage.snapshot import restore_snapshot

    directory, _ = get_cluster(name, data_dir)
    with exclusive(directory):
        if ask(directory, "status") is not None:
            raise CommandError(f"cluster {name!r} is running", f"podling down --name {name} first")
        try:
            facts = restore_snapshot(file.expanduser().resolve(), directory.store_file)
        except StorageError as error:
            raise CommandError(str(error)) from error
    print(f"Restored {facts.objects} objects into cluster {name!r}, which goes on at revision {facts.revision}.")
    print(f"podling up --name {name} brings it back.")
