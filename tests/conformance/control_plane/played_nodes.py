"""Nodes whose agent the test plays: Pods on them run at once and end at once, whatever their containers are."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from tests.cluster import Cluster
from tests.conformance.batch import Object
from tests.conformance.http_api import MERGE_PATCH, HttpApi

HEARTBEAT_SECONDS = 10.0
#: between looks at the Pods
TURN_SECONDS = 0.1
READY = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
CAPACITY = {"cpu": "8", "memory": "16Gi", "pods": "200", "ephemeral-storage": "100Gi"}


class PlayedNodes:
    """Registers nodes and reports what becomes of the Pods on them, from `start` to `stop`.

    A Pod whose container's image is `never` is left pending; a Pod with the annotation `stays` is not removed.
    """

    def __init__(self, cluster: Cluster, *names: str) -> None:
        self.names = names
        self._api = HttpApi(cluster)
        self._stopped = threading.Event()
        self._addresses = (f"10.244.{high}.{low}" for high, low in itertools.product(range(200, 250), range(2, 250)))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Register the nodes, wait until Pods may be scheduled to them, and play."""
        for name in self.names:
            metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
            status = {"capacity": CAPACITY, "allocatable": CAPACITY, "conditions": [READY]}
            self._api.create(
                "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}
            )
        self._thread.start()

    def stop(self) -> None:
        """Play no longer and remove the nodes."""
        self._stopped.set()
        self._thread.join()
        for name in self.names:
            self._api.delete(f"/api/v1/nodes/{name}")
        self._api.close()

    def _run(self) -> None:
        beat_at = 0.0
        while not self._stopped.wait(TURN_SECONDS):
            if time.monotonic() >= beat_at:
                self._beat()
                beat_at = time.monotonic() + HEARTBEAT_SECONDS
            for pod in self._api.get("/api/v1/pods")["items"]:
                if pod["spec"].get("nodeName") in self.names:
                    self._play(pod)

    def _beat(self) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for name in self.names:
            condition = READY | {"lastHeartbeatTime": now}
            self._api.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [condition]}})

    def _play(self, pod: Object) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if "deletionTimestamp" in metadata:
            if "stays" not in metadata.get("annotations", {}):
                options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
                self._api.request("DELETE", path, options)
        elif pod["status"].get("phase") == "Pending" and pod["spec"]["containers"][0]["image"] != "never":
            status = running_status(pod, next(self._addresses))
            self._api.request(
                "PATCH", f"{path}/status", {"metadata": {"uid": metadata["uid"]}, "status": status}, type=MERGE_PATCH
            )


def running_status(pod: Object, address: str) -> Object:
    """The status of a Pod all of whose containers run and are ready."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kept = [item for item in pod["status"].get("conditions", ()) if item["type"] == "PodScheduled"]
    true = ("Initialized", "PodReadyToStartContainers", "ContainersReady", "Ready")
    conditions = [*kept, *({"type": kind, "status": "True", "lastTransitionTime": now} for kind in true)]
    containers: list[dict[str, Any]] = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        for container in pod["spec"]["containers"]
    ]
    return {
        "phase": "Running",
        "startTime": now,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": conditions,
        "containerStatuses": containers,
    }
