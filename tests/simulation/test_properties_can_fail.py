"""The simulator catches: each test breaks one part, and some seed must find it by the property that names it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.pods import worker
from agent.pods.pod_workers import PodWorkers
from agent.pods.status_reporter import StatusReporter
from control.apiserver.cache.watcher import CacheEvent, Watcher
from control.client.controller import ControllerRuntime
from control.storage.memory import MemoryStorage
from tests.simulation.disk import ProcessStorage
from tests.simulation.simulate import Plan, run_seed

SEEDS_MAX = 40
#: For defects that show without any fault.
QUIET = Plan(nodes=2, operations=4, faults=0)


def catch(*names: str, plan: Plan | None = None) -> None:
    """Run seeds until one violates one of these properties; anything else it may violate is not what we look for."""
    seen = []
    for seed in range(1, SEEDS_MAX + 1):
        violation = run_seed(seed, plan=plan).violation
        if violation.startswith(names):
            return
        seen.append(violation[:200])
    raise AssertionError(f"nothing caught it: {seen}")


def test_a_store_without_compare_and_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two writes that race, the later one undoes the earlier: a binding, a deletion, a restart."""

    async def write_blindly(storage: MemoryStorage, key: str, value: bytes) -> int:
        current = await storage.get(key)
        return await storage.update(key, value, expected_revision=current.revision if current else 0)

    async def update(self: ProcessStorage, key: str, value: bytes, **options: Any) -> int:
        return await self._write(write_blindly(self._storage, key, value))

    monkeypatch.setattr(ProcessStorage, "update", update)
    catch(
        "a_pod_is_bound_once",
        "a_deletion_is_never_taken_back",
        "restart_counts_never_fall",
        "generations_never_fall",
        plan=Plan(faults=4, kinds_of_faults=("the disk is slow",)),
    )


def test_a_watch_that_drops_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of fifty events gets lost on its way to a watcher."""
    offer, count = Watcher.offer, [0]

    def lossy(self: Watcher, event: CacheEvent) -> None:
        count[0] += 1
        if count[0] % 50:
            offer(self, event)

    monkeypatch.setattr(Watcher, "offer", lossy)
    catch("a_watch_has_no_gaps", plan=QUIET)


def test_a_watch_that_repeats_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of fifty events is sent twice."""
    offer, count = Watcher.offer, [0]

    def stuttering(self: Watcher, event: CacheEvent) -> None:
        count[0] += 1
        offer(self, event)
        if not count[0] % 50:
            offer(self, event)

    monkeypatch.setattr(Watcher, "offer", stuttering)
    catch("a_watch_is_ordered_and_unique", plan=QUIET)


def test_an_agent_that_forgets_to_remove_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a Pod stays on the engine."""
    monkeypatch.setattr(worker, "compute_removal", lambda observed: [])
    catch("everything_converges: nothing_is_left_on_an_engine", plan=QUIET)


def test_an_agent_that_deletes_the_pod_before_its_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The object is gone while its processes still stop."""
    terminate = worker.PodWorker._terminate

    async def hasty(self: worker.PodWorker) -> float | None:
        if not self._removed:
            await self._services.reporter.delete(self.pod)
        return await terminate(self)

    monkeypatch.setattr(worker.PodWorker, "_terminate", hasty)
    catch("a_pod_goes_after_its_containers", plan=QUIET)


def test_an_agent_that_stops_unwanted_pods_before_it_has_read_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart of the agent kills what runs."""
    run = PodWorkers.run

    async def hasty(self: PodWorkers, stop: asyncio.Event) -> None:
        self.adopt()
        await run(self, stop)

    monkeypatch.setattr(PodWorkers, "run", hasty)
    catch("nothing_is_killed_without_a_reason", plan=Plan(nodes=1, faults=4, kinds_of_faults=("an agent is killed",)))


def test_an_agent_that_takes_the_api_at_its_word_about_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the node controller wrote about a silent node's Pods stays."""
    monkeypatch.setattr(StatusReporter, "reconcile", lambda self, pod, status: None)
    catch("everything_converges", plan=Plan(nodes=1, faults=3, kinds_of_faults=("a node is cut off",)))


def test_a_store_that_forgets_its_last_writes_in_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledged, but not on disk."""
    crash = ProcessStorage._crash

    def forgetful(self: ProcessStorage) -> None:
        crash(self)
        entries = self._storage._entries
        for key in sorted(entries, key=lambda one: entries[one].revision)[-20:]:
            del entries[key]

    monkeypatch.setattr(ProcessStorage, "_crash", forgetful)
    catch(
        "everything_converges",
        "reads_never_go_back",
        # A Pod that was acknowledged and is forgotten has its containers killed.
        "nothing_is_killed_without_a_reason",
        "the_api_takes",
        plan=Plan(faults=4, kinds_of_faults=("the control plane is killed",)),
    )


def test_a_controller_that_does_not_wait_for_its_own_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes Pods again that its informer does not show yet; they are removed again, so the end alone looks well."""
    monkeypatch.setattr(ControllerRuntime, "_shows_own_writes", lambda self, key: True)
    catch("a_replica_set_makes_no_surplus", plan=QUIET)
