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
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import docker
import pytest

from agent.network.addresses import parse_link_name
from agent.network.host_port_rules import PORTS_MAP, parse_bindings
from agent.network.nftables import list_map
from control.cli.api_probe import ApiProbe
from control.cli.supervisor_client import ask, start_supervisor
from control.config import ClusterDirectory
from tests.cluster import Cluster, wait_for
from tests.own_ports import away_from_the_first_ports, fixed_port

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

ROUNDS = 20
#: Every round kills each of these once, in an order of its own, each at an instant of a rollout of its own.
VICTIMS = (("agent",), ("control",), ("supervisor",), ("supervisor", "control", "agent"))
#: Within this time of its beginning a rollout is under way: the kill falls somewhere into it.
INSTANT_SECONDS_MAX = 0.8
STEADY = ("steady-0", "steady-1")
REPLICAS = 2
HOST_PORT = fixed_port(20_700)


@pytest.fixture(scope="module")
def seed() -> int:
    """The seed of all decisions."""
    return int(os.environ.get("PODLING_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two nodes with a steady Pod on each and a Deployment to roll out again and again."""
    made = Cluster(tmp_path_factory.mktemp("shaken"))
    try:
        with away_from_the_first_ports():
            made.up("--nodes", "2")
        for number, name in enumerate(STEADY, 1):
            port = {"containerPort": 80, "hostPort": HOST_PORT}
            pod = {"nodeName": f"{made.name}-node-{number}", **sleeping(ports=[port])}
            made.kubectl("apply", "-f", "-", stdin=manifest("v1", "Pod", name, pod))
        template = {"metadata": {"labels": {"app": "web"}}, "spec": sleeping()}
        spec = {"replicas": REPLICAS, "selector": {"matchLabels": {"app": "web"}}, "template": template}
        made.kubectl("apply", "-f", "-", stdin=manifest("apps/v1", "Deployment", "web", spec))
        made.wait("--for=condition=Ready", *(f"pod/{name}" for name in STEADY))
        made.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
        yield made
    finally:
        made.delete()


def sleeping(**more: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "36000"]}
    return {"terminationGracePeriodSeconds": 0, "containers": [{**container, **more}]}


def manifest(api_version: str, kind: str, name: str, spec: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})


def make_probe(cluster: Cluster) -> ApiProbe:
    directory = ClusterDirectory(cluster.state)
    config = directory.load()
    assert config is not None
    return ApiProbe(directory, config)


@pytest.fixture(scope="module")
def api(shaken: Cluster) -> Iterator[ApiProbe]:
    """The API, asked without a process per question."""
    made = make_probe(shaken)
    yield made
    made.close()


class Writer(threading.Thread):
    """Creates ConfigMaps one after another and remembers which were acknowledged."""

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        super().__init__(daemon=True)  # a test that fails leaves it
        self._api = make_probe(cluster)
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
            self._done.wait(0.05)

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


def running_ids(cluster: Cluster) -> dict[str, int] | None:
    """The same once all of them run: one that was killed before may not be back."""
    ids = process_ids(cluster)
    return ids if len(ids) == 4 else None


def kill(ids: dict[str, int], victims: tuple[str, ...]) -> None:
    for name, pid in ids.items():
        if name.startswith(victims):
            # Who lost the supervisor a moment ago may be gone already.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def containers(cluster: Cluster) -> list[dict[str, Any]]:
    """All containers of the cluster: name, labels, state, id."""
    with closing(docker.APIClient()) as engine:
        found: list[dict[str, Any]] = engine.containers(
            all=True, filters={"label": f"io.podling.cluster={cluster.name}"}
        )
    return found


def steady_ids(cluster: Cluster) -> dict[str, str]:
    """Ids of the steady Pods' running containers by Pod and container name."""
    labels = [item["Labels"] | {"id": item["Id"]} for item in containers(cluster) if item["State"] == "running"]
    return {
        f"{item['io.kubernetes.pod.name']}/{item['io.kubernetes.container.name']}": item["id"]
        for item in labels
        if item["io.kubernetes.pod.name"] in STEADY
    }


def listed(api: ApiProbe, path: str) -> list[dict[str, Any]]:
    """The items of a list; the connection may be one to a server that was killed."""
    status, body = wait_for(lambda: api.get(path), "the API answers")
    assert status == 200, body
    items: list[dict[str, Any]] = body["items"]
    return items


