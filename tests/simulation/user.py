"""A user with kubectl: writes until there is an answer, and knows which refusals are no fault of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from control.api.builtin_kinds import PODS
from control.api.errors import ApiError
from control.api.kinds import Kind
from control.api.objects import Object
from control.client.client import Client
from control.client.transport import ServerUnavailableError
from tests.simulation.judge import Judge

NAMESPACE = "default"
#: Gone, exists already or changed meanwhile, evicted too fast, a store that cannot write: what happens to users.
FORESEEN = (404, 409, 429, 503)
TRIES_MAX = 6


class User:
    """Somebody who works with the cluster."""

    def __init__(self, client: Client, random: Random, judge: Judge) -> None:
        self.client = client
        self.random = random
        self._judge = judge

    async def insist(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Call until the server answers. None if it refused for a foreseen reason, or never answered."""
        for _ in range(TRIES_MAX):
            try:
                return await call()
            except ApiError as error:
                if error.code == 503:
                    await asyncio.sleep(1.0)
                    continue
                foreseen = error.code in FORESEEN
                self._judge.require(foreseen, "the_api_takes_what_is_valid", f"{error.code} {error}")
                return None
            except ServerUnavailableError:
                await asyncio.sleep(0.2 + self.random.random())
        return None

    async def create(self, kind: Kind, obj: Object) -> Object | None:
        """Create an object of the namespace."""
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        return await self.insist(lambda: self.client.create(kind, obj, namespace=NAMESPACE))

    async def patch(self, kind: Kind, name: str, patch: Object, *, subresource: str = "") -> Object | None:
        """Merge a patch into an object."""
        namespace = NAMESPACE if kind.namespaced else None
        return await self.insist(
            lambda: self.client.patch(kind, name, patch, namespace=namespace, subresource=subresource)
        )

    async def delete(self, kind: Kind, name: str, **options: Any) -> Object | None:
        """Delete an object."""
        namespace = NAMESPACE if kind.namespaced else None
        return await self.insist(lambda: self.client.delete(kind, name, namespace=namespace, **options))

    async def evict(self, pod_name: str) -> Object | None:
        """Evict a Pod, as drain does."""
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod_name, "namespace": NAMESPACE},
        }
        return await self.insist(
            lambda: self.client.create_subresource(PODS, pod_name, "eviction", eviction, namespace=NAMESPACE)
        )

    async def names(self, kind: Kind) -> list[str]:
        """The names of all objects of a kind, nodes or of the namespace."""
        namespace = NAMESPACE if kind.namespaced else None
        answer = await self.insist(lambda: self.client.list(kind, namespace=namespace))
        return sorted(item["metadata"]["name"] for item in (answer or {}).get("items") or ())

    async def choose(self, kind: Kind) -> str | None:
        """One of them, None if there is none."""
        names = await self.names(kind)
        return self.random.choice(names) if names else None

    async def find_pods(self, node_name: str) -> list[Object]:
        """The Pods of a node."""
        answer = await self.insist(lambda: self.client.list(PODS, field_selector=f"spec.nodeName={node_name}"))
        return list((answer or {}).get("items") or ())


def deployment(name: str, *, replicas: int, image: str, strategy: str, grace_seconds: int) -> Object:
    """A Deployment whose Pods the Service of the same name selects."""
    container = {
        "name": "web",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 5},
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "strategy": {"type": strategy},
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": grace_seconds},
            },
        },
    }


def service(name: str) -> Object:
    """A Service of a Deployment's Pods."""
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}}


def bare_pod(name: str, *, images: list[str], restart_policy: str) -> Object:
    """A Pod of its own."""
    containers = [
        {"name": f"c{number}", "image": image, "imagePullPolicy": "IfNotPresent"} for number, image in enumerate(images)
    ]
    spec = {"containers": containers, "restartPolicy": restart_policy, "terminationGracePeriodSeconds": 3}
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
