"""Requirements of sig-node on init containers: what each version of a Pod may say until they are done."""

from __future__ import annotations

import pytest

from tests.conformance.batch import BUSYBOX, Batch, Object, is_finished, is_ready, make_pod, shell

pytestmark = pytest.mark.docker


def init_pod(name: str, first: str, container: Object, policy: str) -> Object:
    """A Pod of two init containers, of which the first runs that command."""
    image = {"image": BUSYBOX, "imagePullPolicy": "IfNotPresent"}
    initial = [
        {"name": init, **image, "command": [command]} for init, command in (("init1", first), ("init2", "/bin/true"))
    ]
    pod = make_pod(name, container, initContainers=initial, restartPolicy=policy)
    pod["metadata"]["labels"]["group"] = "init"
    return pod


@pytest.fixture(scope="module")
def initialized(batch: Batch) -> dict[str, list[Object]]:
    """Every version of every Pod until it is what it is going to be."""
    runs = shell("exec sleep 1000")
    with batch.api.watch(batch.path("pods"), "group=init") as events:
        batch.create(
            init_pod("never", "/bin/true", shell("exit 0"), "Never"),
            init_pod("always", "/bin/true", runs, "Always"),
            init_pod("never-failing", "/bin/false", runs, "Never"),
            init_pod("always-failing", "/bin/false", runs, "Always"),
        )
        versions: dict[str, list[Object]] = {name: [] for name in DONE}
        while not all(versions[name] and is_done(versions[name][-1]) for name, is_done in DONE.items()):
            pod = next(events)[1]
            versions[pod["metadata"]["name"]].append(pod)
    return versions


def is_tried_again(pod: Object) -> bool:
    """True when the first init container has failed and was started once more."""
    first = (pod["status"].get("initContainerStatuses") or [{}])[0]
    return first.get("restartCount", 0) >= 1 and "terminated" in first["lastState"]


#: Pod → what it is going to be
DONE = {"never": is_finished, "always": is_ready, "never-failing": is_finished, "always-failing": is_tried_again}


def initialized_condition(pod: Object) -> Object:
    found: Object = {item["type"]: item for item in pod["status"].get("conditions", ())}.get("Initialized", {})
    return found


@pytest.mark.parametrize("name", DONE)
def test_what_a_pod_says_until_its_init_containers_are_done(initialized: dict[str, list[Object]], name: str) -> None:
    """Invariants that upstream's tests of init containers check in every version of the Pod."""
    was_initialized = False
    for pod in initialized[name]:
        status = pod["status"]
        initial = status.get("initContainerStatuses") or ()
        done = [item["state"].get("terminated", {}).get("exitCode") == 0 for item in initial]
        assert all("waiting" in item["state"] for item, before in zip(initial[1:], done, strict=False) if not before)
        if initial and not all(done):
            for item in status["containerStatuses"]:
                assert item["state"] == {"waiting": {"reason": "PodInitializing"}}
                assert item["restartCount"] == 0
        if initial:
            condition = initialized_condition(pod)
            assert condition["lastTransitionTime"]
            assert condition["status"] == ("True" if all(done) else "False")
            assert not was_initialized or condition["status"] == "True"
            was_initialized = condition["status"] == "True"


@pytest.mark.requirement(
    "[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartNever pod"
)
def test_should_invoke_init_containers_on_a_restart_never_pod(initialized: dict[str, list[Object]]) -> None:
    check_success(initialized["never"][-1], "Succeeded")


@pytest.mark.requirement(
    "[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartAlways pod"
)
def test_should_invoke_init_containers_on_a_restart_always_pod(initialized: dict[str, list[Object]]) -> None:
    check_success(initialized["always"][-1], "Running")


def check_success(pod: Object, phase: str) -> None:
    assert pod["status"]["phase"] == phase
    assert initialized_condition(pod)["status"] == "True"
    statuses = pod["status"]["initContainerStatuses"]
    assert [item["state"]["terminated"]["exitCode"] for item in statuses] == [0, 0]
    assert [item["ready"] for item in statuses] == [True, True]
    assert [item["restartCount"] for item in statuses] == [0, 0]


@pytest.mark.requirement(
    "[sig-node] InitContainer [NodeConformance] should not start app containers and fail the pod if init containers "
    "fail on a RestartNever pod"
)
def test_should_not_start_app_containers_and_fail_the_pod_if_init_containers_fail_on_a_restart_never_pod(
    initialized: dict[str, list[Object]],
) -> None:
    pod = initialized["never-failing"][-1]
    assert pod["status"]["phase"] == "Failed"
    check_failure(pod)
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 1


@pytest.mark.requirement(
    "[sig-node] InitContainer [NodeConformance] should not start app containers if init containers fail on a "
    "RestartAlways pod"
)
def test_should_not_start_app_containers_if_init_containers_fail_on_a_restart_always_pod(
    initialized: dict[str, list[Object]],
) -> None:
    pod = initialized["always-failing"][-1]
    assert pod["status"]["phase"] == "Pending"
    check_failure(pod)


def check_failure(pod: Object) -> None:
    condition = initialized_condition(pod)
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [init1 init2]",
    )
