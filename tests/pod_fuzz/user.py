"""What users do to Pods: they make, change, debug and delete them, and publish the images that Pods wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from control.api.builtin_kinds import PODS
from control.api.objects import Object
from control.api.pods import is_mirror_pod, qos_class
from control.client.client import PatchType
from tests.pod_fuzz.life_promises import LifePromises
from tests.pod_fuzz.node import FuzzNode
from tests.pod_fuzz.specs import draw_ephemeral, draw_pod, draw_resources


class PodUser:
    """Users of the API. `trace` is told what they make."""

    def __init__(self, node: FuzzNode, life: LifePromises, random: Random, trace: Callable[[str], None]) -> None:
        self._node = node
        self._life = life
        self._random = random
        self._trace = trace
        self._pods = 0
        self._debuggers = 0

    def acts(self) -> list[Callable[[], Awaitable[None]]]:
        """All that they do, the more often the more often it is named."""
        acts = [self.create, self._delete, self._delete, self._change_image, self._resize, self._label, self._debug]
        return [*acts, self._open_gate, self._shorten, self._force, self._resize_pod, self.publish]

    def all_pods(self) -> list[Object]:
        """What they have made; mirrors of static Pods are not theirs."""
        return [pod for pod in self._node.api.pods() if not is_mirror_pod(pod)]

    async def _any_pod(self) -> Object | None:
        pods = self.all_pods()
        return self._random.choice(pods) if pods else None

    async def create(self) -> None:
        """Another Pod."""
        self._pods += 1
        pod = draw_pod(self._random, f"pod-{self._pods}")
        self._trace(f"spec {pod['spec']}")
        await self._node.client.create(PODS, pod)

    async def _delete(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            grace = self._random.choice((None, None, 1, 3, 20))
            if grace is None and not pod["spec"]["terminationGracePeriodSeconds"]:
                self._life.lives[pod["metadata"]["uid"]].forced = True
            name = pod["metadata"]["name"]
            await self._node.client.delete(PODS, name, namespace="default", grace_period_seconds=grace)

    async def delete_in_calm(self, name: str) -> None:
        """With time enough."""
        await self._node.client.delete(PODS, name, namespace="default", grace_period_seconds=10)

    async def _force(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            self._life.lives[pod["metadata"]["uid"]].forced = True
            name = pod["metadata"]["name"]
            await self._node.client.delete(PODS, name, namespace="default", grace_period_seconds=0)

    async def _patch(self, pod: Object, spec: Object) -> None:
        name = pod["metadata"]["name"]
        await self._node.client.patch(PODS, name, {"spec": spec}, namespace="default", type=PatchType.MERGE)

    async def _change_containers(self, change: Callable[[Object], Object]) -> None:
        pod = await self._any_pod()
        if pod is None:
            return
        containers = [dict(item) for item in pod["spec"]["containers"]]
        number = self._random.randrange(len(containers))
        containers[number] = change(containers[number])
        await self._patch(pod, {"containers": containers})

    async def _change_image(self) -> None:
        image = self._random.choice(("serve:2", "pulled:1", "done:1", "absent:1", "broken:1"))
        await self._change_containers(lambda container: {**container, "image": image})

    async def _resize(self) -> None:
        """The API server lets no resize change the class of the Pod."""
        pod = await self._any_pod()
        if pod is not None:
            containers = [{**item, "resources": draw_resources(self._random)} for item in pod["spec"]["containers"]]
            resized = {**pod, "spec": {**pod["spec"], "containers": containers}}
            if qos_class(resized) == qos_class(pod):
                await self._patch(pod, {"containers": containers})

    async def _resize_pod(self) -> None:
        """The same of what all containers have together, of a Pod that says so."""
        pod = await self._any_pod()
        if pod is not None and pod["spec"].get("resources"):
            resources = {**pod["spec"]["resources"], **draw_resources(self._random)}
            resized = {**pod, "spec": {**pod["spec"], "resources": resources}}
            if qos_class(resized) == qos_class(pod):
                await self._patch(pod, {"resources": resources})

    async def publish(self) -> None:
        """The image that some Pods wait for."""
        self._node.engine.publish()

    async def _label(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            metadata = {"labels": {"stamp": str(self._node.loop.seconds)}}
            await self._node.client.patch(PODS, pod["metadata"]["name"], {"metadata": metadata}, namespace="default")

    async def _debug(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            self._debuggers += 1
            debugger = draw_ephemeral(self._random, f"debugger-{self._debuggers}")
            await self._patch(pod, {"ephemeralContainers": [*pod["spec"].get("ephemeralContainers", ()), debugger]})

    async def _shorten(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            before = pod["spec"].get("activeDeadlineSeconds", 100)
            await self._patch(pod, {"activeDeadlineSeconds": self._random.randrange(1, before + 1)})

    async def _open_gate(self) -> None:
        pod = await self._any_pod()
        if pod is not None and pod.get("status"):
            condition = {"type": "example.com/gate", "status": self._random.choice(("True", "True", "False"))}
            body = {"status": {"conditions": [condition]}}
            key = ("", "pods", "default", pod["metadata"]["name"])
            self._node.api._patch(key, self._node.api.objects[key], body)
