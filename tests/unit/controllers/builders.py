"""Objects for controller tests, as the server would have stored them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from control.api.objects import Object

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def make_object(api_version: str, kind: str, name: str, namespace: str | None = "default", **fields: Any) -> Object:
    """Make an object with a uid and a resourceVersion; `metadata` in `fields` is merged in."""
    number = next(_numbers)
    metadata: Object = {
        "name": name,
        "uid": f"{kind.lower()}-{name}-{number}",
        "resourceVersion": str(number),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
    }
    if namespace is not None:
        metadata["namespace"] = namespace
    metadata.update(fields.pop("metadata", {}))
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def make_deployment(replicas: int = 3, *, image: str = "one", **spec: Any) -> Object:
    """A Deployment `web` with RollingUpdate 25%/25%."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return make_object(
        "apps/v1",
        "Deployment",
        "web",
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            **spec,
        },
        status={},
    )


def own(owner: Object, *, controller: bool = True, block: bool = True) -> Object:
    """An owner reference to an object."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    if controller:
        reference["controller"] = True
    if block:
        reference["blockOwnerDeletion"] = True
    return reference


def make_pod(name: str, owner: Object | None = None, *, ready: bool = False, node: str = "", **fields: Any) -> Object:
    """A Pod with label app=web."""
    metadata: Object = {"labels": {"app": "web"}, **fields.pop("metadata", {})}
    if owner is not None:
        metadata["ownerReferences"] = [own(owner)]
    spec = {"containers": [{"name": "c"}], **fields.pop("spec", {})}
    if node:
        spec["nodeName"] = node
    status: Object = {"phase": "Running" if node or ready else "Pending"}
    if ready:
        status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T01:00:00Z"}]
    status.update(fields.pop("status", {}))
    return make_object("v1", "Pod", name, metadata=metadata, spec=spec, status=status, **fields)
