"""Images that declare things of their own: a user, a stop signal, volumes, a health check, labels, a large environment.

And programs whose children end badly. Each is one Pod; all are created together.
"""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from subprocess import PIPE
from typing import Any

import pytest

from tests.cluster import Cluster, docker, wait_for
from tests.conformance.batch import Batch, Object, is_finished, is_ready, make_pod, shell
from tests.conformance.http_api import HttpApi
from tests.fakes.docker_images import busybox_archive, ensure_busybox_image, load_image

pytestmark = pytest.mark.docker

DECLARING_IMAGE = f"podling-test/declaring:{uuid.uuid4().hex[:8]}"
VARIABLES, VARIABLE_BYTES = 60, 2000
# What a container of another cluster's node would carry, were it committed as an image.
FOREIGN_LABELS = {
    "io.kubernetes.pod.uid": "somebody-elses",
    "io.kubernetes.pod.name": "somebody",
    "io.kubernetes.container.name": "else",
    "io.podling.backoff-seconds": "3000",
    "io.podling.restart-round": "7",
    "io.podling.pod-ip": "192.0.2.1",
    "io.podling.gpus": "none-such",
    "maintainer": "us",
}
DECLARING = {
    "Env": ["PATH=/bin", *(f"LARGE_{number}={'x' * VARIABLE_BYTES}" for number in range(VARIABLES))],
    "Labels": FOREIGN_LABELS,
    "User": "nobody",
    "Volumes": {"/data": {}, "/cache": {}},
    "StopSignal": "SIGQUIT",
    "Healthcheck": {"Test": ["CMD-SHELL", "exit 1"], "Interval": 1_000_000_000},
    "OnBuild": ["RUN false"],
    "Cmd": ["sh", "-c", "exit 9"],
}
# Ends well by the image's signal alone; the second container's log outlives it.
QUIT = "trap 'exit 0' QUIT; trap 'exit 5' TERM; id -u; env | grep -c ^LARGE_; echo set; "
QUIT += "while :; do sleep 0.1; done"
# A first process that waits for nobody inherits children whose own parents have become other programs.
ZOMBIES = "(sleep 0.2; for i in $(seq 5); do (sh -c 'exit 0' & exec sleep 0.05); done; echo done) & exec sleep 1000"
STATES = "cat /proc/[0-9]*/stat 2>/dev/null | cut -d' ' -f3"
# The kernel kills the child that asks for too much; its parent sees that and says so. It begins and ends when it is
# told: on cgroup v1 the engine does not hear of what happens before it listens or after the cgroup has gone.
WAIT = "until [ -e /{0} ]; do sleep 0.1; done; "
GREEDY_CHILD = f"{WAIT.format('begin')}tail /dev/zero; echo child $?; {WAIT.format('end')}exit 3"
MEMORY = {"resources": {"limits": {"memory": "24Mi"}}}


@pytest.fixture(scope="module")
def declaring_image() -> Iterator[str]:
    load_image(busybox_archive(), DECLARING_IMAGE, DECLARING)
    yield DECLARING_IMAGE
    docker("rmi", "-f", DECLARING_IMAGE, check=False)


@pytest.fixture(scope="module")
def batch(cluster: Cluster, declaring_image: str) -> Iterator[Batch]:
    ensure_busybox_image()
    namespace = "declaring-images"
    cluster.kubectl("create", "namespace", namespace)
    made = Batch(cluster, HttpApi(cluster), namespace)
    declaring = shell(QUIT, image=declaring_image)
    made.create(
        make_pod("declaring", declaring, terminationGracePeriodSeconds=30),
        make_pod("leaving", declaring, terminationGracePeriodSeconds=30),
        make_pod("hoarder", shell(ZOMBIES), shareProcessNamespace=False),
        make_pod(
            "deaf", shell("trap '' TERM; echo deaf; while :; do sleep 0.2; done"), terminationGracePeriodSeconds=2
        ),
        make_pod("greedy", shell(GREEDY_CHILD, **MEMORY), shareProcessNamespace=False),
        make_pod("greedy-shared", shell(GREEDY_CHILD, **MEMORY), shell("sleep 1000"), shareProcessNamespace=True),
        make_pod("init", {"command": ["init"]}, shareProcessNamespace=False),
        make_pod("init-shared", {"command": ["init"]}, shareProcessNamespace=True, restartPolicy="Always"),
    )
    made.wait(is_ready, "declaring", "leaving", "hoarder", "deaf", "init", what="the Pods run")
    yield made
    cluster.kubectl("delete", "namespace", namespace, "--wait=true")


def terminated(pod: Object) -> Any:
    statuses = {status["name"]: status for status in pod["status"].get("containerStatuses", ())}
    return statuses["main"]["state"].get("terminated") if statuses else None


def is_running(pod: Object) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Running")


def is_out_of_memory(pod: Object) -> bool:
    """The engine may tell a moment after the end."""
    end = terminated(pod)
    return end is not None and end["reason"] == "OOMKilled"


