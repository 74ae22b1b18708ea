"""Volumes of the engine's own, and file systems on devices of the node, on real Docker: Pods that all run at once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, docker, wait_for
from tests.conformance.batch import Batch, Object, is_ready, make_pod, shell
from tests.conformance.http_api import HttpApi
from tests.fakes.docker_images import ensure_busybox_image

pytestmark = pytest.mark.docker

MOUNT = {"name": "v", "mountPath": "/data"}
NFS = {"server": "127.0.0.1", "path": "/exports/none"}


@pytest.fixture
def names(namespace: str) -> Iterator[tuple[str, str]]:
    """Two Docker volumes of this test: one made by hand, and the name of one that is not there yet."""
    by_hand, made = f"{namespace}-by-hand", f"{namespace}-made"
    docker("volume", "create", by_hand)
    yield by_hand, made
    docker("volume", "rm", "-f", by_hand, made)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """An empty block device of 16 MB."""
    file = tmp_path / "disk"
    file.touch()
    file.open("r+b").truncate(16 << 20)
    found = subprocess.run(["losetup", "-f", "--show", str(file)], capture_output=True, text=True, check=True)
    yield found.stdout.strip()
    subprocess.run(["losetup", "-d", found.stdout.strip()], check=True)


def bound_pair(namespace: str, name: str, source: Object, **spec: Any) -> tuple[Object, Object]:
    """A PersistentVolume and the claim that is bound to it."""
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume_spec = {**common, "capacity": {"storage": "1Mi"}, **source, **spec}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{namespace}-{name}"}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}}
    claim_spec = {**common, "volumeName": f"{namespace}-{name}", "resources": {"requests": {"storage": "1Mi"}}}
    return {**volume, "spec": volume_spec}, {**claim, "spec": claim_spec}


def running(name: str, volume: Object, *mounts: Object, first: str = "true") -> Object:
    container = shell(f"{first}; sleep 1000", volumeMounts=[MOUNT, *mounts])
    return make_pod(name, container, volumes=[{"name": "v", **volume}], restartPolicy="Always")


def claimed(name: str) -> Object:
    return {"persistentVolumeClaim": {"claimName": name}}


def test_what_pods_see_of_docker_volumes_and_devices(
    cluster: Cluster, namespace: str, names: tuple[str, str], device: str, request: pytest.FixtureRequest
) -> None:
    by_hand, made = names
    ensure_busybox_image()
    api = HttpApi(cluster)
    request.addfinalizer(api.close)
    batch = Batch(cluster, api, namespace)
    mountpoint = Path(json.loads(docker("volume", "inspect", by_hand))[0]["Mountpoint"])
    (mountpoint / "file").write_text("mine\n")
    memory = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    affinity = {"required": {"nodeSelectorTerms": terms}}
    batch.create(
        *bound_pair(namespace, "by-hand", {"csi": {"driver": "docker.podling.io", "volumeHandle": by_hand}}),
        *bound_pair(
            namespace,
            "made",
            {"csi": {"driver": "docker.podling.io", "volumeHandle": made, "volumeAttributes": memory}},
        ),
        *bound_pair(namespace, "disk", {"local": {"path": device, "fsType": "ext4"}}, nodeAffinity=affinity),
        running("by-hand", claimed("by-hand")),
        running(
            "made", claimed("made"), {**MOUNT, "mountPath": "/part", "subPath": "a/b"}, first="ls /data/a /data/a/b"
        ),
        running("inline", {"csi": {"driver": "docker.podling.io", "volumeAttributes": memory}}),
        running("disk", claimed("disk")),
        running("nfs", {"nfs": NFS}),
    )
    try:
        works = ("by-hand", "made", "inline", "disk")
        batch.wait(is_ready, *works, what="they run")
        assert batch.kubectl("exec", "by-hand", "--", "cat", "/data/file") == "mine\n"
        batch.kubectl("exec", "made", "--", "sh", "-c", "echo kept > /part/file; kill -9 -1", check=False)
        batch.wait(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1, "made", what="a restart")
        batch.wait(is_ready, "made", what="it runs again")
        assert batch.kubectl("exec", "made", "--", "cat", "/data/a/b/file") == "kept\n", "memory outlives a restart"
        assert "ext4" in batch.kubectl("exec", "disk", "--", "grep", " /data ", "/proc/mounts")
        inline = batch.get("pod", "inline")["metadata"]["uid"]
        assert json.loads(docker("volume", "inspect", f"podling_{inline}_v"))[0]["Options"] == memory
        [message] = wait_for(lambda: mount_failures(batch), "the mount fails")
        assert message.startswith('MountVolume.SetUp failed for volume "v" : error while mounting volume')
        assert "failed to mount local volume: mount :/exports/none:" in message
        assert batch.get("pod", "nfs")["status"]["phase"] == "Pending"
    finally:
        volumes = {made, *(f"podling_{pod['metadata']['uid']}_v" for pod in batch.pods().values())}
        batch.kubectl("delete", "pod,pvc", "--all")
        cluster.kubectl("delete", "pv", *(f"{namespace}-{name}" for name in ("by-hand", "made", "disk")))
    wait_for(lambda: not leftovers(namespace, volumes, device), "nothing is left")
    assert (mountpoint / "file").exists()


def leftovers(namespace: str, volumes: set[str], device: str) -> list[str]:
    """Volumes, holders and mounts that have not gone with their Pods."""
    label = f"label=io.kubernetes.pod.namespace={namespace}"
    holders = docker("ps", "-a", "--filter", label, "--format", "{{.Names}}").split()
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if line.startswith(f"{device} ")]
    return [*volumes.intersection(docker("volume", "ls", "-q").split()), *holders, *mounts]


def mount_failures(batch: Batch) -> list[str]:
    return sorted({event["message"] for event in batch.events("nfs") if event["reason"] == "FailedMount"})
