"""One seed: a node, a few Pods, a user and a hostile world; then calm, an account of the end, and deletion."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TextIO

from agent.pods.rejection import Rejection
from agent.runtime.protocol import ContainerRecord
from control.api.errors import ApiError
from control.api.objects import Object, ReadOnlyObject
from control.client.transport import ServerUnavailableError
from tests.pod_fuzz.end_promises import EndPromises
from tests.pod_fuzz.life_promises import LifePromises
from tests.pod_fuzz.node import FuzzConnection, FuzzNode
from tests.pod_fuzz.static_pods import ManifestAuthor
from tests.pod_fuzz.status_promises import StatusPromises
from tests.pod_fuzz.user import PodUser
from tests.pod_fuzz.world import World
from tests.simulation.loop import VirtualLoop

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
        records: dict[str, ContainerRecord] = {}
        self.life = LifePromises(self.require, self.node.clock.now, records, self.node.probes)
        self._user = PodUser(self.node, self.life, self.random, self._trace)
        self._author = ManifestAuthor(self.node, self.life, self.random, self._trace)
        self._world = World(self.node, self.life, self.random)
        self.life.is_disturbed = self._world.is_disturbed
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
        life = self.life.life_of(pod)
        life.writes += 1
        said_again = self.life.is_disturbed()
        self.require(changed or said_again, "every_write_says_something", f"{pod['metadata']['name']}: {body}")

    # --- the plot -----------------------------------------------------------------------------------------------------

    async def tell(self) -> None:
        """All of it."""
        node = self.node
        node.boot()
        for _ in range(self.random.choice((1, 1, 2, 3))):
            await self._user.create()
        acts = [*self._user.acts(), *self._author.acts(), *self._world.acts()]
        for _ in range(self.random.randrange(0, 14)):
            await asyncio.sleep(self.random.choice((0.01, 0.05, 0.2, 1.0, 3.0, 11.0, 40.0)) * self.random.random())
            act = self.random.choice(acts)
            self._trace(f"act {act.__name__.strip('_')}")
            for pod in list(self.life.lives.values()):
                pod.causes += 1
            await self._try(act)
        self._trace("calm")
        self._world.calm()
        await self._user.publish()
        await asyncio.sleep(CALM_SECONDS)
        end = EndPromises(self.require, node, self.life, self._trace)
        await end.judge_order()
        self._author.remove_all()
        for pod in self._user.all_pods():
            await self._try(lambda name=pod["metadata"]["name"]: self._user.delete_in_calm(name))
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
