"""kill -9 of the cluster's own processes at random instants of a rollout: everything converges, nothing is lost.

The seed decides victims and instants; it is printed, and PODLING_FAULT_SEED sets it.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.network.addresses import parse_link_name
from control.cli.api_probe import ApiProbe
from control.cli.supervisor_client import ask
from control.config import ClusterDirectory
from tests.cluster import Cluster, docker, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

ROUNDS = 20
VICTIMS = (("supervisor",), ("control",), ("agent",), ("supervisor", "control", "agent"), ("control", "agent"))
#: Within this time of its beginning a rollout is under way: the kill falls somewhere into it.
INSTANT_SECONDS_MAX = 1.5
STEADY = ("steady-0", "steady-1")


@pytest.fixture(scope="module")
def seed() -> int:
    """The seed of all decisions."""
    return int(os.environ.get("PODLING_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two nodes with a steady Pod on each and a Deployment to roll out again and again."""
    made = Cluster(tmp_path_factory.mktemp("shaken"))
    try:
        made.up("--nodes", "2")
        for number, name in enumerate(STEADY, 1):
            pod = {"nodeName": f"{made.name}-node-{number}", **sleeping()}
            made.kubectl("apply", "-f", "-", stdin=manifest("v1", "Pod", name, pod))
        template = {"metadata": {"labels": {"app": "web"}}, "spec": sleeping()}
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
        made.kubectl("apply", "-f", "-", stdin=manifest("apps/v1", "Deployment", "web", spec))
        made.wait("--for=condition=Ready", *(f"pod/{name}" for name in STEADY))
        made.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
        yield made
    finally:
        made.delete()


def sleeping() -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "36000"],
    }
    return {"terminationGracePeriodSeconds": 0, "containers": [container]}


def manifest(api_version: str, kind: str, name: str, spec: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})


class Writer(threading.Thread):
    """Creates ConfigMaps one after another and remembers which were acknowledged."""

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        super().__init__()
        directory = ClusterDirectory(cluster.state)
        config = directory.load()
        assert config is not None
        self._api = ApiProbe(directory, config)
        self._prefix = prefix
        self._done = threading.Event()
        self.acknowledged: set[str] = set()

    def run(self) -> None:
        number = 0
        while not self._done.is_set():
            number += 1
            name = f"{self._prefix}-{number}"
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
            answer = self._api.send("POST", "/api/v1/namespaces/default/configmaps", body)
            if answer is not None and answer[0] == 201:
                self.acknowledged.add(name)
            self._done.wait(0.01)

    def stop(self) -> set[str]:
        self._done.set()
        self.join()
        self._api.close()
        return self.acknowledged


def process_ids(cluster: Cluster) -> dict[str, int]:
    """Process ids of supervisor, control and agents, as the supervisor says."""
    answer = ask(ClusterDirectory(cluster.state), "status")
    assert answer is not None
    return {"supervisor": answer["pid"], **{item["name"]: item["pid"] for item in answer["processes"] if item["pid"]}}


def kill(ids: dict[str, int], victims: tuple[str, ...]) -> None:
    for name, pid in ids.items():
        if name.startswith(victims):
            os.kill(pid, signal.SIGKILL)


def containers(cluster: Cluster) -> list[dict[str, Any]]:
    """`docker inspect` of all containers of the cluster."""
    ids = docker("ps", "-aq", "--no-trunc", "--filter", f"label=io.podling.cluster={cluster.name}").split()
    return json.loads(docker("inspect", *ids, check=False)) if ids else []


def steady_ids(cluster: Cluster) -> dict[str, str]:
    """Ids of the steady Pods' running containers by Pod and container name."""
    labels = [item["Config"]["Labels"] | {"id": item["Id"]} for item in containers(cluster) if item["State"]["Running"]]
    return {
        f"{item['io.kubernetes.pod.name']}/{item['io.kubernetes.container.name']}": item["id"]
        for item in labels
        if item["io.kubernetes.pod.name"] in STEADY
    }


