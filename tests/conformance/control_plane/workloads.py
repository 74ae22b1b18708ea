"""Deployments, ReplicaSets and ReplicationControllers: made, read, waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cluster import wait_for
from tests.conformance.batch import Batch, Object, make_object


class Workloads:
    """Deployments, ReplicaSets and ReplicationControllers of one namespace."""

    def __init__(self, batch: Batch) -> None:
        self.api = batch.api
        self.pods = batch.path("pods")
        self.controllers = batch.path("replicationcontrollers")
        apps = f"/apis/apps/v1/namespaces/{batch.namespace}"
        self.replica_sets, self.deployments = f"{apps}/replicasets", f"{apps}/deployments"

    def selected(self, path: str, name: str) -> list[Object]:
        """Objects of a collection that belong to the test of this name."""
        return self.api.items(path, f"name={name}")

    def wait(self, path: str, condition: Callable[[Object], Any], what: str) -> Object:
        """Wait until the condition holds for the object; returns it."""
        found: list[Object] = []

        def holds() -> bool:
            found[:] = [self.api.get(path)]
            return bool(condition(found[0]))

        wait_for(holds, f"{path}: {what}")
        return found[0]

    def wait_ready(self, path: str, replicas: int) -> Object:
        """Wait until so many replicas are ready and no others are there."""
        wanted = {"readyReplicas": replicas, "replicas": replicas}

        def is_ready(item: Object) -> bool:
            seen = item["status"]
            current = seen.get("observedGeneration", 0) >= item["metadata"]["generation"]
            return current and {key: seen.get(key, 0) for key in wanted} == wanted

        return self.wait(path, is_ready, f"{replicas} replicas are ready")


def template(name: str, image: str = "nginx") -> Object:
    """A Pod template whose Pods carry the name as their label."""
    return {
        "metadata": {"labels": {"name": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": image}]},
    }


def make_controller(name: str, replicas: int) -> Object:
    """A ReplicationController."""
    spec = {"replicas": replicas, "selector": {"name": name}, "template": template(name)}
    return make_object("ReplicationController", name, labels={"name": name}, spec=spec)


def make_workload(kind: str, name: str, replicas: int, image: str = "nginx", **fields: Any) -> Object:
    """A Deployment or a ReplicaSet."""
    spec = {"replicas": replicas, "selector": {"matchLabels": {"name": name}}, "template": template(name, image)}
    return make_object(kind, name, labels={"name": name}, spec=spec | fields) | {"apiVersion": "apps/v1"}


def owners(item: Object) -> list[str]:
    """UIDs of an object's owners."""
    return [owner["uid"] for owner in item["metadata"].get("ownerReferences", ())]
