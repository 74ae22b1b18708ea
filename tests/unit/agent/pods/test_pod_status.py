"""A Pod's status as a pure function: tables of phases, conditions, reasons, addresses and ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.pods.container_status import StatusInputs, Waiting
from agent.pods.observed import ObservedContainer, ObservedPod, ObservedSandbox
from agent.pods.pod_status import compute_pod_status, compute_rejected_status
from agent.pods.resize import PendingResize
from agent.runtime.protocol import ContainerRecord, ContainerState
from control.api.meta import find_condition
from control.api.objects import Object
from control.api.timestamps import format_time
from tests.fakes.agent_node import make_pod

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EARLIER = "2026-01-01T11:00:00Z"
INPUTS = StatusInputs(now=NOW, host_ips=("10.0.0.1",))
LOST = "The container could not be located when the pod was terminated"


def record(container_id: str, state: str, exit_code: int = 0) -> ContainerRecord:
    return ContainerRecord(
        id=container_id,
        name=container_id,
        labels={},
        state=ContainerState(state),
        image="web:1",
        image_id="sha256:1",
        created_at=NOW - timedelta(seconds=20),
        started_at=None if state == "created" else NOW - timedelta(seconds=19),
        finished_at=NOW - timedelta(seconds=2) if state == "exited" else None,
        exit_code=exit_code,
    )


def container(
    name: str, state: str = "running", exit_code: int = 0, *, attempt: int = 0, sandbox: int = 0
) -> ObservedContainer:
    return ObservedContainer(
        record=record(f"{name}-{attempt}", state, exit_code),
        name=name,
        attempt=attempt,
        sandbox_id=f"sandbox-{sandbox}",
    )


def seen(*containers: ObservedContainer, sandbox: str = "running", attempt: int = 0) -> ObservedPod:
    found: dict[str, tuple[ObservedContainer, ...]] = {}
    for one in sorted(containers, key=lambda item: -item.attempt):
        found[one.name] = (*found.get(one.name, ()), one)
    sandboxes = ObservedSandbox(record=record(f"sandbox-{attempt}", sandbox), attempt=attempt, ip="10.244.0.2")
    return ObservedPod(sandboxes=(sandboxes,), containers=found)


def pod(*names: str, init: tuple[Object, ...] = (), status: Object | None = None, **spec: Any) -> Object:
    spec["containers"] = [{"name": name, "image": "web:1"} for name in names or ("web",)]
    if init:
        spec["initContainers"] = list(init)
    return {**make_pod("p", **spec), "status": status or {}}


INIT: Object = {"name": "init", "image": "web:1"}
SIDECAR: Object = {"name": "side", "image": "web:1", "restartPolicy": "Always"}
WAS_INITIALIZED: Object = {"type": "Initialized", "status": "True", "lastTransitionTime": EARLIER}
PROBED = {**SIDECAR, "startupProbe": {"tcpSocket": {"port": 1}}}


@pytest.mark.parametrize(
    ("spec", "observed", "phase"),
    [
        pytest.param(pod(), ObservedPod(), "Pending", id="nothing exists"),
        pytest.param(pod(), seen(container("web")), "Running", id="all run"),
        pytest.param(pod("a", "b"), seen(container("a")), "Pending", id="one never ran"),
        pytest.param(pod(), seen(container("web", "exited", 1)), "Running", id="one that is to run again"),
        pytest.param(
            pod(restartPolicy="Never"), seen(container("web", "exited"), sandbox="exited"), "Succeeded", id="success"
        ),
        pytest.param(
            pod(restartPolicy="Never"), seen(container("web", "exited", 1), sandbox="exited"), "Failed", id="failure"
        ),
        pytest.param(
            pod(restartPolicy="Never", status={"phase": "Running"}),
            seen(container("web", "exited")),
            "Running",
            id="an end is not told while the sandbox holds its address",
        ),
        pytest.param(
            pod("a", init=(SIDECAR,), restartPolicy="Never", status={"phase": "Running"}),
            seen(container("side"), container("a", "exited")),
            "Running",
            id="nor while a sidecar runs",
        ),
        pytest.param(
            pod(init=(INIT,), restartPolicy="Never"),
            seen(container("init", "exited", 1), sandbox="exited"),
            "Failed",
            id="an init container that is not tried again",
        ),
        pytest.param(
            pod(init=(INIT,)), seen(container("init", "exited", 1)), "Pending", id="an init container that is"
        ),
        pytest.param(
            pod(init=(PROBED,)),
            seen(container("side"), container("web")),
            "Running",
            id="a sidecar that starts again beside the containers",
        ),
        pytest.param(
            pod(init=(PROBED,), status={"phase": "Running"}),
            seen(container("side", attempt=1, sandbox=1), container("web", "exited", 137), attempt=1),
            "Pending",
            id="a sidecar that starts in a new sandbox",
        ),
        pytest.param(
            pod(init=(INIT,), status={"phase": "Running"}),
            seen(container("init", attempt=1, sandbox=1), container("web", "exited", 137), attempt=1),
            "Pending",
            id="an init container that runs in a new sandbox",
        ),
        pytest.param(
            pod(status={"phase": "Failed"}), seen(container("web")), "Failed", id="an end that was told stays"
        ),
    ],
)
def test_phases(spec: Object, observed: ObservedPod, phase: str) -> None:
    assert compute_pod_status(spec, observed, INPUTS)["phase"] == phase


# --- how the node lets Pods fail --------------------------------------------------------------------------------------

EVICTED = replace(INPUTS, reason="Evicted", message="low on memory", disruption="low on memory")


def test_a_refused_pod_has_failed_and_says_nothing_more() -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": EARLIER}
    refused = replace(INPUTS, reason="OutOfcpu", message="Pod was rejected: no cpu")
    assert compute_rejected_status(pod(status={"conditions": [scheduled]}), refused) == {
        "phase": "Failed",
        "reason": "OutOfcpu",
        "message": "Pod was rejected: no cpu",
        "startTime": format_time(NOW),
        "qosClass": "BestEffort",
        "observedGeneration": 1,
        "conditions": [],
    }


def test_a_pod_that_is_evicted_before_it_ran_has_conditions_and_ends_of_its_containers() -> None:
    status = compute_pod_status(pod(), ObservedPod(), replace(EVICTED, is_terminated=True))
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    reasons = {item["type"]: item.get("reason") for item in status["conditions"]}
    assert reasons == {
        "DisruptionTarget": "TerminationByKubelet",
        "PodReadyToStartContainers": None,
        "Initialized": None,
        "Ready": "PodFailed",
        "ContainersReady": "PodFailed",
        "PodScheduled": None,
    }
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (137, "ContainerStatusUnknown", LOST)


@pytest.mark.parametrize(
    ("exit_code", "phase", "reason"), [(0, "Succeeded", None), (143, "Failed", "Evicted")], ids=["success", "failure"]
)
def test_an_evicted_pod_whose_containers_succeed_has_succeeded(exit_code: int, phase: str, reason: str | None) -> None:
    observed = seen(container("web", "exited", exit_code), sandbox="exited")
    status = compute_pod_status(pod(status={"phase": "Running"}), observed, replace(EVICTED, is_terminated=True))
    assert (status["phase"], status.get("reason")) == (phase, reason)
    assert find_condition(status["conditions"], "DisruptionTarget") is not None


def test_a_pod_that_is_over_its_deadline_has_failed_however_its_containers_end() -> None:
    overdue = replace(INPUTS, reason="DeadlineExceeded", message="too long", is_overdue=True)
    running = compute_pod_status(pod(status={"phase": "Running"}), seen(container("web")), overdue)
    assert (running["phase"], running.get("reason")) == ("Running", None)
    assert _verdict(running, "Ready") == ("False", "PodFailed", "")
    observed = seen(container("web", "exited"), sandbox="exited")
    ended = compute_pod_status(pod(status=running), observed, replace(overdue, is_terminated=True))
    assert (ended["phase"], ended["reason"]) == ("Failed", "DeadlineExceeded")


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        ({"phase": "Running", "reason": "Odd", "message": "text"}, ("Odd", "text")),
        ({"phase": "Pending", "reason": "Odd", "message": "text"}, (None, None)),
    ],
    ids=["of the same phase", "of another phase"],
)
def test_reasons_stay_with_their_phase(old: Object, expected: tuple[str | None, str | None]) -> None:
    status = compute_pod_status(pod(status=old), seen(container("web")), INPUTS)
    assert (status.get("reason"), status.get("message")) == expected


def test_a_disruption_is_told_as_it_was() -> None:
    inputs = replace(EVICTED, is_terminated=True)
    first = compute_pod_status(pod(), ObservedPod(), inputs)
    later = {**pod(status=first), "metadata": {**pod()["metadata"], "generation": 7}}
    again = compute_pod_status(later, ObservedPod(), replace(inputs, now=NOW + timedelta(hours=1)))
    assert find_condition(again["conditions"], "DisruptionTarget") == find_condition(
        first["conditions"], "DisruptionTarget"
    )


# --- the end of all ---------------------------------------------------------------------------------------------------

ENDED = replace(INPUTS, is_terminated=True)


def test_an_end_that_is_told_at_once_is_one_of_all_containers() -> None:
    before = {"phase": "Running", "containerStatuses": [{"name": "web", "state": {"running": {}}, "restartCount": 0}]}
    status = compute_pod_status(pod(restartPolicy="Never", status=before), seen(sandbox="exited"), INPUTS)
    assert (status["phase"], status["containerStatuses"][0]["state"]["terminated"]["message"]) == ("Failed", LOST)


def _states(status: Object) -> dict[str, str]:
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return {
        item["name"]: (item["state"].get("terminated") or {}).get("reason", next(iter(item["state"])))
        for field in lists
        for item in status.get(field) or ()
    }


@pytest.mark.parametrize(
    ("spec", "observed", "states"),
    [
        pytest.param(pod(), ObservedPod(), {"web": "ContainerStatusUnknown"}, id="without init containers"),
        pytest.param(
            pod(init=(INIT, {**INIT, "name": "next"})),
            ObservedPod(),
            {"init": "ContainerStatusUnknown", "next": "waiting", "web": "waiting"},
            id="before it was initialized: the first init container counts as tried",
        ),
        pytest.param(
            pod(init=(INIT, {**INIT, "name": "next"}, {**INIT, "name": "last"})),
            seen(container("init", "exited"), container("next", "exited", 1), sandbox="exited"),
            {"init": "Completed", "next": "Error", "last": "waiting", "web": "waiting"},
            id="amid its initialization",
        ),
        pytest.param(
            pod(init=(INIT,)),
            seen(container("init", "exited"), sandbox="exited"),
            {"init": "Completed", "web": "ContainerStatusUnknown"},
            id="once it was initialized",
        ),
        pytest.param(
            pod(ephemeralContainers=[{"name": "debug", "image": "web:1"}]),
            seen(container("web", "exited"), sandbox="exited"),
            {"web": "Completed", "debug": "waiting"},
            id="an ephemeral container that never ran stays",
        ),
    ],
)
def test_what_is_told_of_containers_that_nobody_saw_end(spec: Object, observed: ObservedPod, states: Object) -> None:
    status = compute_pod_status(spec, observed, ENDED)
    assert _states(status) == states
    assert status["phase"] in ("Succeeded", "Failed")


def test_a_pod_deleted_before_it_ran_has_failed_with_the_conditions_it_had() -> None:
    status = compute_pod_status(pod(), ObservedPod(), ENDED)
    assert status["phase"] == "Failed"
    assert _verdict(status, "Ready") == ("False", "ContainersNotReady", "containers with unready status: [web]")


def test_a_static_pod_that_is_ended_is_not_told_to_have_failed() -> None:
    static = pod()
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert compute_pod_status(static, ObservedPod(), ENDED)["phase"] == "Pending"
    observed = seen(container("web", "exited", 143), sandbox="exited")
    assert compute_pod_status(static, observed, ENDED)["phase"] == "Running"


# --- conditions -------------------------------------------------------------------------------------------------------


def _verdict(status: Object, type: str) -> tuple[str, str, str]:
    condition = find_condition(status["conditions"], type)
    assert condition is not None
    return condition["status"], condition.get("reason", ""), condition.get("message", "")


def test_conditions_stand_in_upstreams_order_after_those_of_others() -> None:
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
    spec = pod(status={"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": EARLIER}]})
    spec["status"]["conditions"].append({"type": "example.com/gate", "status": "True"})
    spec["spec"]["containers"][0]["restartPolicyRules"] = rules
    pending = PendingResize(reason="Deferred", message="no room")
    status = compute_pod_status(spec, seen(container("web")), replace(INPUTS, pending_resize=pending))
    assert [item["type"] for item in status["conditions"]] == [
        "example.com/gate",
        "PodResizePending",
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
        "AllContainersRestarting",
    ]
    without = {item["type"] for item in status["conditions"] if "observedGeneration" not in item}
    assert without == {"example.com/gate", "AllContainersRestarting"}
    scheduled = find_condition(status["conditions"], "PodScheduled")
    assert scheduled is not None
    assert scheduled["lastTransitionTime"] == EARLIER


def test_unready_containers_are_named_in_the_order_of_the_spec_sidecars_first() -> None:
    status = compute_pod_status(pod("z", "a", init=(SIDECAR,)), ObservedPod(), INPUTS)
    assert _verdict(status, "ContainersReady")[2] == "containers with unready status: [side z a]"


@pytest.mark.parametrize(
    ("spec", "observed", "verdict"),
    [
        pytest.param(
            pod(init=(INIT,)),
            seen(container("init")),
            ("False", "ContainersNotInitialized", "containers with incomplete status: [init]"),
            id="while it is initialized",
        ),
        pytest.param(pod(init=(INIT,)), seen(container("init", "exited")), ("True", "", ""), id="initialized"),
        pytest.param(
            pod(init=(INIT,)),
            seen(container("init"), container("web", "exited", 1)),
            ("True", "", ""),
            id="a regular container that has ended was begun",
        ),
        pytest.param(
            pod(init=(INIT,), status={"conditions": [WAS_INITIALIZED]}),
            seen(container("init", attempt=1, sandbox=1), attempt=1),
            ("True", "", ""),
            id="once initialized it stays so",
        ),
        pytest.param(
            pod(init=(INIT,), restartPolicy="Never", status={"phase": "Succeeded"}),
            ObservedPod(),
            ("True", "PodCompleted", ""),
            id="success",
        ),
    ],
)
def test_initialized(spec: Object, observed: ObservedPod, verdict: tuple[str, str, str]) -> None:
    assert _verdict(compute_pod_status(spec, observed, INPUTS), "Initialized") == verdict


def test_another_reason_is_a_transition_of_a_pending_resize_and_another_message_a_new_look() -> None:
    steps = [("Deferred", "no cpu"), ("Deferred", "no memory"), ("Deferred", "no memory"), ("Infeasible", "never")]
    spec, times = pod(), []
    for hour, (reason, message) in enumerate(steps):
        inputs = replace(INPUTS, now=NOW + timedelta(hours=hour))
        status = compute_pod_status(
            spec, seen(container("web")), replace(inputs, pending_resize=PendingResize(reason=reason, message=message))
        )
        spec = pod(status=status)
        condition = find_condition(status["conditions"], "PodResizePending")
        assert condition is not None
        times.append((condition["lastTransitionTime"][11:13], condition["lastProbeTime"][11:13]))
    assert times == [("12", "12"), ("12", "13"), ("12", "13"), ("15", "15")]


@pytest.mark.parametrize(
    ("wanted", "inputs", "verdict"),
    [
        ("100m", INPUTS, None),
        ("200m", replace(INPUTS, is_resizing=True), ("True", "", "")),
        ("200m", replace(INPUTS, is_resizing=True, resize_error="busy"), ("True", "Error", "busy")),
        ("200m", replace(INPUTS, pending_resize=PendingResize(reason="Deferred", message="no room")), None),
        ("200m", replace(ENDED, is_resizing=True), None),
    ],
    ids=["done", "under way", "refused by the engine", "waiting for room", "of a Pod that has ended"],
)
def test_a_resize_in_progress(wanted: str, inputs: StatusInputs, verdict: tuple[str, str, str] | None) -> None:
    spec = pod()
    spec["spec"]["containers"][0]["resources"] = {"requests": {"cpu": wanted}}
    running = replace(container("web"), resources='{"requests":{"cpu":"100m"}}')
    status = compute_pod_status(spec, seen(running), inputs)
    found = find_condition(status["conditions"], "PodResizeInProgress")
    assert (found and _verdict(status, "PodResizeInProgress")) == verdict
    if verdict is not None:
        shown = status["containerStatuses"][0]
        assert shown["resources"] == {"requests": {"cpu": "100m"}}
        assert shown["allocatedResources"] == {"cpu": "200m"}


# --- addresses and resources ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "observed", "ips"),
    [
        pytest.param(pod(), ObservedPod(), None, id="no sandbox"),
        pytest.param(pod(), seen(), [{"ip": "10.244.0.2"}], id="the sandbox's"),
        pytest.param(pod(hostNetwork=True), ObservedPod(), [{"ip": "10.0.0.1"}], id="the node's, before any sandbox"),
        pytest.param(
            pod(status={"podIP": "10.244.0.9"}), seen(sandbox="exited"), [{"ip": "10.244.0.9"}], id="that it had"
        ),
    ],
)
def test_addresses(spec: Object, observed: ObservedPod, ips: list[Object] | None) -> None:
    status = compute_pod_status(spec, observed, INPUTS)
    assert status.get("podIPs") == ips
    assert status.get("podIP") == (ips[0]["ip"] if ips else None)
    assert (status["hostIP"], status["hostIPs"]) == ("10.0.0.1", [{"ip": "10.0.0.1"}])


def _asking(*resources: Object, **spec: Any) -> Object:
    names = [f"c{number}" for number in range(len(resources))]
    asking = pod(*names, **spec)
    for one, amounts in zip(asking["spec"]["containers"], resources, strict=True):
        one["resources"] = amounts
    return asking


@pytest.mark.parametrize(
    ("spec", "is_running", "resources", "allocated"),
    [
        pytest.param(pod("c0"), True, {}, None, id="best effort"),
        pytest.param(
            _asking({"requests": {"cpu": "20m", "memory": "100M"}}, {"requests": {"cpu": "1"}}),
            True,
            {"requests": {"cpu": "1020m", "memory": "100M"}},
            {"cpu": "1020m", "memory": "100M"},
            id="sums, in the format they were written in",
        ),
        pytest.param(
            _asking({"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}, {}),
            False,
            {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}},
            {"memory": "64Mi"},
            id="limits of some containers, while it does not run",
        ),
        pytest.param(
            _asking({"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}, {}),
            True,
            {"requests": {"memory": "64Mi"}},
            {"memory": "64Mi"},
            id="limits of some containers limit no running Pod",
        ),
        pytest.param(
            _asking({}, resources={"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}),
            True,
            {"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}},
            {"cpu": "500m"},
            id="the Pod's own",
        ),
        pytest.param(
            _asking({"requests": {"cpu": "1"}}, overhead={"cpu": "250m"}),
            True,
            {"requests": {"cpu": "1250m"}},
            {"cpu": "1250m"},
            id="with the overhead",
        ),
    ],
)
def test_resources_of_the_pod(spec: Object, is_running: bool, resources: Object, allocated: Object | None) -> None:
    names = [item["name"] for item in spec["spec"]["containers"]]
    status = compute_pod_status(spec, seen(*map(container, names)) if is_running else ObservedPod(), INPUTS)
    assert (status["resources"], status.get("allocatedResources")) == (resources, allocated)


# --- containers -------------------------------------------------------------------------------------------------------

RAN: Object = {
    "name": "web",
    "image": "web:1",
    "imageID": "docker://sha256:1",
    "containerID": "docker://gone",
    "restartCount": 3,
    "ready": False,
    "started": False,
    "resources": {"requests": {"cpu": "1"}},
    "allocatedResources": {"cpu": "1"},
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    "user": {"linux": {"uid": 1, "gid": 1}},
    "state": {"terminated": {"exitCode": 2, "reason": "Error", "containerID": "docker://gone"}},
    "lastState": {},
}


def _web(spec: Object, observed: ObservedPod, inputs: StatusInputs = INPUTS) -> Object:
    (status,) = compute_pod_status(spec, observed, inputs)["containerStatuses"]
    return dict(status)


def test_of_a_container_that_has_ended_and_is_gone_everything_stays_told() -> None:
    spec = pod(restartPolicy="Never", status={"containerStatuses": [RAN]})
    assert _web(spec, ObservedPod()) == RAN


@pytest.mark.parametrize(
    ("spec", "observed", "expected"),
    [
        pytest.param(pod(), ObservedPod(), {"waiting": {"reason": "ErrImagePull"}}, id="not made yet"),
        pytest.param(
            pod(), seen(container("web", "created")), {"waiting": {"reason": "ErrImagePull"}}, id="made, not started"
        ),
        pytest.param(
            pod(), seen(container("web", "exited", 1)), {"waiting": {"reason": "ErrImagePull"}}, id="to run again"
        ),
        pytest.param(
            pod(status={"containerStatuses": [RAN]}),
            ObservedPod(),
            {"waiting": {"reason": "ErrImagePull"}},
            id="to run again, although it is gone",
        ),
        pytest.param(
            pod(restartPolicy="Never", status={"containerStatuses": [RAN]}), ObservedPod(), RAN["state"], id="done"
        ),
    ],
)
def test_a_container_that_is_to_start_waits_for_its_obstacle(
    spec: Object, observed: ObservedPod, expected: Object
) -> None:
    inputs = replace(INPUTS, waiting={"web": Waiting(reason="ErrImagePull")})
    assert _web(spec, observed, inputs)["state"] == expected
    deleted = {**spec, "metadata": {**spec["metadata"], "deletionTimestamp": format_time(NOW)}}
    assert "ErrImagePull" not in str(_web(deleted, observed, inputs)["state"])


def test_a_container_that_was_made_and_not_started_waits_for_nothing_in_particular() -> None:
    assert _web(pod(), seen(container("web", "created")))["state"] == {"waiting": {}}


def test_restart_counts_never_fall() -> None:
    spec = pod(status={"containerStatuses": [{**RAN, "containerID": "docker://web-0"}]})
    assert _web(spec, seen(container("web")))["restartCount"] == 3


@pytest.mark.parametrize(
    ("last", "reason"), [({}, "ContainerStatusUnknown"), ({"terminated": {"exitCode": 9, "reason": "Old"}}, "Old")]
)
def test_a_container_that_was_lost_keeps_its_last_end_if_it_has_one(last: Object, reason: str) -> None:
    running = {**RAN, "state": {"running": {"startedAt": EARLIER}}, "lastState": last}
    lost = _web(pod(status={"containerStatuses": [running]}), ObservedPod())
    assert lost["lastState"]["terminated"]["reason"] == reason
    assert (lost["restartCount"], "containerID" in lost) == (4, False)


def test_an_init_container_that_is_gone_has_succeeded_if_its_pod_runs() -> None:
    status = compute_pod_status(pod(init=(INIT,)), seen(container("web")), INPUTS)
    init = status["initContainerStatuses"][0]
    assert init["ready"]
    assert (init["state"]["terminated"]["exitCode"], init["state"]["terminated"]["reason"]) == (0, "Completed")
    assert status["phase"] == "Running"


def test_mounts_and_resources_are_told_whether_or_not_the_container_runs() -> None:
    spec = pod()
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w", "readOnly": True}]
    spec["spec"]["containers"][0] |= {"volumeMounts": mounts, "resources": {"requests": {"cpu": "1"}}}
    told = [{"name": "v", "mountPath": "/v"}, {**mounts[1], "recursiveReadOnly": "Disabled"}]
    waiting = _web(spec, ObservedPod())
    assert (waiting["volumeMounts"], "resources" in waiting) == (told, False)
    for state in ("created", "running", "exited"):
        status = _web(spec, seen(container("web", state)))
        assert (status["volumeMounts"], status["resources"]) == (told, {"requests": {"cpu": "1"}})
        assert status["allocatedResources"] == {"cpu": "1"}


def test_a_pod_that_was_evicted_while_a_container_waited_to_run_again_did_not_see_it_end() -> None:
    waiting = {"web": Waiting(reason="CrashLoopBackOff")}
    observed = seen(container("web", "exited", 1), sandbox="exited")
    status = _web(pod(), observed, replace(EVICTED, waiting=waiting, is_terminated=True))
    assert status["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert status["lastState"]["terminated"]["exitCode"] == 1
