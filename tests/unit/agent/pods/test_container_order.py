"""Which container starts or stops before which: sidecars, ephemeral containers, Pods that start over as a whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeGuard

import pytest

from agent.pods.actions import Action, StartContainer, StopContainer, WakeAfter
from agent.pods.backoff import RestartBackoff
from agent.pods.compute_actions import compute_actions
from agent.pods.compute_termination import compute_termination
from agent.pods.observed import ObservedPod, Stopping
from agent.pods.verdicts import ContainerVerdicts
from agent.runtime.identity import spec_hash
from agent.runtime.protocol import ContainerState
from tests.fakes.agent_node import make_pod
from tests.unit.agent.pods.test_compute_actions import NOW, container, decide, observed, sandbox

EXITED, CREATED = ContainerState.EXITED, ContainerState.CREATED
SIDECARS = [{"name": name, "image": "web:1", "restartPolicy": "Always"} for name in ("first", "second")]
WITH_SIDECARS = make_pod(initContainers=SIDECARS)
DEADLINE = NOW + timedelta(seconds=30)


def is_timer(action: Action) -> TypeGuard[WakeAfter]:
    return isinstance(action, WakeAfter)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(
            observed(sandbox(), container(name="first"), container(name="second"), container()),
            ["Stopping container web"],
            id="regular containers first",
        ),
        pytest.param(
            observed(sandbox(), container(name="first"), container(name="second"), container(state=EXITED)),
            ["Stopping container second"],
            id="then the last sidecar",
        ),
        pytest.param(
            observed(sandbox(), container(name="first"), container(name="second", state=EXITED)),
            ["Stopping container first"],
            id="the first sidecar last",
        ),
    ],
)
def test_sidecars_stop_in_reverse_order(seen: ObservedPod, expected: list[str]) -> None:
    assert stopped(WITH_SIDECARS, seen) == expected


def stopped(pod: Any, seen: ObservedPod, deadline: datetime = DEADLINE) -> list[str]:
    """The causes of what a Pod that is being deleted stops now."""
    actions = compute_termination(pod, seen, deadline, NOW)
    return [action.cause for action in actions if isinstance(action, StopContainer)]


def test_sidecars_wait_for_regular_containers_alone() -> None:
    init = {"name": "init", "image": "web:1"}
    pod = make_pod(initContainers=[*SIDECARS, init], ephemeralContainers=[{"name": "debug", "image": "web:1"}])
    seen = observed(sandbox(), *(container(name=name) for name in ("first", "second", "init", "debug")))
    assert stopped(pod, seen) == [f"Stopping container {name}" for name in ("init", "debug", "second")]


def test_nobody_waits_when_the_grace_period_is_over() -> None:
    seen = observed(sandbox(), *(container(name=name) for name in ("first", "second", "web")))
    everything = [f"Stopping container {name}" for name in ("first", "second", "web")]
    assert stopped(WITH_SIDECARS, seen, NOW) == everything
    wakes = [item.seconds for item in compute_termination(WITH_SIDECARS, seen, DEADLINE, NOW) if is_timer(item)]
    assert wakes == [30.0]


def test_a_pod_that_completes_has_one_grace_period() -> None:
    running = [sandbox(), container(name="first"), container(name="second"), container(state=EXITED)]
    pod = make_pod(initContainers=SIDECARS, restartPolicy="Never")
    assert decide(observed(*running), pod=pod)[0] == "StopContainer: Stopping container second"
    late = replace(observed(*running), stop_deadline=NOW)
    assert decide(late, pod=pod) == [f"StopContainer: Stopping container {name}" for name in ("first", "second")]


def test_the_hooks_of_sidecars_do_not_wait_for_their_turn() -> None:
    hooked = {**SIDECARS[0], "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}
    pod = make_pod(initContainers=[hooked, SIDECARS[1]])
    running = [sandbox(), container(name="first"), container(name="second"), container()]
    actions = compute_termination(pod, observed(*running), DEADLINE, NOW)
    assert [(type(action).__name__, action.cause) for action in actions if not is_timer(action)] == [
        ("RunPreStop", "Pod ends"),
        ("StopContainer", "Stopping container web"),
    ]
    again = replace(observed(*running), pre_stopped=frozenset({"first-0"}))
    actions = compute_termination(pod, again, DEADLINE, NOW)
    assert [type(action).__name__ for action in actions if not is_timer(action)] == ["StopContainer"]


@pytest.mark.parametrize(
    ("stopping", "deadline", "expected"),
    [
        pytest.param(Stopping(deadline=DEADLINE, pod_deadline=DEADLINE), NOW, ["KillContainer"], id="brought forward"),
        pytest.param(Stopping(deadline=DEADLINE, pod_deadline=DEADLINE), DEADLINE, ["WakeAfter"], id="as it was"),
        pytest.param(Stopping(deadline=DEADLINE, pod_deadline=NOW), NOW, ["WakeAfter"], id="extended for its hook"),
        pytest.param(Stopping(deadline=DEADLINE), NOW, ["KillContainer"], id="stopping before the Pod was"),
        pytest.param(Stopping(deadline=NOW), DEADLINE, ["KillContainer"], id="its own deadline"),
    ],
)
def test_a_shorter_grace_period_counts(stopping: Stopping, deadline: Any, expected: list[str]) -> None:
    seen = observed(sandbox(), container(), stopping={"web-0": stopping})
    assert [type(action).__name__ for action in compute_termination(make_pod(), seen, deadline, NOW)] == expected


def test_a_dead_sandbox_stops_sidecars_last() -> None:
    running = [container(name="first"), container(name="second")]
    dead = sandbox(state=EXITED)
    wait = "WakeAfter: the grace period of the Pod"
    expected = ["StopContainer: Stopping container web", wait]
    assert decide(observed(dead, *running, container()), pod=WITH_SIDECARS) == expected
    expected = ["StopContainer: Stopping container second", wait]
    assert decide(observed(dead, *running, container(state=EXITED)), pod=WITH_SIDECARS) == expected


@pytest.mark.parametrize(
    ("verdict", "hash", "expected"),
    [
        (ContainerVerdicts(liveness=False), "", ["StopContainer: Init container first failed liveness probe"]),
        (ContainerVerdicts(startup=False), "", ["StopContainer: Init container first failed startup probe"]),
        (ContainerVerdicts(), "other", ["StopContainer: Init container first definition changed"]),
    ],
)
def test_a_sidecar_is_called_an_init_container(verdict: ContainerVerdicts, hash: str, expected: list[str]) -> None:
    seen = observed(sandbox(), container(name="first", hash=hash), container(name="second", hash=""), container())
    assert decide(seen, pod=WITH_SIDECARS, first_0=verdict) == expected


def test_an_init_container_whose_image_changes_runs_to_its_end() -> None:
    pod = make_pod(initContainers=[{"name": "init", "image": "web:2"}])
    assert decide(observed(sandbox(), container(name="init", hash="other")), pod=pod) == []
    done = observed(sandbox(), container(name="init", hash="other", state=EXITED))
    assert decide(done, pod=pod) == ["StartContainer: container has not run yet"]


# --- ephemeral containers ---------------------------------------------------------------------------------------------

DEBUG_HASH = spec_hash({"name": "debug", "image": "web:1"})
DEBUGGED = make_pod(
    ephemeralContainers=[{"name": "debug", "image": "web:1"}],
    initContainers=[{"name": "init", "image": "web:1"}],
    restartPolicy="Never",
)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(
            observed(sandbox(), container(name="init")), ["container has not run yet"], id="beside an init container"
        ),
        pytest.param(
            observed(sandbox(), container(name="init"), container(name="debug", state=CREATED, hash=DEBUG_HASH)),
            ["container was created but never started"],
            id="one that was only created is started",
        ),
        pytest.param(
            observed(sandbox(), container(name="init"), container(name="debug", state=EXITED, exit_code=1)),
            [],
            id="one that ended is not started again",
        ),
        pytest.param(
            observed(sandbox(1), container(name="init", sandbox_id="sandbox-1"), container(name="debug", state=EXITED)),
            [],
            id="nor in a new sandbox",
        ),
    ],
)
def test_an_ephemeral_container_runs_once(seen: ObservedPod, expected: list[str]) -> None:
    actions = compute_actions(DEBUGGED, seen, RestartBackoff(), {}, NOW)
    started = [action for action in actions if isinstance(action, StartContainer)]
    assert [(action.container_name, action.cause) for action in started] == [("debug", cause) for cause in expected]


def test_an_ephemeral_container_does_not_keep_a_pod_from_completing() -> None:
    seen = observed(sandbox(), container(name="init", state=EXITED), container(state=EXITED), container(name="debug"))
    assert decide(seen, pod=DEBUGGED) == ["StopContainer: Stopping container debug"]


# --- RestartAllContainers ---------------------------------------------------------------------------------------------

WORKER_HASH = spec_hash({"name": "worker", "image": "web:1"})
RULES = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
WHOLE = make_pod(
    restartPolicy="Never",
    initContainers=[{"name": "init", "image": "web:1"}],
    containers=[
        {"name": "web", "image": "web:1"},
        {"name": "worker", "image": "web:1", "restartPolicy": "Never", "restartPolicyRules": RULES},
    ],
)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(
            observed(
                sandbox(),
                container(name="init", state=EXITED),
                container(),
                container(name="worker", state=EXITED, exit_code=42),
            ),
            ["StopContainer: killing"],
            id="the others are stopped first",
        ),
        pytest.param(
            observed(
                sandbox(),
                container(name="init", state=EXITED),
                container(state=EXITED, exit_code=137),
                container(name="worker", state=EXITED, exit_code=42),
            ),
            ["StartContainer: attempt 0 exited with code 0"],
            id="then the init containers run again",
        ),
        pytest.param(
            observed(
                sandbox(),
                container(name="init", state=EXITED),
                container(1, name="init", state=EXITED, round=1),
                container(state=EXITED, exit_code=137),
                container(name="worker", state=EXITED, exit_code=42),
            ),
            ["StartContainer: attempt 0 exited with code 137", "StartContainer: attempt 0 exited with code 42"],
            id="then the regular ones",
        ),
        pytest.param(
            observed(
                sandbox(),
                container(1, name="init", state=EXITED, round=1),
                container(1, round=1),
                container(name="worker", state=EXITED, exit_code=42),
                container(1, name="worker", round=1, hash=WORKER_HASH),
            ),
            [],
            id="and the Pod is left alone",
        ),
        pytest.param(
            observed(
                sandbox(),
                container(name="init", state=EXITED),
                container(),
                container(name="worker", state=EXITED, exit_code=1),
            ),
            [],
            id="another exit code restarts nothing",
        ),
    ],
)
def test_a_rule_may_restart_all_containers(seen: ObservedPod, expected: list[str]) -> None:
    assert decide(seen, pod=WHOLE) == expected


def test_a_new_sandbox_runs_the_init_containers_again() -> None:
    pod = make_pod(initContainers=[{"name": "init", "image": "web:1"}])
    dead = [container(name="init", state=EXITED), container(state=EXITED, exit_code=137)]
    seen = observed(sandbox(state=EXITED), *dead)
    started = [
        action.container_name
        for action in compute_actions(pod, seen, RestartBackoff(), {}, NOW)
        if isinstance(action, StartContainer)
    ]
    assert started == ["init"]
    seen = observed(sandbox(1), *dead)
    assert decide(seen, pod=pod) == ["StartContainer: attempt 0 exited with code 0"]
    again = container(1, name="init", state=EXITED, sandbox_id="sandbox-1")
    assert decide(observed(sandbox(1), again, *dead), pod=pod) == ["StartContainer: attempt 0 exited with code 137"]


@pytest.mark.parametrize(("probe_grace", "expected"), [(None, 30), (0, 0), (5, 5)])
def test_a_probe_may_have_a_grace_period_of_its_own(probe_grace: int | None, expected: int) -> None:
    probe = {"exec": {"command": ["x"]}} | (
        {} if probe_grace is None else {"terminationGracePeriodSeconds": probe_grace}
    )
    pod = make_pod(containers=[{"name": "web", "image": "web:1", "livenessProbe": probe}])
    verdicts = {"web-0": ContainerVerdicts(liveness=False)}
    (action,) = compute_actions(pod, observed(sandbox(), container()), RestartBackoff(), verdicts, NOW)
    assert isinstance(action, StopContainer)
    assert action.grace_seconds == expected


def test_a_failed_init_container_with_a_policy_of_its_own_is_tried_again() -> None:
    pod = make_pod(
        restartPolicy="Never", initContainers=[{"name": "init", "image": "web:1", "restartPolicy": "OnFailure"}]
    )
    seen = observed(sandbox(), container(name="init", state=EXITED, exit_code=1))
    assert decide(seen, pod=pod) == ["StartContainer: attempt 0 exited with code 1"]
