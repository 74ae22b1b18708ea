"""The scale of an object: how many Pods it asks for. The same for every kind with `spec.replicas`."""

from __future__ import annotations

from control.api.objects import ReadOnlyObject


def replicas_of(obj: ReadOnlyObject) -> int:
    """`spec.replicas`; absent means 1."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)
