"""How many Pods there should be, by the controllers of those there are. Pure.

A budget that is a share, or that bounds what may be missing, needs to know how many Pods are meant to be there: more
than there are while some are being replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from control.api.builtin_kinds import BUILTIN_KINDS, DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS
from control.api.kinds import Kind
from control.api.meta import controller_of, name_of, namespace_of, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.client.view import View
from control.controllers.scale import replicas_of

#: The kinds whose `spec.replicas` counts.
SCALED_KINDS = (REPLICATION_CONTROLLERS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS)


class UnknownScaleError(Exception):
    """The controller of a Pod cannot be counted; the text says why."""


def expected_scale(pods: Iterable[ReadOnlyObject], view: View) -> int:
    """The sum of what the controllers of the Pods want. A Pod that nobody controls counts for nothing.

    Raises UnknownScaleError.
    """
    scales: dict[str, int] = {}
    for pod in pods:
        reference = controller_of(pod)
        if reference is None:
            continue
        scaled = _find_scaled(pod, reference, view)
        scales[uid_of(scaled)] = replicas_of(scaled)
    return sum(scales.values())


def _find_scaled(pod: ReadOnlyObject, reference: Mapping[str, Any], view: View) -> Object:
    kind = _kind_of(reference)
    if kind not in SCALED_KINDS:
        if kind is not None:
            raise UnknownScaleError(f"{kind.plural}.{kind.group} does not implement the scale subresource")
        raise UnknownScaleError(f'found no controllers for pod "{name_of(pod)}"')
    found = _find(view, kind, reference, namespace_of(pod))
    if found is None:
        raise UnknownScaleError(f'found no controllers for pod "{name_of(pod)}"')
    owner = controller_of(found)
    if kind == REPLICA_SETS and owner is not None and _kind_of(owner) == DEPLOYMENTS:
        # While a rollout runs, several ReplicaSets share what the Deployment wants.
        return _find(view, DEPLOYMENTS, owner, namespace_of(pod)) or found
    return found


def _kind_of(reference: Mapping[str, Any]) -> Kind | None:
    """The built-in kind of a reference, whatever its version."""
    group = str(reference["apiVersion"]).rpartition("/")[0]
    return next((kind for kind in BUILTIN_KINDS if (kind.group, kind.kind) == (group, reference["kind"])), None)


def _find(view: View, kind: Kind, reference: Mapping[str, Any], namespace: str) -> Object | None:
    found = view.find(kind, reference["name"], namespace)
    return found if found is not None and uid_of(found) == reference["uid"] else None
