"""What an agent that was told only its kubeconfig and its node's name takes for the rest."""

from __future__ import annotations

import os
import re
from pathlib import Path

CLUSTER_NAME_LENGTH_MAX = 30
UNNAMED_CLUSTER = "kubernetes"
#: `podling up` calls its entries in kubeconfig files so
OWN_PREFIX = "podling-"


def default_cluster(kubeconfig_name: str) -> str:
    """The cluster's name in labels and links, made of what its kubeconfig calls it.

    A cluster of `podling up` keeps its own name: its nodes share what is the cluster's on a host.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", kubeconfig_name.lower()).removeprefix(OWN_PREFIX).strip("-")
    return plain[:CLUSTER_NAME_LENGTH_MAX].strip("-") or UNNAMED_CLUSTER


def default_state_dir(cluster: str, node_name: str) -> Path:
    """The node's directory below Podling's data directory, which PODLING_DATA_DIR names."""
    if from_environment := os.environ.get("PODLING_DATA_DIR"):
        data = Path(from_environment).expanduser().resolve()
    else:
        import platformdirs

        data = Path(platformdirs.user_data_dir("podling"))
    return data / "agents" / cluster / node_name
