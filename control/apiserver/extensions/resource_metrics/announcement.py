"""The objects that announce metrics.k8s.io, as metrics-server installs them, but that the APIService is local."""

from __future__ import annotations

from typing import Any

from control.api.builtin_kinds import API_SERVICES, CLUSTER_ROLES
from control.api.kinds import Kind
from control.api.metrics_kinds import NODE_METRICS
from control.api.objects import Object, ReadOnlyObject

API_SERVICE_NAME = f"{NODE_METRICS.version}.{NODE_METRICS.group}"
ROLE_NAME = "system:aggregated-metrics-reader"
_LABELS = {"k8s-app": "metrics-server", "app.kubernetes.io/managed-by": "podling"}
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


def announcing_objects() -> list[tuple[Kind, Object]]:
    """The objects, in the order in which they are made: the last one says that all were made once."""
    return [(API_SERVICES, _api_service()), (CLUSTER_ROLES, _role())]


def is_local(api_service: ReadOnlyObject | None) -> bool:
    """Whether an APIService says that this server itself answers."""
    return api_service is not None and not (api_service.get("spec") or {}).get("service")


def is_own(obj: ReadOnlyObject) -> bool:
    """Whether an object is as this server made it, and no user's."""
    labels: Any = obj["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in _LABELS.items())


def _api_service() -> Object:
    return {
        "apiVersion": API_SERVICES.api_version,
        "kind": API_SERVICES.kind,
        "metadata": {"name": API_SERVICE_NAME, "labels": dict(_LABELS)},
        "spec": {
            "group": NODE_METRICS.group,
            "version": NODE_METRICS.version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }


def _role() -> Object:
    aggregated = {f"{_AGGREGATE}{role}": "true" for role in ("admin", "edit", "view")}
    rule = {"apiGroups": [NODE_METRICS.group], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}
    return {
        "apiVersion": CLUSTER_ROLES.api_version,
        "kind": CLUSTER_ROLES.kind,
        "metadata": {"name": ROLE_NAME, "labels": {**_LABELS, **aggregated}},
        "rules": [rule],
    }
