"""Pods that cannot run say why, and leave the others alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster import Cluster, wait_for

pytestmark = pytest.mark.docker


def make_pod(name: str, container: dict[str, Any], **spec: Any) -> str:
    main = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent"} | container
    body = {"containers": [main], "terminationGracePeriodSeconds": 1, **spec}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body})


def waiting(cluster: Cluster, namespace: str, pod: str) -> dict[str, Any]:
    statuses = cluster.get("-n", namespace, "pod", pod)["status"].get("containerStatuses", [])
    found: dict[str, Any] = statuses[0]["state"].get("waiting", {}) if statuses else {}
    return found


def event_messages(cluster: Cluster, namespace: str, pod: str) -> dict[str, str]:
    events = cluster.get("-n", namespace, "events", "--field-selector", f"involvedObject.name={pod}")["items"]
    return {f"{event['reason']}: {event['message']}": event["type"] for event in events}


def wait_for_event(cluster: Cluster, namespace: str, pod: str, start: str) -> str:
    """The type of the Event whose reason and message begin so. Events are written beside what they tell of."""

    def find() -> str:
        messages = event_messages(cluster, namespace, pod)
        return next((messages[text] for text in messages if text.startswith(start)), "")

    found: str = wait_for(find, f"an Event of {pod}: {start}")
    return found


def wait_for_log(cluster: Cluster, namespace: str, pod: str, text: str) -> str:
    """The log of a Pod once it has this text: what runs may be Ready before it has printed anything."""

    def find() -> str:
        log: str = cluster.kubectl("logs", "-n", namespace, pod).stdout
        return log if text in log else ""

    found: str = wait_for(find, f"{text!r} in the log of {pod}")
    return found


def test_an_image_that_does_not_exist_backs_off_and_leaves_other_pods_alone(cluster: Cluster, namespace: str) -> None:
    image = "127.0.0.1:1/no/such-image:1"
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=make_pod("healthy", {"command": ["sleep", "1000"]}))
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/healthy")
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=make_pod("broken", {"image": image}))
    wait_for(
        lambda: waiting(cluster, namespace, "broken").get("reason") in ("ErrImagePull", "ImagePullBackOff"),
        "pull fails",
    )
    state = wait_for(
        lambda: (found := waiting(cluster, namespace, "broken")).get("reason") == "ImagePullBackOff" and found,
        "the pull backs off",
    )
    assert state["message"].startswith(f'Back-off pulling image "{image}"')
    for event_type, start in (
        ("Normal", f'Pulling: Pulling image "{image}"'),
        ("Warning", f'Failed: Failed to pull image "{image}": '),
        ("Warning", "Failed: Error: ErrImagePull"),
        ("Normal", f'BackOff: Back-off pulling image "{image}"'),
    ):
        assert wait_for_event(cluster, namespace, "broken", start) == event_type
    assert cluster.get("-n", namespace, "pod", "broken")["status"]["phase"] == "Pending"
    healthy = cluster.get("-n", namespace, "pod", "healthy")["status"]["containerStatuses"][0]
    assert healthy["ready"]
    assert healthy["restartCount"] == 0


def test_pull_policy_never_without_the_image_says_so(cluster: Cluster, namespace: str) -> None:
    manifest = make_pod("never", {"image": "podling-test/none:1", "imagePullPolicy": "Never"})
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)
    state = wait_for(
        lambda: (found := waiting(cluster, namespace, "never")).get("reason") == "ErrImageNeverPull" and found,
        "the policy forbids the pull",
    )
    assert state["message"] == 'Container image "podling-test/none:1" is not present with pull policy of Never'


def test_a_command_that_does_not_exist_is_a_start_error(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=make_pod("wrong", {"command": ["/no/such/program"]}))

    def failed() -> Any:
        status = cluster.get("-n", namespace, "pod", "wrong")["status"].get("containerStatuses", [{}])[0]
        return status.get("lastState", {}).get("terminated") or status.get("state", {}).get("terminated")

    terminated = wait_for(failed, "the container failed to start")
    assert terminated["reason"] in ("ContainerCannotRun", "StartError")
    assert terminated["exitCode"] in (127, 128)
    assert "/no/such/program" in terminated["message"]


def test_a_missing_config_map_is_a_config_error_and_heals_when_it_appears(cluster: Cluster, namespace: str) -> None:
    env = [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}}]
    manifest = make_pod("needy", {"command": ["sh", "-c", "echo $COLOUR; sleep 1000"], "env": env})
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)
    state = wait_for(
        lambda: (found := waiting(cluster, namespace, "needy")).get("reason") == "CreateContainerConfigError" and found,
        "the container waits for its configuration",
    )
    assert state["message"] == 'configmap "settings" not found'
    cluster.kubectl("create", "-n", namespace, "configmap", "settings", "--from-literal=colour=red")
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/needy")
    assert wait_for_log(cluster, namespace, "needy", "\n") == "red\n"


def test_restart_policies_decide_what_becomes_of_a_finished_container(cluster: Cluster, namespace: str) -> None:
    for name, policy, code in (("done", "Never", 0), ("failed", "Never", 3), ("onfailure", "OnFailure", 0)):
        manifest = make_pod(name, {"command": ["sh", "-c", f"exit {code}"]}, restartPolicy=policy)
        cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)
    for name, phase in (("done", "Succeeded"), ("failed", "Failed"), ("onfailure", "Succeeded")):
        cluster.wait("-n", namespace, f"--for=jsonpath={{.status.phase}}={phase}", f"pod/{name}")
    status = cluster.get("-n", namespace, "pod", "failed")["status"]["containerStatuses"][0]
    assert status["state"]["terminated"]["exitCode"] == 3
    assert status["restartCount"] == 0
    again = make_pod("again", {"command": ["sh", "-c", "exit 3"]}, restartPolicy="OnFailure")
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=again)
    wait_for(
        lambda: (
            cluster.get("-n", namespace, "pod", "again")["status"]
            .get("containerStatuses", [{}])[0]
            .get("restartCount", 0)
            >= 1
        ),
        "OnFailure restarts a failed container",
    )


def test_a_pod_that_fits_nowhere_stays_pending_with_the_schedulers_words(cluster: Cluster, namespace: str) -> None:
    manifest = make_pod("large", {"resources": {"requests": {"cpu": "1000"}}})
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)

    def condition() -> Any:
        conditions = cluster.get("-n", namespace, "pod", "large")["status"].get("conditions", [])
        return next((item for item in conditions if item["type"] == "PodScheduled" and item["status"] == "False"), None)

    found = wait_for(condition, "the scheduler gives its verdict")
    assert found["reason"] == "Unschedulable"
    assert found["message"].startswith("0/1 nodes are available: 1 Insufficient cpu.")
