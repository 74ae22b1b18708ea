"""One seed: a node, a few Pods, a user and a hostile world; then calm, an account of the end, and deletion."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TextIO

from agent.pods.rejection import Rejection
from agent.pods.resize import PendingResize
from agent.runtime.protocol import ContainerRecord, RuntimeFailure
from control.api.builtin_kinds import PODS
from control.api.errors import ApiError
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import qos_class
from control.client.client import PatchType
from control.client.transport import ServerUnavailableError
from tests.pod_fuzz.end_promises import EndPromises
from tests.pod_fuzz.life_promises import LifePromises
from tests.pod_fuzz.node import FuzzConnection, FuzzNode
from tests.pod_fuzz.specs import draw_ephemeral, draw_pod, draw_resources
from tests.pod_fuzz.status_promises import StatusPromises
from tests.simulation.loop import VirtualLoop

#: After the last fault an agent may still wait out a retry, a relist or a hung call.
RECOVERY_SECONDS = 75.0
#: Longer than the longest back-off, grace period and deadline drawn.
CALM_SECONDS = 700.0
DELETION_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed; no violation is an empty list."""

    violations: list[str]
    seconds: float


class Story:
    """Tells one seed."""

    def __init__(self, seed: int, directory: Path, loop: VirtualLoop, output: TextIO | None) -> None:
        self.violations: list[str] = []
        self.random = Random(seed)
        self.node = FuzzNode(directory, loop, self.random)
        self._loop = loop
        self._output = output
        self._disturbed_until = 0.0
        self._pods = 0
        self._debuggers = 0
        records: dict[str, ContainerRecord] = {}
        self.life = LifePromises(self.require, self.node.clock.now, records, self.node.probes)
        self.life.is_disturbed = lambda: self._loop.seconds < self._disturbed_until
        self._statuses = StatusPromises(self.require, records, self.node.probes)
        self.node.rejection = _refuse
        self.node.engine.watcher = self._on_engine
        self.node.engine.on_signal = self._on_signal
        self.node.api.on_commit = self._on_commit
        self.node.api.on_status = self._on_status

    def require(self, holds: object, name: str, message: str) -> None:
        """Note a promise that was not kept."""
        if not holds:
            self.violations.append(f"{name}: {message}")
            self._trace(f"VIOLATION {name}: {message}")

    # --- what is seen -------------------------------------------------------------------------------------------------

    def _trace(self, text: str) -> None:
        if self._output is not None:
            print(f"{self._loop.seconds:9.3f} {text}", file=self._output)

    def _on_engine(self, action: str, record: ContainerRecord) -> None:
        self._trace(f"engine {action} {record.name} {record.id[:6]} code={record.exit_code}")
        self.life.on_event(action, record)

    def _on_signal(self, record: ContainerRecord, signal: str) -> None:
        self._trace(f"signal {signal} {record.name} {record.id[:6]}")
        self.life.on_signal(record, signal)

    def _on_commit(self, event: str, old: Object | None, pod: Object) -> None:
        for record in self.node.engine.records():
            self.life.records[record.id] = record
        self._trace(f"api {event} {pod['metadata']['name']} {_shown(pod)}")
        self.life.on_commit(event, pod)
        if old is not None and event == "MODIFIED" and (old.get("status") or {}) != (pod.get("status") or {}):
            self._statuses.judge(old, pod)

    def _on_status(self, pod: Object, changed: bool, body: Any) -> None:
        life = self.life.lives[pod["metadata"]["uid"]]
        life.writes += 1
        said_again = self.life.is_disturbed()
        self.require(changed or said_again, "every_write_says_something", f"{pod['metadata']['name']}: {body}")

    # --- the plot -----------------------------------------------------------------------------------------------------

    async def tell(self) -> None:
        """All of it."""
        node = self.node
        node.boot()
        for _ in range(self.random.choice((1, 1, 2, 3))):
            await self._create()
        acts = self._acts()
        for _ in range(self.random.randrange(0, 14)):
            await asyncio.sleep(self.random.choice((0.01, 0.05, 0.2, 1.0, 3.0, 11.0, 40.0)) * self.random.random())
            act = self.random.choice(acts)
            self._trace(f"act {act.__name__.strip('_')}")
            for pod in list(self.life.lives.values()):
                pod.causes += 1
            await self._try(act)
        self._calm()
        await asyncio.sleep(CALM_SECONDS)
        end = EndPromises(self.require, node, self.life, self._trace)
        await end.judge_order()
        for pod in await self._all_pods():
            await self._try(lambda name=pod["metadata"]["name"]: self._delete_in_calm(name))
        await asyncio.sleep(DELETION_SECONDS)
        await end.judge_emptiness()
        self.require(not node.logs.unexpected, "no_error_is_unexpected", "\n".join(node.logs.unexpected[:1]))
        # A killed agent's tasks may be destroyed while they still wait.
        failures = [failure for failure in self._loop.failures if "was destroyed" not in failure]
        self.require(not failures, "no_task_fails_unseen", str(failures[:1]))

    async def _try(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except (ApiError, ServerUnavailableError) as error:
            self._trace(f"refused: {error}")

    def _acts(self) -> list[Callable[[], Awaitable[None]]]:
        users = [self._create, self._delete, self._delete, self._change_image, self._resize, self._label, self._debug]
        users += [self._open_gate, self._shorten, self._force]
        worlds = [self._exit_container, self._exit_container, self._exit_sandbox, self._remove_container]
        worlds += [self._restart_agent, self._restart_agent, self._break_events, self._lose_events, self._double_events]
        worlds += [self._no_room, self._remove_dead_containers]
        worlds += [self._engine_errors, self._engine_hangs, self._api_down, self._evict, self._volumes_fail]
        return users + worlds

    def _disturb(self, seconds: float = 0.0) -> None:
        self._disturbed_until = max(self._disturbed_until, self._loop.seconds + seconds + RECOVERY_SECONDS)

    def _calm(self) -> None:
        node = self.node
        node.faults.error_rate, node.faults.is_down, node.api.is_down = 0.0, False, False
        node.faults.resume()
        FuzzConnection.loses_events = FuzzConnection.doubles_events = False
        node.volumes.failure, node.pending_resize = "", None
        self._trace("calm")

    # --- the user -----------------------------------------------------------------------------------------------------

    async def _all_pods(self) -> list[Object]:
        return [item for key, item in sorted(self.node.api.objects.items()) if key[1] == "pods"]

    async def _any_pod(self) -> Object | None:
        pods = await self._all_pods()
        return self.random.choice(pods) if pods else None

    async def _create(self) -> None:
        self._pods += 1
        pod = draw_pod(self.random, f"pod-{self._pods}")
        self._trace(f"spec {pod['spec']}")
        await self.node.client.create(PODS, pod)

    async def _delete(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            grace = self.random.choice((None, None, 1, 3, 20))
            if grace is None and not pod["spec"]["terminationGracePeriodSeconds"]:
                self.life.lives[pod["metadata"]["uid"]].forced = True
            name = pod["metadata"]["name"]
            await self.node.client.delete(PODS, name, namespace="default", grace_period_seconds=grace)

    async def _delete_in_calm(self, name: str) -> None:
        await self.node.client.delete(PODS, name, namespace="default", grace_period_seconds=10)

    async def _force(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            self.life.lives[pod["metadata"]["uid"]].forced = True
            name = pod["metadata"]["name"]
            await self.node.client.delete(PODS, name, namespace="default", grace_period_seconds=0)

    async def _patch(self, pod: Object, spec: Object) -> None:
        name = pod["metadata"]["name"]
        await self.node.client.patch(PODS, name, {"spec": spec}, namespace="default", type=PatchType.MERGE)

    async def _change_containers(self, change: Callable[[Object], Object]) -> None:
        pod = await self._any_pod()
        if pod is None:
            return
        containers = [dict(item) for item in pod["spec"]["containers"]]
        number = self.random.randrange(len(containers))
        containers[number] = change(containers[number])
        await self._patch(pod, {"containers": containers})

    async def _change_image(self) -> None:
        image = self.random.choice(("serve:2", "pulled:1", "done:1", "absent:1", "broken:1"))
        await self._change_containers(lambda container: {**container, "image": image})

    async def _resize(self) -> None:
        """The API server lets no resize change the class of the Pod."""
        pod = await self._any_pod()
        if pod is not None:
            containers = [{**item, "resources": draw_resources(self.random)} for item in pod["spec"]["containers"]]
            resized = {**pod, "spec": {**pod["spec"], "containers": containers}}
            if qos_class(resized) == qos_class(pod):
                await self._patch(pod, {"containers": containers})

    async def _label(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            metadata = {"labels": {"stamp": str(self._loop.seconds)}}
            await self.node.client.patch(PODS, pod["metadata"]["name"], {"metadata": metadata}, namespace="default")

    async def _debug(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            self._debuggers += 1
            debugger = draw_ephemeral(self.random, f"debugger-{self._debuggers}")
            await self._patch(pod, {"ephemeralContainers": [*pod["spec"].get("ephemeralContainers", ()), debugger]})

    async def _shorten(self) -> None:
        pod = await self._any_pod()
        if pod is not None:
            before = pod["spec"].get("activeDeadlineSeconds", 100)
            await self._patch(pod, {"activeDeadlineSeconds": self.random.randrange(1, before + 1)})

    async def _open_gate(self) -> None:
        pod = await self._any_pod()
        if pod is not None and pod.get("status"):
            condition = {"type": "example.com/gate", "status": self.random.choice(("True", "True", "False"))}
            body = {"status": {"conditions": [condition]}}
            key = ("", "pods", "default", pod["metadata"]["name"])
            self.node.api._patch(key, self.node.api.objects[key], body)

    # --- the world ----------------------------------------------------------------------------------------------------

    def _any_record(self, *, sandbox: bool) -> ContainerRecord | None:
        running = [one for one in self.node.engine.running() if ("_POD_" in one.name) == sandbox]
        return self.random.choice(running) if running else None

    async def _exit_container(self) -> None:
        record = self._any_record(sandbox=False)
        if record is not None:
            code = self.random.choice((0, 1, 42, 137))
            oom_killed = code == 137 and self.random.random() < 0.5
            self.node.engine.exit_container(record.id, exit_code=code, oom_killed=oom_killed)

    async def _exit_sandbox(self) -> None:
        record = self._any_record(sandbox=True)
        if record is not None:
            self.node.engine.exit_container(record.id, exit_code=137)

    async def _remove_container(self) -> None:
        """Somebody's `docker rm --force`."""
        records = self.node.engine.records()
        if records:
            self.life.is_outside = True
            await self.node.engine.remove_container(self.random.choice(records).id)
            self.life.is_outside = False

    async def _restart_agent(self) -> None:
        self._disturb(2.0)
        self.node.kill()
        for life in self.life.lives.values():
            # A node that is under pressure no more lets a Pod live that its former agent had begun to evict.
            life.is_spared = life.evicted and life.ended_at is None
        await asyncio.sleep(self.random.random() * 2)
        self.node.boot()

    async def _break_events(self) -> None:
        self._disturb()
        self.node.engine.break_events()

    async def _lose_events(self) -> None:
        """For a while; the safety net is the periodic list."""
        await self._for_a_while(lambda on: setattr(FuzzConnection, "loses_events", on))

    async def _double_events(self) -> None:
        await self._for_a_while(lambda on: setattr(FuzzConnection, "doubles_events", on))

    async def _engine_errors(self) -> None:
        await self._for_a_while(lambda on: setattr(self.node.faults, "error_rate", 0.2 if on else 0.0))

    async def _engine_hangs(self) -> None:
        faults = self.node.faults
        await self._for_a_while(lambda on: faults.hang(self._loop) if on else faults.resume())

    async def _api_down(self) -> None:
        def switch(on: bool) -> None:
            self.node.api.is_down = on
            self.node.api.break_watches()

        await self._for_a_while(switch)

    async def _volumes_fail(self) -> None:
        await self._for_a_while(lambda on: setattr(self.node.volumes, "failure", "no volume" if on else ""))

    async def _no_room(self) -> None:
        """Resizes wait."""
        pending = PendingResize(reason="Deferred", message="Node didn't have enough resource: cpu")
        await self._for_a_while(lambda on: setattr(self.node, "pending_resize", pending if on else None))

    async def _remove_dead_containers(self) -> None:
        """What a node does that is short of disk."""
        if hasattr(self.node, "workers"):
            with suppress(RuntimeFailure, TimeoutError):
                await asyncio.wait_for(self.node.workers.remove_dead_containers(), timeout=5)

    async def _for_a_while(self, switch: Callable[[bool], Any]) -> None:
        seconds = self.random.choice((0.1, 1.0, 10.0)) * self.random.random()
        self._disturb(seconds)
        switch(True)
        self._loop.call_later(seconds, switch, False)

    async def _evict(self) -> None:
        pod = await self._any_pod()
        if pod is None or not hasattr(self.node, "workers"):
            return
        uid = pod["metadata"]["uid"]
        if uid not in {one["metadata"]["uid"] for one in self.node.workers.evictable_pods()}:
            return
        self.life.lives[uid].evicted = True
        removes = self.random.random() < 0.5
        grace = self.random.choice((None, 1.0))
        self.node.workers.fail(
            uid,
            Rejection(
                reason="Evicted",
                message="The node was low on resource: memory.",
                grace_seconds=grace,
                disruption="The node was low on resource: memory.",
                removes_containers=removes,
            ),
        )


def _refuse(pod: ReadOnlyObject) -> Rejection | None:
    refused = "refused" in pod["metadata"]["labels"]
    return Rejection(reason="OutOfcpu", message="Node didn't have enough resource: cpu") if refused else None


def _shown(pod: Object) -> str:
    status = pod.get("status") or {}
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    states = {
        item["name"]: f"{item['state']} last={item.get('lastState')} n={item['restartCount']} ready={item.get('ready')}"
        for field in lists
        for item in status.get(field) or ()
    }
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or ()}
    metadata = pod["metadata"]
    deleting = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    return f"{deleting} {status.get('phase')} {status.get('reason', '')} {conditions} {states}"


async def _end_all() -> None:
    """Let no task outlive its loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait(others, timeout=60)


def run_seed(seed: int, directory: Path, output: TextIO | None = None) -> Outcome:
    """Tell a seed from its beginning to its end."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    story = Story(seed, directory, loop, output)
    agent_logger = logging.getLogger("agent")
    agent_logger.addHandler(story.node.logs)
    propagate, agent_logger.propagate = agent_logger.propagate, False
    try:
        loop.run_until_complete(story.tell())
    except Exception as error:
        story.violations.append(f"the_story_ends: {type(error).__name__}: {error}")
        if output is not None:
            raise
    finally:
        FuzzConnection.loses_events = FuzzConnection.doubles_events = False
        loop.run_until_complete(_end_all())
        agent_logger.removeHandler(story.node.logs)
        agent_logger.propagate = propagate
        asyncio.set_event_loop(None)
        loop.close()
    return Outcome(story.violations, loop.seconds)
