"""Requirements of sig-node on the life of a Pod as the API shows it: generations, updates, deadlines, removal."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import Batch, Object, is_finished, is_ready, make_pod, shell

pytestmark = pytest.mark.docker

SLEEP = "exec sleep 1000"


@pytest.fixture(scope="module")
def made(batch: Batch) -> Batch:
    """The Pods of this module, created before anything is waited for."""
    generation = make_pod("generation", shell(SLEEP))
    generation["metadata"]["generation"] = 100
    guaranteed = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}}
    slow = make_pod("graceful", shell("trap '' TERM; sleep 1000"))
    slow["spec"]["terminationGracePeriodSeconds"] = 5
    batch.create(
        generation,
        slow,
        make_pod("many-updates", shell(SLEEP)),
        make_pod("guaranteed", shell(SLEEP, resources=guaranteed)),
        make_pod("deadline", shell(SLEEP)),
        make_pod("updated", shell(SLEEP)),
        make_pod("status", shell(SLEEP)),
        make_pod("user-65534", shell("test $(id -u) -eq 65534", securityContext={"runAsUser": 65534})),
        make_pod(
            "user-and-group",
            shell("test $(id -u):$(id -g) = 1001:2002", securityContext={"runAsUser": 1001, "runAsGroup": 2002}),
        ),
        make_pod(
            "user-and-group-of-the-pod",
            shell("test $(id -u):$(id -g) = 1001:2002"),
            securityContext={"runAsUser": 1001, "runAsGroup": 2002},
        ),
        make_pod(
            "unprivileged",
            shell("ip link add dummy1 type dummy; test $? -ne 0", securityContext={"privileged": False}),
        ),
    )
    return batch


def generations(pod: Object) -> tuple[int, int]:
    return pod["metadata"]["generation"], pod["status"].get("observedGeneration", 0)


def shorten_deadline(batch: Batch, name: str, number: int) -> None:
    """A deadline may be brought forward while the Pod runs: an update of its spec."""
    batch.kubectl("patch", "pod", name, "-p", json.dumps(deadline(number)))


def deadline(number: int) -> Object:
    return {"spec": {"activeDeadlineSeconds": 100_000 - number}}


def test_pod_generation_should_start_at_1_and_increment_per_update(made: Batch) -> None:
    """Requirements "… start at 1 …" and "custom-set generation on new pods"."""
    made.wait(is_ready, "generation", what="the Pod runs")
    made.wait(lambda pod: generations(pod) == (1, 1), "generation", what="a generation of one's own does not count")
    for number in (2, 3):
        shorten_deadline(made, "generation", number)
        made.wait(lambda pod, n=number: generations(pod) == (n, n), "generation", what="the update was seen")  # type: ignore[misc]
    made.kubectl("label", "pod", "generation", "a=b")
    assert generations(made.pods()["generation"])[0] == 3
    observed = {item.get("observedGeneration") for item in made.pods()["generation"]["status"]["conditions"]}
    assert observed == {3}


def test_a_graceful_delete_updates_the_generation(made: Batch) -> None:
    made.wait(is_ready, "graceful", what="the Pod runs")
    made.kubectl("delete", "pod", "graceful", "--wait=false")
    pod = made.pods()["graceful"]
    assert pod["metadata"]["generation"] == 2
    assert pod["metadata"]["deletionTimestamp"]
    wait_for(lambda: "graceful" not in made.pods(), "the Pod is gone")


def test_500_podspec_updates_converge(made: Batch) -> None:
    made.wait(is_ready, "many-updates", what="the Pod runs")
    updates = 499
    patch_all(made, "many-updates", [deadline(number) for number in range(updates)])
    made.wait(lambda one: generations(one) == (updates + 1, updates + 1), "many-updates", what="all updates were seen")
    (status,) = made.pods()["many-updates"]["status"]["containerStatuses"]
    assert status["restartCount"] == 0


def patch_all(batch: Batch, name: str, patches: list[Object]) -> None:
    """Send merge patches over one connection: `kubectl proxy` and the standard library."""
    import http.client

    command = ["kubectl", "proxy", "--port=0"]
    proxy = subprocess.Popen(command, env=batch.cluster.env, stdout=subprocess.PIPE, text=True)
    try:
        assert proxy.stdout is not None
        address = proxy.stdout.readline().split()[-1]
        connection = http.client.HTTPConnection(address)
        headers = {"Content-Type": "application/merge-patch+json"}
        for patch in patches:
            path = f"/api/v1/namespaces/{batch.namespace}/pods/{name}"
            connection.request("PATCH", path, json.dumps(patch), headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
        connection.close()
    finally:
        proxy.terminate()
        proxy.wait()
        proxy.stdout.close()  # type: ignore[union-attr]


def test_qos_class_should_be_set_on_pods_with_matching_requests_and_limits(made: Batch) -> None:
    assert made.get("pod", "guaranteed")["status"]["qosClass"] == "Guaranteed"


def test_pods_should_allow_active_deadline_seconds_to_be_updated(made: Batch) -> None:
    made.wait(is_ready, "deadline", what="the Pod runs")
    made.kubectl("patch", "pod", "deadline", "-p", '{"spec":{"activeDeadlineSeconds":3}}')
    made.wait(is_finished, "deadline", what="the deadline ends the Pod")
    status = made.pods()["deadline"]["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


def test_pods_should_be_updated(made: Batch) -> None:
    made.kubectl("label", "--overwrite", "pod", "updated", "name=changed")
    (found,) = made.get("pods", "-l", "name=changed")["items"]
    assert found["metadata"]["name"] == "updated"


def test_pods_should_be_submitted_and_removed(made: Batch) -> None:
    command = [
        "kubectl",
        "-n",
        made.namespace,
        "get",
        "pods",
        "-l",
        "name=removed",
        "-w",
        "--output-watch-events",
        "-o",
    ]
    columns = 'jsonpath={.type} {.object.metadata.deletionTimestamp}|{.object.status.phase}{"\\n"}'
    watch = subprocess.Popen([*command, columns], env=made.cluster.env, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout is not None
        made.create(make_pod("removed", shell(SLEEP)))
        made.wait(is_ready, "removed", what="the Pod runs")
        made.kubectl("delete", "pod", "removed")
        lines = [watch.stdout.readline().strip()]
        while not lines[-1].startswith("DELETED"):
            lines.append(watch.stdout.readline().strip())
        assert lines[0].startswith("ADDED |")
        assert any(line.startswith("MODIFIED 2") for line in lines), lines
        assert made.get("pods", "-l", "name=removed")["items"] == []
    finally:
        watch.terminate()
        watch.wait()
        watch.stdout.close()  # type: ignore[union-attr]


def test_pods_should_patch_a_pod_status(made: Batch) -> None:
    made.wait(is_ready, "status", what="the Pod runs")
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from a test"}
    made.kubectl(
        "patch", "pod", "status", "--subresource=status", "-p", json.dumps({"status": {"conditions": [condition]}})
    )
    made.kubectl("label", "pod", "status", "again=1")
    conditions = {item["type"]: item for item in made.get("pod", "status")["status"]["conditions"]}
    assert conditions["StatusUpdate"]["reason"] == "E2E"
    assert conditions["Ready"]["status"] == "True"


@pytest.mark.parametrize("name", ["user-65534", "user-and-group", "user-and-group-of-the-pod", "unprivileged"])
def test_security_context_of_users_and_privileges(made: Batch, name: str) -> None:
    """Requirements "Security Context … runAsUser …", "… RunAsGroup", "… unprivileged when false"."""
    made.wait(is_finished, name, what="the Pod has ended")
    assert made.pods()[name]["status"]["phase"] == "Succeeded"
