"""The controllers, as kube-controller-manager has them. `CONTROLLERS` is the catalogue: one entry is one controller.

A controller is a file (or a folder) with a pure `reconcile`; `context.py` says what it is built from and runs them.
"""

from __future__ import annotations

from collections.abc import Mapping

from control.controllers.context import Factory, runtime_factory
from control.controllers.deployment import DEPLOYMENT
from control.controllers.replica_set import REPLICA_SET, REPLICATION

CONTROLLERS: Mapping[str, Factory] = {
    "deployment": runtime_factory(DEPLOYMENT, "deployment-controller"),
    "replicaset": runtime_factory(REPLICA_SET, "replicaset-controller"),
    "replicationcontroller": runtime_factory(REPLICATION, "replication-controller"),
}
