"""Requirements of sig-node that need a node of their own: one that restarts soon, and may be tainted.

Its back-off between restarts is a second at most, so that five restarts do not take minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from control.api.timestamps import format_time, parse_time
from tests.conformance.batch import Batch, Object, is_ready, make_pod, message_of, shell
from tests.conformance.http_api import MERGE_PATCH
from tests.joined_node import joined_node

pytestmark = pytest.mark.docker

NODE = "soon"
HERE = {"kubernetes.io/hostname": NODE}

# --- what runs there --------------------------------------------------------------------------------------------------

# Fails in its first run, succeeds in its second, then runs for ever; a file of the Pod counts the runs.
RUNS = """echo run >> /restart-count/runs
case $(wc -l < /restart-count/runs) in 1) exit 1 ;; 2) exit 0 ;; esac
exec sleep 1000"""
#: restart policy → phase, restarts, whether the container is ready, its state
POLICIES = {
    "Always": ("Running", 2, True, "running"),
    "OnFailure": ("Succeeded", 1, False, "terminated"),
    "Never": ("Failed", 0, False, "terminated"),
}
# Healthy for a moment, then not any more.
AILING = """mkdir -p /tmp/www; echo ok > /tmp/www/healthz; (sleep 0.5; rm /tmp/www/healthz) &
exec httpd -f -p 8080 -h /tmp/www"""
RESTARTS = 5


def tolerate(key: str, seconds: int | None = None) -> Object:
    limit = {} if seconds is None else {"tolerationSeconds": seconds}
    return {"key": key, "operator": "Equal", "value": "here", "effect": "NoExecute", **limit}


#: The taint that would evict the one that is spared is taken away well before that; the other one goes still later.
SPARED_SECONDS, LATER_SECONDS = 15, 16
#: Pod → the taints it tolerates
TOLERATIONS = {
    "soon-evicted": [tolerate("limits", 1), tolerate("cancelled")],
    "later-evicted": [tolerate("limits", LATER_SECONDS), tolerate("cancelled")],
    "spared": [tolerate("limits"), tolerate("cancelled", SPARED_SECONDS)],
}


@pytest.fixture(scope="module")
def ailing(batch: Batch) -> Iterator[Iterator[Object]]:
    """Every version of the Pod that fails again and again."""
    with batch.api.watch(batch.path("pods"), "name=ailing") as events:
        yield (pod for _, pod in events)


@pytest.fixture(scope="module")
def alone(batch: Batch, ailing: Iterator[Object]) -> Iterator[Batch]:
    """The node and all its Pods, created before anything is waited for."""
    with joined_node(batch.cluster, NODE, "--max-container-restart-period=1"):
        batch.create(*restarting_pods(), *evicted_pods())
        yield batch
        batch.kubectl("delete", "pods", "--all")


def restarting_pods() -> list[Object]:
    """Pods that no taint evicts."""
    everything = {"nodeSelector": HERE, "tolerations": [{"operator": "Exists"}]}
    liveness = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    pods = [make_pod("ailing", shell(AILING, livenessProbe=liveness), restartPolicy="Always", **everything)]
    mount = {"volumeMounts": [{"name": "runs", "mountPath": "/restart-count"}]}
    volumes = [{"name": "runs", "emptyDir": {"medium": "Memory"}}]
    for policy in POLICIES:
        pods.append(make_pod(policy.lower(), shell(RUNS, **mount), restartPolicy=policy, volumes=volumes, **everything))
    return pods


def evicted_pods() -> list[Object]:
    pods = []
    for name, tolerations in TOLERATIONS.items():
        pods.append(make_pod(name, shell("exec sleep 1000"), nodeSelector=HERE, tolerations=tolerations))
        pods[-1]["metadata"]["labels"]["group"] = "evictions"
    return pods


# --- NoExecuteTaintManager: first, for the restarts go on meanwhile ---------------------------------------------------


def set_taints(batch: Batch, *keys: str) -> datetime:
    """Give the node these taints and no others; returns the time that they carry."""
    now = datetime.now(UTC).replace(microsecond=0)
    taints = [{"key": key, "value": "here", "effect": "NoExecute", "timeAdded": format_time(now)} for key in keys]
    batch.api.patch(f"/api/v1/nodes/{NODE}", {"spec": {"taints": taints}}, MERGE_PATCH)
    return now


def evicted_at(pod: Object) -> datetime:
    metadata = pod["metadata"]
    return parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=metadata["deletionGracePeriodSeconds"])


@pytest.fixture(scope="module")
def evictions(alone: Batch) -> list[tuple[str, timedelta]]:
    """Which Pods went, in their order, and how long after the taints each was told to."""
    alone.wait(is_ready, *TOLERATIONS, what="the Pods run")
    with alone.api.watch(alone.path("pods"), "group=evictions") as events:
        added = set_taints(alone, "limits", "cancelled")
        told: dict[str, timedelta] = {}
        for kind, pod in events:
            name = pod["metadata"]["name"]
            if "deletionTimestamp" in pod["metadata"] and name not in told:
                told[name] = evicted_at(pod) - added
                set_taints(alone, "limits")
            if kind == "DELETED" and len(told) == 2 and name == list(told)[1]:
                break
    return list(told.items())


@pytest.mark.requirement(
    "[sig-node] NoExecuteTaintManager Multiple Pods [Serial] evicts pods with minTolerationSeconds"
)
def test_noexecute_taint_manager_evicts_pods_with_min_toleration_seconds(
    evictions: list[tuple[str, timedelta]],
) -> None:
    (first, first_after), (second, second_after) = evictions
    assert (first, second) == ("soon-evicted", "later-evicted")
    assert first_after >= timedelta(seconds=1)
    assert second_after >= timedelta(seconds=LATER_SECONDS)


@pytest.mark.requirement("[sig-node] NoExecuteTaintManager Single Pod [Serial] removing taint cancels eviction")
def test_noexecute_taint_manager_removing_taint_cancels_eviction(
    alone: Batch, evictions: list[tuple[str, timedelta]]
) -> None:
    """By now a Pod has gone that tolerated its taint for longer."""
    assert evictions[-1][1] > timedelta(seconds=SPARED_SECONDS)
    pod = alone.pod("spared")
    assert is_ready(pod)
    assert "deletionTimestamp" not in pod["metadata"]
    cancelled = f"Cancelling deletion of Pod {alone.namespace}/spared"
    assert message_of(alone, "spared", "TaintManagerEviction") == cancelled
    messages = [event["message"] for event in alone.events("spared") if event["reason"] == "TaintManagerEviction"]
    assert messages == [cancelled]


# --- restarts ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement(
    "[sig-node] Container Runtime blackbox test when starting a container that exits should run with the expected "
    "status"
)
@pytest.mark.parametrize("policy", POLICIES)
def test_container_runtime_when_starting_a_container_that_exits_should_run_with_the_expected_status(
    alone: Batch, policy: str
) -> None:
    name, (phase, restarts, is_container_ready, state) = policy.lower(), POLICIES[policy]

    def is_as_expected(pod: Object) -> bool:
        (status,) = pod["status"].get("containerStatuses") or [{"restartCount": -1}]
        return (pod["status"]["phase"], status["restartCount"]) == (phase, restarts) and state in status["state"]

    alone.wait(is_as_expected, name, what=f"{phase} after {restarts} restarts")
    (status,) = alone.pod(name)["status"]["containerStatuses"]
    assert status["ready"] is is_container_ready
    assert is_ready(alone.pod(name)) is is_container_ready
    alone.kubectl("delete", "pod", name)
    assert name not in alone.pods()


@pytest.mark.requirement("[sig-node] Probing container should have monotonically increasing restart count")
def test_probing_container_should_have_monotonically_increasing_restart_count(
    alone: Batch, ailing: Iterator[Object]
) -> None:
    seen = [0]
    for pod in ailing:
        for status in pod["status"].get("containerStatuses") or ():
            assert status["restartCount"] in (seen[-1], seen[-1] + 1)
            seen.append(status["restartCount"])
        if seen[-1] == RESTARTS:
            break
    assert seen[-1] == RESTARTS
    assert message_of(alone, "ailing", "Killing") == "Container main failed liveness probe, will be restarted"
