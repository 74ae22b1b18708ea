"""Where clusters live on this machine, and the lock that lets one command at a time change a cluster."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from control.cli.failure import CommandError
from control.config import ClusterConfig, ClusterDirectory, ConfigError

ClusterName = Annotated[str, typer.Option("--name", help="Name of the cluster.")]
DataDirectory = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where clusters keep their state (default: the user's data directory)."),
]
DEFAULT_NAME = "dev"


def data_directory(chosen: Path | None) -> Path:
    """The data directory: the option, PODLING_DATA_DIR, or the platform's user data directory."""
    if chosen is not None:
        return chosen.expanduser().resolve()
    if from_environment := os.environ.get("PODLING_DATA_DIR"):
        return Path(from_environment).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_data_dir("podling"))


def cluster_directory(name: str, chosen: Path | None) -> ClusterDirectory:
    """Files of the named cluster; it need not exist."""
    return ClusterDirectory(data_directory(chosen) / "clusters" / name)


def load_cluster(directory: ClusterDirectory) -> ClusterConfig | None:
    """Read the configuration, None if there is none. Raises CommandError if it is damaged."""
    try:
        return directory.load()
    except ConfigError as error:
        detail = str(error).splitlines()[0]
        raise CommandError(
            f"cannot read {directory.config_file} ({detail})", "mend or remove it, or choose another --name"
        ) from error


def get_cluster(name: str, chosen: Path | None) -> tuple[ClusterDirectory, ClusterConfig]:
    """The directory and configuration of a cluster that must exist. Raises CommandError."""
    directory = cluster_directory(name, chosen)
    config = load_cluster(directory)
    if config is None:
        known = ", ".join(item.name for item in list_clusters(chosen)) or "none"
        raise CommandError(f"there is no cluster {name!r} (known: {known})", "podling up makes one")
    return directory, config


def list_clusters(chosen: Path | None) -> list[ClusterConfig]:
    """All readable clusters in the data directory, by name."""
    found = []
    for path in sorted((data_directory(chosen) / "clusters").glob("*/cluster.json")):
        try:
            config = ClusterDirectory(path.parent).load()
        except ConfigError:
            continue
        if config is not None:
            found.append(config)
    return found


def ports_of_others(name: str, chosen: Path | None) -> set[int]:
    """Ports that the other clusters of the data directory hold, running or not."""
    others = [item for item in list_clusters(chosen) if item.name != name]
    return {item.port for item in others} | {node.port for item in others for node in item.nodes}


@contextmanager
def exclusive(directory: ClusterDirectory) -> Iterator[None]:
    """Hold the cluster's lock: `up`, `down`, `delete` and `node` exclude one another. Raises CommandError."""
    locks = directory.root.parent.parent / "locks"
    locks.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = locks / f"{directory.root.name}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"another podling command is changing the cluster {directory.root.name!r}", "wait for it to end"
            ) from None
        yield
        path.unlink(missing_ok=True)
