"""Claims on a real cluster: made with their first Pod, kept across Pods, grown, and removed with their data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, wait_for
from tests.e2e.test_failing_pods import make_pod
from tests.e2e.test_pod_features import create, sh

pytestmark = pytest.mark.docker


def make_claim(name: str, **spec: Any) -> str:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec},
    }
    return json.dumps(claim)


def claiming(name: str, volume: dict[str, Any]) -> str:
    container = {"command": ["sleep", "1000"], "volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    return make_pod(name, container, volumes=[{"name": "v", **volume}])


def test_data_outlives_pods_and_goes_with_its_claim(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, make_claim("data"))
    pod = claiming("first", {"persistentVolumeClaim": {"claimName": "data"}})
    create(cluster, namespace, pod, ready="first")
    sh(cluster, namespace, "first", "echo kept > /data/file")
    cluster.kubectl("delete", "-n", namespace, "pod", "first", "--now")
    pod = claiming("second", {"persistentVolumeClaim": {"claimName": "data"}})
    create(cluster, namespace, pod, ready="second")
    assert sh(cluster, namespace, "second", "cat /data/file") == "kept\n"
    claim = cluster.get("-n", namespace, "pvc", "data")
    volume = cluster.get("pv", claim["spec"]["volumeName"])
    directory = Path(volume["spec"]["local"]["path"])
    assert (directory / "file").read_text() == "kept\n"
    patch = '{"spec":{"resources":{"requests":{"storage":"3Gi"}}}}'
    cluster.kubectl("patch", "-n", namespace, "pvc", "data", "-p", patch)
    cluster.wait("-n", namespace, "pvc/data", "--for=jsonpath={.status.capacity.storage}=3Gi")
    cluster.kubectl("delete", "-n", namespace, "pvc", "data", "--wait=false")
    assert cluster.get("-n", namespace, "pvc", "data")["metadata"]["deletionTimestamp"], "it is in use"
    cluster.kubectl("delete", "-n", namespace, "pod", "second", "--now")
    name = volume["metadata"]["name"]
    wait_for(lambda: "(NotFound)" in cluster.kubectl("get", "pv", name, check=False).stderr, "the volume is gone")
    assert not directory.exists()


def test_an_ephemeral_volume_lives_as_long_as_its_pod(cluster: Cluster, namespace: str) -> None:
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    create(cluster, namespace, claiming("p", {"ephemeral": {"volumeClaimTemplate": template}}), ready="p")
    sh(cluster, namespace, "p", "echo x > /data/file")
    assert cluster.get("-n", namespace, "pvc", "p-v")["status"]["phase"] == "Bound"
    cluster.kubectl("delete", "-n", namespace, "pod", "p", "--now", "--cascade=foreground")
    assert not cluster.kubectl("get", "-n", namespace, "pvc", "-o", "name").stdout, "the Pod goes after its claim"


def test_a_volume_made_by_hand_is_bound_and_retained(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    name = f"by-hand-{namespace}"
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "storageClassName": "",
            "hostPath": {"path": str(tmp_path)},
        },
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(volume))
    try:
        create(cluster, namespace, make_claim("data", storageClassName="", volumeName=name))
        pod = claiming("p", {"persistentVolumeClaim": {"claimName": "data"}})
        create(cluster, namespace, pod, ready="p")
        sh(cluster, namespace, "p", "echo x > /data/file")
        assert (tmp_path / "file").read_text() == "x\n"
        cluster.kubectl("delete", "-n", namespace, "pod/p", "pvc/data", "--now")
        cluster.wait(f"pv/{name}", "--for=jsonpath={.status.phase}=Released")
        assert (tmp_path / "file").exists()
    finally:
        cluster.kubectl("delete", "pv", name)
