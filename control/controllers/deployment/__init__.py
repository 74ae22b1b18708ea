"""The Deployment controller: ReplicaSets per template, rolled over within bounds."""

from __future__ import annotations

from collections.abc import Iterable

from control.api.builtin_kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from control.api.meta import controller_of, object_key
from control.api.objects import Object
from control.client.controller import Controller, Watch
from control.client.view import View
from control.controllers.deployment.reconcile import deployment_keys_of_replica_set, on_failure, reconcile


def _own_key(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    return (object_key(new or old or {}),)


def _keys_of_replica_set(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    keys = set(deployment_keys_of_replica_set(new, view)) if new is not None else set()
    return keys | set(deployment_keys_of_replica_set(old, view)) if old is not None else keys


def _keys_of_vanished_pod(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """Recreate waits for the last old Pod to be gone; nothing else about Pods matters here."""
    reference = controller_of(old) if old is not None and new is None else None
    if old is None or reference is None or reference["kind"] != REPLICA_SETS.kind:
        return ()
    replica_set = view.find(REPLICA_SETS, reference["name"], old["metadata"]["namespace"])
    return deployment_keys_of_replica_set(replica_set, view) if replica_set is not None else ()


DEPLOYMENT = Controller(
    name="deployment",
    watches=(
        Watch(kind=DEPLOYMENTS, keys=_own_key),
        Watch(kind=REPLICA_SETS, keys=_keys_of_replica_set),
        Watch(kind=PODS, keys=_keys_of_vanished_pod),
    ),
    reconcile=reconcile,
    on_failure=on_failure,
)
