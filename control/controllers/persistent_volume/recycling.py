"""Recycle: a Pod empties the volume that a claim has left, and then the volume serves the next one.

The Pod, its name and its deadline are upstream's (pkg/volume/plugins.go and recyclerclient, v1.36). Its image is
another, which is small and often on an engine already, and so is its command: not every busybox has `find -delete`.
"""

from __future__ import annotations

from control.api.meta import name_of
from control.api.objects import Object, ReadOnlyObject
from control.api.quantity import quantity_value

NAMESPACE = "default"
IMAGE = "busybox"
NAME_PREFIX = "recycler-for-"
_SCRUB = 'test -e /scrub && rm -rf /scrub/..?* /scrub/.[!.]* /scrub/* && test -z "$(ls -A /scrub)" || exit 1'
#: type of volume → (its fields that the Pod needs, seconds at least)
_SOURCES = {"hostPath": (("path",), 60), "nfs": (("server", "path"), 300)}
_SECONDS_PER_GIB = 30


def recycler_pod(volume: ReadOnlyObject) -> Object | None:
    """Return the Pod that empties the volume; None for a type of volume that cannot be emptied."""
    spec = volume["spec"]
    type_name = next((name for name in _SOURCES if spec.get(name)), None)
    if type_name is None:
        return None
    fields, seconds_min = _SOURCES[type_name]
    gibibytes = quantity_value((spec.get("capacity") or {}).get("storage", "0")) >> 30
    container = {
        "name": "pv-recycler",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh"],
        "args": ["-c", _SCRUB],
        "volumeMounts": [{"name": "vol", "mountPath": "/scrub"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": recycler_name(volume), "namespace": NAMESPACE},
        "spec": {
            "activeDeadlineSeconds": max(seconds_min, gibibytes * _SECONDS_PER_GIB),
            "restartPolicy": "Never",
            "volumes": [{"name": "vol", type_name: {field: spec[type_name][field] for field in fields}}],
            "containers": [container],
        },
    }


def recycler_name(volume: ReadOnlyObject) -> str:
    """Return the name of the Pod, by which it is known again: there is one for each volume."""
    return f"{NAME_PREFIX}{name_of(volume)}"


def recycled_volume(pod: ReadOnlyObject) -> str:
    """Return the name of the volume that a Pod empties; empty for another Pod."""
    is_recycler = pod["metadata"].get("namespace") == NAMESPACE and name_of(pod).startswith(NAME_PREFIX)
    return name_of(pod).removeprefix(NAME_PREFIX) if is_recycler else ""
