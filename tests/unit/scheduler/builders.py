"""Pods and nodes as the scheduler's tests need them."""

from __future__ import annotations

from typing import Any

from control.api.objects import Object
from control.scheduler.prepared import PreparedPod
from control.scheduler.snapshot import Snapshot


def make_node(
    name: str = "n1",
    *,
    labels: Any = None,
    taints: Any = None,
    unschedulable: bool = False,
    features: Any = None,
    **amounts: str,
) -> Object:
    allocatable = {
        "cpu": "4",
        "memory": "8Gi",
        "pods": "110",
        **{key.replace("_", "-"): v for key, v in amounts.items()},
    }
    spec: Object = {"taints": taints or []}
    if unschedulable:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
        "status": {"allocatable": allocatable, **({"declaredFeatures": features} if features else {})},
    }


def make_pod(
    name: str = "p", *, cpu: str = "", memory: str = "", host_port: int = 0, priority: int = 0, **spec: Any
) -> Object:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    container: Object = {"name": "c", "image": "nginx", "resources": {"requests": requests}}
    if host_port:
        container["ports"] = [{"containerPort": 80, "hostPort": host_port, "protocol": "TCP"}]
    status = spec.pop("status", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "d", "uid": f"uid-{name}"},
        "spec": {"containers": [container], "schedulerName": "default-scheduler", "priority": priority, **spec},
        "status": status,
    }


def prepare(name: str = "p", **fields: Any) -> PreparedPod:
    return PreparedPod(make_pod(name, **fields))


def make_snapshot(*nodes: Object) -> Snapshot:
    snapshot = Snapshot()
    for node in nodes:
        snapshot.put_node(node)
    return snapshot
