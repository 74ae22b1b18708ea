"""The index of Pods by node, for controllers that ask what runs where."""

from __future__ import annotations

from collections.abc import Iterable

from control.api.builtin_kinds import PODS
from control.api.objects import Object
from control.api.pods import node_name_of
from control.client.informer import InformerFactory

BY_NODE = "node"


def index_pods_by_node(informers: InformerFactory) -> None:
    """Let the shared store of Pods answer what runs where."""
    informers.informer(PODS).store.add_index(BY_NODE, _node_names)


def _node_names(pod: Object) -> Iterable[str]:
    """The node a Pod is bound to, if any."""
    name = node_name_of(pod)
    return (name,) if name else ()
