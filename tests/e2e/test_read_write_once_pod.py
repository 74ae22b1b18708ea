"""A claim ReadWriteOncePod on a real cluster: kept from other Pods by the node and by the scheduler (KEP-2485)."""

from __future__ import annotations

import json

import pytest

from tests.cluster import Cluster, wait_for
from tests.e2e.test_failing_pods import make_pod
from tests.e2e.test_persistent_volumes import make_claim
from tests.e2e.test_pod_features import create

pytestmark = pytest.mark.docker

IN_USE = "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
UNSCHEDULABLE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


def claiming(name: str, **spec: str) -> str:
    container = {"command": ["sleep", "1000"], "volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "only"}}]
    return make_pod(name, container, volumes=volumes, terminationGracePeriodSeconds=0, **spec)


def test_one_pod_has_the_claim_and_a_more_important_one_takes_it(cluster: Cluster, namespace: str) -> None:
    priority = f"important-{namespace}"
    cluster.kubectl("create", "priorityclass", priority, "--value=1000")
    try:
        create(cluster, namespace, make_claim("only", accessModes=["ReadWriteOncePod"]))
        create(cluster, namespace, claiming("first"), ready="first")
        node_name = cluster.get("-n", namespace, "pod", "first")["spec"]["nodeName"]

        create(cluster, namespace, claiming("bound-by-hand", nodeName=node_name))
        selector = "involvedObject.name=bound-by-hand,reason=FailedMount"
        events = wait_for(
            lambda: cluster.get("-n", namespace, "events", "--field-selector", selector)["items"], "it must wait"
        )
        assert IN_USE in events[0]["message"]
        waiting = "jsonpath={.status.containerStatuses[*].state.waiting.reason}"
        wait_for(
            lambda: (
                cluster.kubectl("get", "-n", namespace, "pod", "bound-by-hand", "-o", waiting).stdout
                == "ContainerCreating"
            ),
            "its container waits",
        )
        cluster.kubectl("delete", "-n", namespace, "pod", "first")
        cluster.wait("-n", namespace, "pod/bound-by-hand", "--for=condition=Ready")

        create(cluster, namespace, claiming("important", priorityClassName=priority), ready="important")
        assert "bound-by-hand" not in cluster.kubectl("get", "-n", namespace, "pods", "-o", "name").stdout

        create(cluster, namespace, claiming("last"))
        cluster.wait("-n", namespace, "pod/last", "--for=condition=PodScheduled=False")
        conditions = cluster.get("-n", namespace, "pod", "last")["status"]["conditions"]
        assert UNSCHEDULABLE in json.dumps(conditions)
        cluster.kubectl("delete", "-n", namespace, "pod", "important")
        cluster.wait("-n", namespace, "pod/last", "--for=condition=Ready")
    finally:
        cluster.kubectl("delete", "priorityclass", priority)
