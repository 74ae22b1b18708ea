"""The decision about a Pod's containers: tables of what it says, and what it never does whatever it sees."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pods.actions import Action, BackOff, CreateSandbox, RemoveContainer, StartContainer, StopContainer
from agent.pods.backoff import RestartBackoff, RestartPast
from agent.pods.compute_actions import compute_actions
from agent.pods.compute_termination import compute_termination, deletion_deadline
from agent.pods.observed import ObservedContainer, ObservedPod, ObservedSandbox, Stopping
from agent.pods.verdicts import ContainerVerdicts
from agent.runtime.identity import spec_hash
from agent.runtime.protocol import ContainerRecord, ContainerState
from tests.fakes.agent_node import make_pod

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
POD = make_pod()
SPEC_HASH = spec_hash(POD["spec"]["containers"][0])


def record(container_id: str, state: ContainerState, exit_code: int = 0) -> ContainerRecord:
    return ContainerRecord(
        id=container_id,
        name=container_id,
        labels={},
        state=state,
        image="web:1",
        image_id="sha256:1",
        created_at=NOW - timedelta(seconds=20),
        started_at=None if state is ContainerState.CREATED else NOW - timedelta(seconds=19),
        finished_at=NOW - timedelta(seconds=2) if state is ContainerState.EXITED else None,
        exit_code=exit_code,
    )


def sandbox(
    attempt: int = 0, state: ContainerState = ContainerState.RUNNING, *, attached: bool = True
) -> ObservedSandbox:
    return ObservedSandbox(
        record=record(f"sandbox-{attempt}", state), attempt=attempt, ip="10.244.0.2", attached=attached
    )


def container(
    attempt: int = 0,
    state: ContainerState = ContainerState.RUNNING,
    *,
    name: str = "web",
    exit_code: int = 0,
    sandbox_id: str = "sandbox-0",
    hash: str = SPEC_HASH,
    backoff_seconds: float = 0,
    round: int = 0,
) -> ObservedContainer:
    return ObservedContainer(
        record=record(f"{name}-{attempt}", state, exit_code),
        name=name,
        attempt=attempt,
        sandbox_id=sandbox_id,
        spec_hash=hash,
        backoff_seconds=backoff_seconds,
        round=round,
    )


def observed(*parts: ObservedSandbox | ObservedContainer, stopping: dict[str, Stopping] | None = None) -> ObservedPod:
    containers: dict[str, list[ObservedContainer]] = {}
    for part in parts:
        if isinstance(part, ObservedContainer):
            containers.setdefault(part.name, []).append(part)
    return ObservedPod(
        sandboxes=tuple(part for part in parts if isinstance(part, ObservedSandbox)),
        containers={name: tuple(sorted(items, key=lambda item: -item.attempt)) for name, items in containers.items()},
        stopping=stopping or {},
    )


def summary(actions: list[Action]) -> list[str]:
    return [f"{type(action).__name__}: {action.cause}" for action in actions]


def decide(seen: ObservedPod, *, pod: dict[str, Any] = POD, **verdicts: ContainerVerdicts) -> list[str]:
    by_id = {name.replace("_", "-"): verdict for name, verdict in verdicts.items()}
    return summary(compute_actions(pod, seen, RestartBackoff(), by_id, NOW))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(
            observed(),
            ["CreateSandbox: Pod has no sandbox", "StartContainer: container has not run yet"],
            id="a new pod gets a sandbox and its containers",
        ),
        pytest.param(observed(sandbox(), container()), [], id="a pod that runs is left alone"),
        pytest.param(
            observed(sandbox(state=ContainerState.CREATED)),
            [
                "StartSandbox: sandbox was created but never started",
                "StartContainer: container has not run yet",
            ],
            id="a sandbox that was never started is started",
        ),
        pytest.param(
            observed(sandbox(attached=False), container()),
            ["StartSandbox: sandbox is not wired yet"],
            id="a sandbox this agent has not wired is wired",
        ),
        pytest.param(
            observed(sandbox(), container(state=ContainerState.CREATED)),
            ["StartContainer: container was created but never started"],
            id="a container that was never started is started as the same attempt",
        ),
        pytest.param(
            observed(sandbox(), container(state=ContainerState.EXITED, exit_code=1)),
            ["StartContainer: attempt 0 exited with code 1"],
            id="a container that ended runs again",
        ),
        pytest.param(
            observed(sandbox(), container(state=ContainerState.CREATED, exit_code=127)),
            ["StartContainer: attempt 0 could not be started"],
            id="a container that could not run is tried again",
        ),
        pytest.param(
            observed(sandbox(state=ContainerState.EXITED), container()),
            ["StopContainer: Stopping container web"],
            id="containers without a sandbox are stopped first",
        ),
        pytest.param(
            observed(sandbox(state=ContainerState.EXITED), container(state=ContainerState.EXITED, exit_code=137)),
            [
                "StopSandbox: sandbox attempt 0 is dead",
                "CreateSandbox: sandbox attempt 0 is dead",
                "StartContainer: attempt 0 exited with code 137",
            ],
            id="a dead sandbox is replaced",
        ),
        pytest.param(
            observed(sandbox(), container(0), container(1)),
            ["StopContainer: Container web was replaced by attempt 1"],
            id="an old attempt that somebody started is stopped",
        ),
        pytest.param(
            observed(sandbox(), container(hash="other")),
            ["StopContainer: Container web definition changed, will be restarted"],
            id="a changed image replaces the container",
        ),
        pytest.param(
            observed(sandbox(), *(container(n, ContainerState.EXITED) for n in (0, 1)), container(2)),
            ["RemoveContainer: attempt 2 is the newest"],
            id="one previous attempt is kept",
        ),
        pytest.param(
            observed(sandbox(1), sandbox(0, ContainerState.EXITED), container(sandbox_id="sandbox-1")),
            ["RemoveSandbox: attempt 1 is the newest"],
            id="an old sandbox is removed",
        ),
        pytest.param(
            observed(sandbox(), container(), stopping={"web-0": Stopping(deadline=NOW + timedelta(seconds=5))}),
            ["WakeAfter: container web has its grace period"],
            id="a stop under way is waited for",
        ),
        pytest.param(
            observed(sandbox(), container(), stopping={"web-0": Stopping(deadline=NOW)}),
            ["KillContainer: grace period is over"],
            id="a stop that takes too long ends in a kill",
        ),
    ],
)
def test_actions(seen: ObservedPod, expected: list[str]) -> None:
    assert decide(seen) == expected


@pytest.mark.parametrize(
    ("policy", "verdict", "expected"),
    [
        pytest.param(
            "Always",
            ContainerVerdicts(liveness=False),
            ["StopContainer: Container web failed liveness probe, will be restarted"],
            id="liveness",
        ),
        pytest.param(
            "Never",
            ContainerVerdicts(liveness=False),
            ["StopContainer: Stopping container web"],
            id="under policy Never it is the Pod that ends",
        ),
        pytest.param(
            "Always",
            ContainerVerdicts(startup=False),
            ["StopContainer: Container web failed startup probe, will be restarted"],
            id="startup",
        ),
        pytest.param("Always", ContainerVerdicts(readiness=False), [], id="readiness restarts nothing"),
    ],
)
def test_probes(policy: str, verdict: ContainerVerdicts, expected: list[str]) -> None:
    assert decide(observed(sandbox(), container()), pod=make_pod(restartPolicy=policy), web_0=verdict) == expected


def test_a_pod_that_never_restarts_runs_on_with_the_containers_that_are_alive() -> None:
    containers = [{"name": name, "image": "web:1"} for name in ("web", "other")]
    seen = observed(sandbox(), container(), container(name="other", hash=""))
    pod = make_pod(restartPolicy="Never", containers=containers)
    failed = ContainerVerdicts(liveness=False)
    assert decide(seen, pod=pod, web_0=failed) == ["StopContainer: Container web failed liveness probe"]
    dead = ["StopContainer: Stopping container web", "StopContainer: Stopping container other"]
    assert decide(seen, pod=pod, web_0=failed, other_0=failed) == dead


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_a_container_that_was_stopped_to_run_again_does_so_under_every_policy(policy: str) -> None:
    pod = make_pod(restartPolicy=policy)
    seen = observed(sandbox(), container(state=ContainerState.EXITED, hash="other"))
    assert decide(replace(seen, restarting=frozenset({"web-0"})), pod=pod) == [
        "StartContainer: attempt 0 exited with code 0"
    ]


def test_a_container_whose_image_was_corrected_does_not_wait() -> None:
    seen = observed(sandbox(), container(3, ContainerState.EXITED, exit_code=1, backoff_seconds=160, hash="other"))
    assert decide(seen) == ["StartContainer: attempt 3 exited with code 1"]


def test_a_second_failure_waits_for_its_delay() -> None:
    seen = observed(sandbox(), container(1, ContainerState.EXITED, exit_code=1, backoff_seconds=10))
    (action,) = compute_actions(POD, seen, RestartBackoff(), {}, NOW)
    assert isinstance(action, BackOff)
    assert (action.delay_seconds, action.remaining_seconds) == (10, 8)


def test_lost_containers_go_on_counting_from_what_the_api_remembers() -> None:
    status = {"containerStatuses": [{"name": "web", "containerID": "docker://x", "restartCount": 4}]}
    actions = compute_actions({**POD, "status": status}, observed(sandbox()), RestartBackoff(), {}, NOW)
    assert [action.attempt for action in actions if isinstance(action, StartContainer)] == [5]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param(RestartBackoff(), [0, 10, 20, 40, 80, 160, 300, 300], id="five minutes at most"),
        pytest.param(RestartBackoff.with_maximum(25), [0, 10, 20, 25, 25, 25, 25, 25], id="a maximum of one's own"),
        pytest.param(RestartBackoff.with_maximum(4), [0, 4, 4, 4, 4, 4, 4, 4], id="a maximum below the first delay"),
    ],
)
def test_delays_double_up_to_a_maximum(limits: RestartBackoff, expected: list[float]) -> None:
    delays = [limits.next_delay_seconds(RestartPast())]
    while len(delays) < len(expected):
        newest = container(state=ContainerState.EXITED, backoff_seconds=delays[-1])
        delays.append(limits.next_delay_seconds(RestartPast(newest=newest)))
    assert delays == expected


def test_delays_start_over_after_health() -> None:
    healthy = container(state=ContainerState.EXITED, backoff_seconds=160)
    old = replace(healthy, record=replace(healthy.record, created_at=NOW - timedelta(minutes=11)))
    assert RestartBackoff().delay_seconds(old) == 0
    assert RestartBackoff().next_delay_seconds(RestartPast(newest=old)) == 10


def ended(attempt: int, seconds_ago: float, delay: float) -> ObservedContainer:
    """An attempt that ended so long ago, and the delay that follows its end."""
    exited = container(attempt, ContainerState.EXITED, exit_code=143, backoff_seconds=delay)
    return replace(exited, ended_at=NOW - timedelta(seconds=seconds_ago))


@pytest.mark.parametrize(
    ("past", "remaining", "following"),
    [
        pytest.param(RestartPast(newest=ended(0, 0, 0), was_stopped=True), 0, 0, id="the first stop is no failure"),
        pytest.param(
            RestartPast(newest=ended(1, 0, 0), before=ended(0, 3, 0), was_stopped=True), 0, 10, id="nor is the second"
        ),
        pytest.param(
            RestartPast(newest=ended(2, 2, 10), before=ended(1, 5, 0), was_stopped=True),
            8,
            20,
            id="one within the delay after the end before waits",
        ),
        pytest.param(
            RestartPast(newest=ended(2, 2, 10), before=ended(1, 12, 0), was_stopped=True),
            0,
            20,
            id="one after that delay does not, and the delays double on",
        ),
        pytest.param(RestartPast(newest=ended(2, 2, 10), before=ended(1, 12, 0)), 8, 20, id="one that ended itself"),
        pytest.param(
            RestartPast(newest=ended(2, 2, 160), before=ended(1, 12, 80), has_changed=True), 0, 10, id="a new image"
        ),
        pytest.param(
            RestartPast(newest=ended(0, 2, 0), was_stopped=True, has_changed=True), 0, 0, id="a new image at first"
        ),
    ],
)
def test_what_is_stopped_to_run_again_follows_at_once(past: RestartPast, remaining: float, following: float) -> None:
    backoff = RestartBackoff()
    assert (backoff.remaining_seconds(past, NOW), backoff.next_delay_seconds(past)) == (remaining, following)


# --- properties -------------------------------------------------------------------------------------------------------

STATES = st.sampled_from([ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED])


@st.composite
def observed_pods(draw: st.DrawFn) -> ObservedPod:
    sandboxes = [
        sandbox(attempt, draw(STATES), attached=draw(st.booleans()))
        for attempt in range(draw(st.integers(0, 2)), -1, -1)
    ]
    if draw(st.booleans()):
        sandboxes = []
    ids = [item.id for item in sandboxes] or ["sandbox-0"]
    containers = [
        container(
            attempt,
            draw(STATES),
            name=name,
            exit_code=draw(st.sampled_from([0, 1, 137])),
            sandbox_id=draw(st.sampled_from(ids)),
            hash=draw(st.sampled_from([SPEC_HASH, "other"])),
        )
        for name in ("init", "web", "gone")
        for attempt in range(draw(st.integers(0, 3)))
    ]
    return observed(*sandboxes, *containers)


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    spec: dict[str, Any] = {"restartPolicy": draw(st.sampled_from(["Always", "OnFailure", "Never"]))}
    if draw(st.booleans()):
        spec["initContainers"] = [{"name": "init", "image": "web:1"}]
        if draw(st.booleans()):
            spec["initContainers"][0]["restartPolicy"] = "Always"
    return make_pod(**spec)


@given(pods(), observed_pods())
def test_no_decision_ever_doubles_anything(pod: dict[str, Any], seen: ObservedPod) -> None:
    """never_two_sandboxes, never_two_attempts_at_once, never_removes_what_runs, attempts_only_grow"""
    actions = compute_actions(pod, seen, RestartBackoff(), {}, NOW)
    created = [action for action in actions if isinstance(action, CreateSandbox)]
    assert len(created) <= 1
    if seen.sandbox is not None and seen.sandbox.is_running:
        assert not created
    if created:
        assert not seen.running_containers()
        assert all(created[0].attempt > item.attempt for item in seen.sandboxes)
    started = [action for action in actions if isinstance(action, StartContainer)]
    assert len({action.container_name for action in started}) == len(started)
    for action in started:
        attempts = seen.containers.get(action.container_name, ())
        assert not any(item.is_running for item in attempts)
        assert all(action.attempt > item.attempt for item in attempts if not item.is_created) or not attempts
    running = {item.id for item in seen.running_containers()}
    assert not running & {action.container_id for action in actions if isinstance(action, RemoveContainer)}


@given(observed_pods())
def test_a_pod_that_has_ended_starts_nothing(seen: ObservedPod) -> None:
    pod = make_pod(restartPolicy="Never")
    newest = seen.find("web")
    if newest is None or not newest.is_exited:
        return
    actions = compute_actions(pod, seen, RestartBackoff(), {}, NOW)
    assert not [action for action in actions if isinstance(action, CreateSandbox | StartContainer)]


@given(pods(), observed_pods(), st.integers(0, 60))
def test_termination_only_ever_stops(pod: dict[str, Any], seen: ObservedPod, seconds: int) -> None:
    actions = compute_termination(pod, seen, NOW + timedelta(seconds=seconds), NOW)
    assert not [action for action in actions if isinstance(action, CreateSandbox | StartContainer)]
    is_anything_held = bool(seen.running_containers()) or any(not item.is_released for item in seen.sandboxes)
    assert bool(actions) == is_anything_held
    stops = [action for action in actions if isinstance(action, StopContainer)]
    assert all(action.grace_seconds <= max(seconds, 2) for action in stops)


@pytest.mark.parametrize(
    ("grace", "ago", "removed", "expected"),
    [
        pytest.param(30, 0, False, 30, id="a fresh deletion has the whole period"),
        pytest.param(30, 20, False, 11, id="an agent that was away does not begin it again"),
        pytest.param(30, 90, False, 2, id="there are always two seconds"),
        pytest.param(0, 0, False, 1, id="no grace is one second"),
        pytest.param(30, 0, True, 1, id="a pod whose object is gone has one second"),
    ],
)
def test_the_grace_period_counts_from_the_deletion(grace: int, ago: int, removed: bool, expected: int) -> None:
    accepted = NOW + timedelta(seconds=grace - ago)
    metadata = {
        **POD["metadata"],
        "deletionTimestamp": accepted.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "deletionGracePeriodSeconds": grace,
    }
    deadline = deletion_deadline({**POD, "metadata": metadata}, first_seen=NOW, removed=removed)
    assert (deadline - NOW).total_seconds() == expected
