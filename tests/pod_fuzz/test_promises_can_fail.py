"""The promises catch: each test breaks one part of the agent, and some seed must find it by the promise it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.cgroups.pod_cgroups import NodePodCgroups
from agent.pods import compute_termination, container_stop, pod_phase, status_reporter, worker
from agent.pods.actions import Action
from agent.pods.compute_actions import _Decision
from agent.pods.container_start import ContainerStarter
from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.probes import ProbeRunner
from agent.static_pods.mirror_pods import full_name
from agent.static_pods.static_pods import StaticPods
from control.api.objects import ReadOnlyObject
from tests.pod_fuzz.story import run_seed

SEEDS_MAX = 60


def catch(name: str, directory: Path) -> None:
    """Tell seeds until one breaks this promise."""
    seen = set()
    for seed in range(1, SEEDS_MAX + 1):
        broken = {violation.partition(":")[0] for violation in run_seed(seed, directory / str(seed)).violations}
        if name in broken:
            return
        seen |= broken
    raise AssertionError(f"nothing caught it: {seen}")


def test_regular_containers_that_do_not_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_Decision, "_sync_init_containers", lambda self: True)
    catch("init_containers_come_first", tmp_path)


def test_sidecars_that_stop_with_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def all_at_once(pod: ReadOnlyObject, observed: ObservedPod) -> Sequence[ObservedContainer]:
        return observed.running_containers()[::-1]

    monkeypatch.setattr(container_stop, "whose_turn_to_stop", all_at_once)
    catch("sidecars_stop_last", tmp_path)


def test_containers_that_are_killed_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def kill(self: ContainerStarter, *_: Any) -> str:
        return "SIGKILL"

    monkeypatch.setattr(ContainerStarter, "stop_signal", kill)
    catch("a_signal_comes_before_the_kill", tmp_path)


def test_a_sandbox_that_goes_before_its_containers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def sandbox_only(pod: ReadOnlyObject, observed: ObservedPod, *_: Any) -> list[Action]:
        return [
            compute_termination.StopSandbox(sandbox_id=sandbox.id, ip=sandbox.ip, cause="Pod is being deleted")
            for sandbox in observed.sandboxes
            if sandbox.is_running
        ]

    monkeypatch.setattr(worker, "compute_termination", sandbox_only)
    catch("a_sandbox_is_last", tmp_path)


def test_probes_that_are_never_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ProbeRunner, "forget", lambda self, pod_uid: None)
    catch("nothing_is_remembered", tmp_path)


def test_a_phase_that_ends_too_early(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pod_phase, "_is_restart_due", lambda *_: False)
    catch("conditions_follow_containers", tmp_path)


def test_statuses_that_are_written_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(status_reporter, "status_changes", lambda old, new: {"phase": new["phase"]})
    catch("every_write_says_something", tmp_path)


def test_cgroups_that_outlive_their_pods(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def nothing(self: NodePodCgroups, pod_uid: str) -> None:
        """Leave it."""

    monkeypatch.setattr(NodePodCgroups, "remove", nothing)
    catch("an_ended_pod_holds_nothing", tmp_path)


def test_static_pods_that_do_not_wait_for_their_former_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    end = StaticPods._end

    def forget(self: StaticPods, pod: ReadOnlyObject) -> None:
        end(self, pod)
        self._running.pop(full_name(pod), None)

    monkeypatch.setattr(StaticPods, "_end", forget)
    catch("a_static_pod_waits_for_its_former_form", tmp_path)
