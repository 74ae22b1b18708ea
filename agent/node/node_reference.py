"""The node as Events of its agent name it."""

from __future__ import annotations

from control.api.objects import Object


def node_reference(name: str) -> Object:
    """By its name, which stands for its UID too: `kubectl describe node` looks for such (the kubelet's nodeRef)."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}
