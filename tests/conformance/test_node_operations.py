"""Streams and operations of the node, as people use them: top, debug, raw pages, logs."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Kubectl, find_kubectls, oldest_and_newest, run, wait_for
from tests.conformance.batch import BUSYBOX, Batch, is_ready, make_pod, shell

pytestmark = pytest.mark.docker

MODERN = (1, 27)
BUSY = "while :; do :; done"
LINES = 11_000
# More than the 10 MiB after which the engine begins another file.
WRITER = (
    "[ -e /kept/written ] && sleep 1000; touch /kept/written; echo first; "
    f"yes $(head -c 1000 /dev/zero | tr '\\0' x) | head -n {LINES}; echo last; exit 1"
)


@pytest.fixture(scope="module")
def pods(batch: Batch) -> Batch:
    """One Pod that works, one that does nothing, and one whose first container writes a log of more than one file."""
    idle = make_pod("idle", shell("sleep 1000"))
    busy = make_pod("busy", {**shell(BUSY), "resources": {"limits": {"cpu": "200m"}}})
    kept = [{"name": "kept", "mountPath": "/kept"}]
    volumes = [{"name": "kept", "emptyDir": {}}]
    writer = make_pod("writer", shell(WRITER, volumeMounts=kept), restartPolicy="OnFailure", volumes=volumes)
    batch.create(idle, busy, writer)
    batch.wait(is_ready, "idle", "busy", what="the Pods run")
    return batch


def rows(output: str) -> dict[str, list[str]]:
    """The lines of a table without headers, by their first cell."""
    return {line.split()[0]: line.split()[1:] for line in output.splitlines()}


def millis(text: str) -> int:
    """Processors in `kubectl top`: `200m`, `2`."""
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


def test_top_shows_what_pods_and_nodes_use_to_every_kubectl(pods: Batch) -> None:
    kubectls = oldest_and_newest(MODERN)

    def top(binary: Kubectl, *arguments: str) -> dict[str, list[str]]:
        command = [binary.path, "-n", pods.namespace, "top", *arguments, "--no-headers"]
        return rows(run(command, env=pods.cluster.env).stdout)

    with ThreadPoolExecutor(2) as pool:
        for shown in pool.map(lambda binary: top(binary, "pod"), kubectls):
            assert set(shown) >= {"idle", "busy"}
            assert 20 <= millis(shown["busy"][0]) <= 400
            assert millis(shown["idle"][0]) < millis(shown["busy"][0])
        for shown in pool.map(lambda binary: top(binary, "node"), kubectls):
            (node,) = shown.values()
            assert millis(node[0]) > 0
            assert int(node[2].removesuffix("Mi")) > 50
    newest = kubectls[-1]
    assert set(top(newest, "pod", "-l", "name=idle")) == {"idle"}
    assert set(top(newest, "pod", "--field-selector", "metadata.name=busy")) == {"busy"}
    by_cpu = list(top(newest, "pod", "--sort-by", "cpu"))
    assert by_cpu.index("busy") < by_cpu.index("idle")
    assert top(newest, "pod", "idle", "--containers")["idle"][0] == "main"


def test_the_nodes_pages_are_reached_through_the_api_server(pods: Batch) -> None:
    node = pods.get("pod", "busy")["spec"]["nodeName"]

    def page(path: str) -> str:
        return pods.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/{path}")

    summary: dict[str, Any] = json.loads(page("stats/summary"))
    assert summary["node"]["nodeName"] == node
    assert summary["node"]["fs"]["capacityBytes"] > 0
    found = {item["podRef"]["name"]: item for item in summary["pods"] if item["podRef"]["namespace"] == pods.namespace}
    assert set(found) >= {"idle", "busy"}
    assert found["busy"]["containers"][0]["cpu"]["usageCoreNanoSeconds"] > 0
    assert found["busy"]["process_stats"]["process_count"] == 1
    assert "inodesUsed" in found["busy"]["containers"][0]["logs"]
    assert "swapUsageBytes" in found["busy"]["swap"]
    assert any(volume["name"].startswith("kube-api-access-") for volume in found["busy"]["volume"])
    assert [item["name"] for item in found["busy"]["network"]["interfaces"]] == ["eth0"]
    labels = f'container="main",namespace="{pods.namespace}",pod="busy"'
    assert f"container_cpu_usage_seconds_total{{{labels}}}" in page("metrics/resource")
    assert f"container_swap_usage_bytes{{{labels}}}" in page("metrics/resource")
    assert json.loads(page("configz"))["kubeletconfig"]["kind"] == "KubeletConfiguration"


def test_a_container_has_the_metrics_that_dashboards_ask_for(pods: Batch) -> None:
    """Of upstream's test/e2e_node/container_metrics_test.go those that every container has."""
    node = pods.get("pod", "busy")["spec"]["nodeName"]
    shown = pods.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/cadvisor").splitlines()
    of_pod = [line for line in shown if f'namespace="{pods.namespace}",pod="busy"' in line]
    of_container = {line.partition("{")[0]: line for line in of_pod if 'container="main"' in line}

    def value(name: str) -> float:
        return float(of_container[f"container_{name}"].rpartition("}")[2].split()[0])

    assert value("cpu_usage_seconds_total") > 0
    assert (value("processes"), value("threads"), value("oom_events_total")) == (1, 1, 0)
    assert value("file_descriptors") >= 3
    assert value("spec_cpu_period") == 100_000
    assert value("spec_cpu_quota") == 20_000
    assert value("cpu_cfs_periods_total") > 0
    assert value("spec_cpu_shares") > 2
    assert value("ulimits_soft") != 0
    assert value("memory_working_set_bytes") > 0
    assert value("fs_limit_bytes") > 0
    assert any(line.startswith("container_network_receive_packets_total{") for line in of_pod)


