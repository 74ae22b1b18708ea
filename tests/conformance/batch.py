"""Many Pods at once: created together and watched together, so that a requirement costs no waiting of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cluster import Cluster, wait_for
from tests.conformance.http_api import HttpApi

Object = dict[str, Any]

BUSYBOX = "podling-test/busybox:1"


class Batch:
    """The objects of one module in a namespace of their own."""

    def __init__(self, cluster: Cluster, api: HttpApi, namespace: str) -> None:
        self.cluster = cluster
        self.api = api
        self.namespace = namespace

    def path(self, resource: str) -> str:
        """The path of a collection of the core group, or of an object: `pods`, `pods/a/status`."""
        return f"/api/v1/namespaces/{self.namespace}/{resource}"

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace; returns what it printed."""
        output: str = self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin, check=check).stdout
        return output

    def create(self, *objects: Object) -> None:
        """Create all of them in one call."""
        body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("create", "-f", "-", stdin=json.dumps(body))

    def get(self, *arguments: str) -> Any:
        """`kubectl get -o json` in the namespace."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def pods(self) -> dict[str, Object]:
        """All Pods by name."""
        return {pod["metadata"]["name"]: pod for pod in self.api.get(self.path("pods"))["items"]}

    def pod(self, name: str) -> Object:
        """One Pod."""
        return self.api.get(self.path(f"pods/{name}"))

    def wait(self, condition: Callable[[Object], Any], *names: str, what: str, seconds_max: float = 180) -> None:
        """Wait until the condition holds for every named Pod at once."""

        def missing() -> list[str]:
            pods = self.pods()
            return [name for name in names if name not in pods or not condition(pods[name])]

        try:
            wait_for(lambda: not missing(), what, seconds_max=seconds_max)
        except AssertionError:
            pods = self.pods()
            found = {name: (pods.get(name) or {}).get("status") for name in missing()}
            raise AssertionError(f"not within {seconds_max} s: {what}: {json.dumps(found, indent=1)}") from None

    def logs(self, pod: str, *arguments: str) -> str:
        """The log of a Pod by `kubectl logs`."""
        return self.kubectl("logs", pod, *arguments)

    def events(self, pod: str) -> list[Object]:
        """The Events about a Pod."""
        events: list[Object] = self.api.get(self.path("events"), fieldSelector=f"involvedObject.name={pod}")["items"]
        return events


def message_of(batch: Batch, pod: str, reason: str) -> str:
    """The message of a Pod's Event of that reason. Events are written beside what they tell of, so it is waited for."""

    def find() -> list[str]:
        return [event["message"] for event in batch.events(pod) if event["reason"] == reason]

    messages: list[str] = wait_for(find, f"an Event {reason} about {pod}")
    return messages[0]


def make_pod(name: str, *containers: Object, **spec: Any) -> Object:
    """A Pod that runs once, stops quickly and takes its image from the engine."""
    filled = [
        {"name": f"c{index}" if index else "main", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent"} | container
        for index, container in enumerate(containers)
    ]
    body = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **spec, "containers": filled}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"name": name}}, "spec": body}


def make_object(kind: str, name: str, *, labels: dict[str, str] | None = None, **fields: Any) -> Object:
    """An object of the core group."""
    metadata: Object = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def shell(script: str, **fields: Any) -> Object:
    """A container that runs a script."""
    return {"command": ["sh", "-c", script], **fields}


def is_finished(pod: Object) -> bool:
    """True when a Pod has succeeded or failed."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_ready(pod: Object) -> bool:
    """True when a Pod's condition Ready holds."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
