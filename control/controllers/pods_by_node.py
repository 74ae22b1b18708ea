"""The index of Pods by node, for controllers that ask what runs where."""

from __future__ import annotations

from collections.abc import Iterable

from control.api.objects import Object
from control.api.pods import node_name_of

BY_NODE = "node"


def node_names(pod: Object) -> Iterable[str]:
    """The node a Pod is bound to, if any."""
    name = node_name_of(pod)
    return (name,) if name else ()