def test_a_node_is_debugged_in_its_own_namespaces_with_its_files(pods: Batch) -> None:
    node = pods.get("pod", "busy")["spec"]["nodeName"]
    newest = find_kubectls()[-1]
    script = "ls -d /host/etc /host/proc/1\nps | grep -v grep | grep -c control.cli.supervisor\nexit\n"

    def debug(profile: str) -> str:
        command = [newest.path, "-n", pods.namespace, "debug", f"node/{node}", "-i", f"--image={BUSYBOX}"]
        return run([*command, f"--profile={profile}", "--", "sh"], env=pods.cluster.env, stdin=script).stdout

    with ThreadPoolExecutor(2) as pool:
        for output in pool.map(debug, ("legacy", "general")):
            assert output.splitlines()[-3:-1] == ["/host/etc", "/host/proc/1"]
            assert int(output.splitlines()[-1]) >= 1


def test_a_copy_of_a_pod_is_debugged_beside_it(pods: Batch) -> None:
    pods.kubectl(
        "debug", "idle", "--copy-to=copy", f"--image={BUSYBOX}", "--container=debugger", "--share-processes",
        "--", "sh", "-c", "until grep -qx sleep /proc/[0-9]*/comm; do usleep 50000; done; echo seen; sleep 1000",
    )  # fmt: skip
    pods.wait(is_ready, "copy", what="the copy runs")
    wait_for(lambda: pods.logs("copy", "-c", "debugger") == "seen\n", "the debugger sees the process of the copy")
    assert pods.pods()["idle"]["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_manifest_of_the_node_is_a_pod_whatever_happens_to_its_mirror(pods: Batch) -> None:
    node = pods.get("pod", "busy")["spec"]["nodeName"]
    directory = pods.cluster.state / "nodes" / node / "manifests"
    file, name = directory / "static.json", f"static-{node}"

    def write(word: str) -> None:
        pod = make_pod("static", shell(f"echo {word}; sleep 1000"))
        pod["metadata"]["namespace"] = pods.namespace
        file.write_text(json.dumps(pod))

    def mirror() -> dict[str, Any]:
        return pods.pods().get(name) or {}

    (directory / "broken.yaml").write_text("kind: [")
    write("one")
    try:
        pods.wait(is_ready, name, what="the static Pod runs beside a broken manifest")
        before = mirror()["metadata"]
        container = pods.cluster.containers(name, "main")[0]["Id"]
        pods.kubectl("delete", "pod", name)
        wait_for(lambda: is_ready(mirror()) and mirror()["metadata"]["uid"] != before["uid"], "the mirror is back")
        assert pods.cluster.containers(name, "main")[0]["Id"] == container
        write("two")
        changed = "the changed manifest is another Pod"
        wait_for(lambda: pods.kubectl("logs", name, check=False) == "two\n", changed)
    finally:
        file.unlink()
        (directory / "broken.yaml").unlink()
    wait_for(lambda: not mirror() and not pods.cluster.containers(name, everything=True), "the Pod goes with its file")


def test_the_log_of_a_former_container_is_whole_after_rotations(pods: Batch) -> None:
    def restarts() -> bool:
        [status] = pods.pods()["writer"]["status"].get("containerStatuses") or [{}]
        return bool(status.get("restartCount")) and "running" in status["state"]

    wait_for(restarts, "the container runs for the second time", seconds_max=240)
    lines = pods.logs("writer", "--previous").splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("first", "last", LINES + 2)
    assert {len(line) for line in lines[1:-1]} == {1000}
    assert pods.logs("writer", "--previous", f"--tail={LINES}").splitlines() == lines[2:]
    former, present = sorted(pods.cluster.containers("writer", "main", everything=True), key=lambda one: one["Created"])
    links = Path("/var/log/pods") / f"{pods.namespace}_writer_{pods.pods()['writer']['metadata']['uid']}" / "main"
    assert {link.name: str(link.readlink()) for link in links.iterdir()} == {
        "0.log": former["LogPath"],
        "1.log": present["LogPath"],
    }