def disorder(cluster: Cluster, api: ApiProbe) -> list[str]:
    """What differs between the API's Pods and what there is on the engine and the host; empty when all is well."""
    pods = {item["metadata"]["uid"]: item for item in listed(api, "/api/v1/pods")}
    [deployment] = listed(api, "/apis/apps/v1/deployments")
    if not is_rolled_out(deployment) or len(pods) != len(STEADY) + REPLICAS:
        return [f"the rollout is not complete: {deployment['status']}, {len(pods)} Pods"]
    running: Counter[tuple[str, str]] = Counter()
    problems = [
        f"{pod['metadata']['name']} is not Ready, or restarted"
        for pod in pods.values()
        if not all(
            one["ready"] and not one["restartCount"] for one in pod["status"].get("containerStatuses", [{"ready": 0}])
        )
    ]
    for item in containers(cluster):
        uid, name = item["Labels"]["io.kubernetes.pod.uid"], item["Labels"]["io.kubernetes.container.name"]
        if uid not in pods:
            problems.append(f"{item['Names']} belongs to no Pod")
        elif item["State"] == "running":
            running[uid, name] += 1
    wanted = Counter({(uid, name): 1 for uid in pods for name in ("POD", "main")})
    if running != wanted:
        problems.append(f"running {running - wanted} too much, {wanted - running} too little")
    addresses = {pod["status"].get("podIP") for pod in pods.values()}
    nodes = {item["status"]["addresses"][0]["address"] for item in listed(api, "/api/v1/nodes")}
    if len(addresses) != len(pods) or links(cluster) != addresses | nodes:
        problems.append(f"Pod addresses {addresses}, links for {links(cluster) - nodes}")
    led = {pod["status"].get("podIP") for pod in pods.values() if pod["metadata"]["name"] in STEADY}
    if {target.ip for target in parse_bindings(list_map(cluster.name, PORTS_MAP)).values()} != led:
        problems.append("host ports lead elsewhere")
    return problems


def is_rolled_out(deployment: dict[str, Any]) -> bool:
    status = deployment["status"]
    counts = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [REPLICAS] * 3


def links(cluster: Cluster) -> set[str]:
    """Addresses of the cluster's links on the host."""
    named = [parse_link_name(cluster.name, name) for name in os.listdir("/sys/class/net")]
    return {found[1] for found in named if found}


def wait_for_order(cluster: Cluster, api: ApiProbe, after: str) -> None:
    """Wait until nothing is wrong; what is wrong in the end is told."""
    problems: list[str] = []

    def is_orderly() -> bool:
        problems[:] = disorder(cluster, api)
        return not problems

    try:
        wait_for(is_orderly, f"order after {after}")
    except AssertionError as error:
        raise AssertionError(f"{error}: {problems}") from error


def roll_out(api: ApiProbe, value: str) -> None:
    """Begin a rollout, on top of the one that a crash may have interrupted."""
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "N", "value": value}]}]}}}}
    path = "/apis/apps/v1/namespaces/default/deployments/web"
    content_type = "application/strategic-merge-patch+json"

    def is_accepted() -> bool:
        answer = api.send("PATCH", path, patch, content_type=content_type)
        return answer is not None and answer[0] == 200

    wait_for(is_accepted, "the API takes the patch")


def test_every_crash_converges_with_nothing_lost_restarted_or_doubled(
    shaken: Cluster, api: ApiProbe, seed: int
) -> None:
    print(f"PODLING_FAULT_SEED={seed}")
    choices = random.Random(seed)
    before = steady_ids(shaken)
    assert len(before) == 2 * len(STEADY)
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        writer = Writer(shaken, f"round-{number}")
        writer.start()
        told = f"round {number}"
        for victims in choices.sample(VICTIMS, len(VICTIMS)):
            seconds = choices.uniform(0, INSTANT_SECONDS_MAX)
            told += f", {'+'.join(victims)} killed {seconds:.2f} s into a rollout"
            ids = wait_for(lambda: running_ids(shaken), "all processes run")
            roll_out(api, f"{number}-{victims}")
            # The instant of the crash is what the test is about.
            time.sleep(seconds)
            kill(ids, victims)
            if "supervisor" in victims:
                start_supervisor(ClusterDirectory(shaken.state))
        print(told, flush=True)
        acknowledged |= writer.stop()
        shaken.up()
        wait_for_order(shaken, api, told)
        assert steady_ids(shaken) == before, told
    names = {item["metadata"]["name"] for item in listed(api, "/api/v1/namespaces/default/configmaps")}
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

        def are_collected(place: str = f"nodes/*/{name}/*") -> bool:
            return {path.name for path in cluster.state.glob(place)} <= uids

        wait_for(are_collected, f"no other {name} are left")


def is_running_again(cluster: Cluster) -> bool:
    running = [item for item in containers(cluster) if item["State"] == "running"]
    return len(running) == 2 * len(cluster.get("pods")["items"])


def test_a_second_agent_of_a_node_refuses(shaken: Cluster) -> None:
    [entry, _] = [item for item in json.loads((shaken.state / "processes.json").read_text()) if "agent" in item["name"]]
    command = [argument for argument in entry["command"] if argument != "--lifeline"]
    result = subprocess.run(command, env=shaken.env, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 1
    assert re.search(r"another agent runs node \S+-node-1 \(it holds \S+\)", result.stderr)
    assert Path(f"/proc/{process_ids(shaken)[entry['name']]}").exists()