def container(batch: Batch, pod: str) -> dict[str, Any]:
    (found,) = batch.cluster.containers(pod, "main", everything=True)
    return found


def test_user_environment_and_command_are_the_images_and_the_pods(batch: Batch) -> None:
    wait_for(lambda: "set" in batch.logs("declaring"), "the program runs")

    assert batch.logs("declaring").split() == ["65534", str(VARIABLES), "set"]


def test_a_health_check_of_the_image_does_not_run(batch: Batch) -> None:
    wait_for(lambda: "set" in batch.logs("declaring"), "the program runs")
    found = container(batch, "declaring")

    assert found["Config"]["Healthcheck"]["Test"] == ["NONE"]
    assert "Health" not in found["State"]


def test_labels_of_the_image_confuse_nobody(batch: Batch) -> None:
    pod = batch.pods()["declaring"]
    labels = container(batch, "declaring")["Config"]["Labels"]

    assert labels["io.kubernetes.pod.uid"] == pod["metadata"]["uid"]
    assert labels["maintainer"] == "us"
    assert {name for name in FOREIGN_LABELS if not labels[name]} == {
        "io.podling.backoff-seconds", "io.podling.restart-round", "io.podling.pod-ip", "io.podling.gpus",
    }  # fmt: skip
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_container_that_got_our_labels_from_its_image_is_left_alone(batch: Batch) -> None:
    """As `docker commit` of a Pod's container and `docker run` of that image make it."""
    committed = docker("commit", container(batch, "declaring")["Id"])
    strange = docker("run", "-d", "--user", "root", committed, "sleep", "1000")
    try:
        (labels,) = json.loads(docker("inspect", "--format", "[{{json .Config.Labels}}]", strange))
        assert labels["io.podling.cluster"] == batch.cluster.name
        batch.create(make_pod("later", shell("exit 0")))
        batch.wait(is_finished, "later", what="a Pod came and went meanwhile")
        assert docker("inspect", "--format", "{{.State.Running}}", strange) == "true"
        assert is_ready(batch.pods()["declaring"])
    finally:
        docker("rm", "--force", "--volumes", strange)
        docker("rmi", committed)


def test_children_that_run_out_of_memory_are_reported(batch: Batch) -> None:
    for name in ("greedy", "greedy-shared"):
        batch.wait(is_running, name, what=f"{name} runs")
        heard = ("--filter", f"container={container(batch, name)['Id']}", "--filter", "event=oom")
        with subprocess.Popen(["docker", "events", "--since", f"{time.time():.6f}", *heard], stdout=PIPE) as events:
            batch.kubectl("exec", name, "-c", "main", "--", "touch", "/begin")
            assert events.stdout
            assert events.stdout.readline(), "the engine hears of it"
            events.terminate()
        batch.kubectl("exec", name, "-c", "main", "--", "touch", "/end", check=False)
        batch.wait(is_out_of_memory, name, what=f"{name} has ended for want of memory")
        assert terminated(batch.pods()[name])["exitCode"] in (3, 137), name


def test_zombies_stay_with_a_first_process_that_waits_for_nobody(batch: Batch) -> None:
    wait_for(lambda: "done" in batch.logs("hoarder"), "the program has forked")

    assert batch.kubectl("exec", "hoarder", "--", "sh", "-c", STATES).split().count("Z") >= 5


def test_an_init_system_runs_as_process_one_and_says_so_where_it_is_not(batch: Batch) -> None:
    assert batch.kubectl("exec", "init", "--", "cat", "/proc/1/comm").strip() == "init"

    hint = wait_for(
        lambda: [event for event in batch.events("init-shared") if event["reason"] == "SharedProcessNamespace"],
        "the Event",
    )
    assert "`shareProcessNamespace: false`" in hint[0]["message"]


def test_stop_signals_volumes_and_grace_periods_at_the_end(batch: Batch) -> None:
    wait_for(lambda: "deaf" in batch.logs("deaf"), "the trap is set")
    wait_for(lambda: "set" in batch.logs("leaving"), "the program runs")
    found = container(batch, "leaving")
    volumes = [mount["Name"] for mount in found["Mounts"] if mount["Type"] == "volume"]
    assert len(volumes) == 2
    names = ("leaving", "deaf")
    # Their objects stay to be read when the Pods have ended.
    batch.kubectl("patch", "pod", *names, "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    batch.kubectl("delete", "pod", *names, "--wait=false")
    batch.wait(terminated, *names, what="both have ended")
    codes = [terminated(batch.pod(name))["exitCode"] for name in names]
    batch.kubectl("patch", "pod", *names, "-p", '{"metadata":{"finalizers":null}}')

    assert codes == [0, 137]
    wait_for(lambda: not any(batch.cluster.containers(name, everything=True) for name in names), "no container is left")
    wait_for(lambda: not set(volumes) & set(docker("volume", "ls", "-q").split()), "no volume is left")
    batch.kubectl("wait", "--for=delete", "pod", *names)