def disorder(cluster: Cluster) -> list[str]:
    """What differs between the API's Pods and what there is on the engine and the host; empty when all is well."""
    objects = cluster.get("pods,nodes")["items"]
    pods = {item["metadata"]["uid"]: item for item in objects if item["kind"] == "Pod"}
    running: Counter[tuple[str, str]] = Counter()
    problems = [
        f"{pod['metadata']['name']} is not Ready, or restarted"
        for pod in pods.values()
        if not all(
            one["ready"] and not one["restartCount"] for one in pod["status"].get("containerStatuses", [{"ready": 0}])
        )
    ]
    for item in containers(cluster):
        labels = item["Config"]["Labels"]
        if labels["io.kubernetes.pod.uid"] not in pods:
            problems.append(f"{item['Name']} belongs to no Pod")
        elif item["State"]["Running"]:
            running[labels["io.kubernetes.pod.uid"], labels["io.kubernetes.container.name"]] += 1
    wanted = Counter({(uid, name): 1 for uid in pods for name in ("POD", "main")})
    if running != wanted:
        problems.append(f"running {running - wanted} too much, {wanted - running} too little")
    addresses = {pod["status"].get("podIP") for pod in pods.values()}
    nodes = {item["status"]["addresses"][0]["address"] for item in objects if item["kind"] == "Node"}
    if len(addresses) != len(pods) or links(cluster) != addresses | nodes:
        problems.append(f"Pod addresses {addresses}, links for {links(cluster) - nodes}")
    return problems


def links(cluster: Cluster) -> set[str]:
    """Addresses of the cluster's links on the host."""
    named = [parse_link_name(cluster.name, name) for name in os.listdir("/sys/class/net")]
    return {found[1] for found in named if found}


def is_orderly(cluster: Cluster) -> bool:
    return not disorder(cluster)


def test_every_crash_converges_with_nothing_lost_restarted_or_doubled(shaken: Cluster, seed: int) -> None:
    print(f"PODLING_FAULT_SEED={seed}")
    choices = random.Random(seed)
    before = steady_ids(shaken)
    assert len(before) == 2 * len(STEADY)
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        victims, seconds = VICTIMS[number % len(VICTIMS)], choices.uniform(0, INSTANT_SECONDS_MAX)
        told = f"round {number}: {'+'.join(victims)} killed {seconds:.2f} s into the rollout"
        print(told)
        ids = process_ids(shaken)
        writer = Writer(shaken, f"round-{number}")
        writer.start()
        environment = [{"name": "ROUND", "value": str(number)}]
        template = {"spec": {"containers": [{"name": "main", "env": environment}]}}
        shaken.kubectl("patch", "deployment", "web", "-p", json.dumps({"spec": {"template": template}}))
        # The instant of the crash is what the test is about.
        time.sleep(seconds)
        kill(ids, victims)
        acknowledged |= writer.stop()
        shaken.up()
        shaken.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        wait_for(lambda: is_orderly(shaken), f"order after {told}", seconds_max=30)
        assert steady_ids(shaken) == before, told
    names = {item["metadata"]["name"] for item in shaken.get("configmaps")["items"]}
    assert acknowledged
    assert acknowledged <= names, f"lost: {sorted(acknowledged - names)}"
    leave_nothing_behind(shaken)


def leave_nothing_behind(cluster: Cluster) -> None:
    """Directories of Pods that are gone are collected at the latest when the agents start again."""
    cluster.podling("down")
    cluster.up()
    wait_for(lambda: is_running_again(cluster), "the Pods run again")
    uids = {pod["metadata"]["uid"] for pod in cluster.get("pods")["items"]}
    for name in ("pods", "volumes"):
        directories = {path.name for path in cluster.state.glob(f"nodes/*/{name}/*")}
        assert directories <= uids, name


def is_running_again(cluster: Cluster) -> bool:
    running = [item for item in containers(cluster) if item["State"]["Running"]]
    return len(running) == 2 * len(cluster.get("pods")["items"])


def test_a_second_agent_of_a_node_refuses(shaken: Cluster) -> None:
    [entry, _] = [item for item in json.loads((shaken.state / "processes.json").read_text()) if "agent" in item["name"]]
    command = [argument for argument in entry["command"] if argument != "--lifeline"]
    result = subprocess.run(command, env=shaken.env, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 1
    assert re.search(r"another agent runs node \S+-node-1 \(it holds \S+\)", result.stderr)
    assert Path(f"/proc/{process_ids(shaken)[entry['name']]}").exists()
