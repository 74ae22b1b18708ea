"""Requirements of sig-storage on volumes that change, are shared, or must not get in one another's way."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from tests.cluster import FailedCommandError, wait_for
from tests.conformance.batch import Batch, Object, is_finished, is_ready, make_object, make_pod, shell

pytestmark = pytest.mark.docker

SOURCES = [
    {"configMap": {"name": "changing", "items": [{"key": "data", "path": "changing"}]}},
    {"configMap": {"name": "deleted", "optional": True, "items": [{"key": "data", "path": "deleted"}]}},
    {"configMap": {"name": "created", "optional": True, "items": [{"key": "data", "path": "created"}]}},
    {"secret": {"name": "changing", "items": [{"key": "data", "path": "s-changing"}]}},
    {"secret": {"name": "deleted", "optional": True, "items": [{"key": "data", "path": "s-deleted"}]}},
    {"secret": {"name": "created", "optional": True, "items": [{"key": "data", "path": "s-created"}]}},
    {"downwardAPI": {"items": [{"path": name, "fieldRef": {"fieldPath": f"metadata.{name}"}} for name in ("labels",)]}},
]
OWN = [{"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}]


def make_pair(name: str, value: str) -> list[Object]:
    """A ConfigMap and a Secret of one name."""
    return [
        make_object("ConfigMap", name, data={"data": value}),
        make_object("Secret", name, data={"data": b64encode(value.encode()).decode()}),
    ]


@pytest.fixture(scope="module")
def watched(batch: Batch) -> Batch:
    """A Pod that mounts what is going to change."""
    volumes = [{"name": "all", "projected": {"sources": SOURCES}}, {"name": "own", "downwardAPI": {"items": OWN}}]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("all", "own")]
    pod = make_pod("watcher", shell("sleep 1000", volumeMounts=mounts), volumes=volumes)
    pod["metadata"]["annotations"] = {"builder": "bar"}
    batch.create(*make_pair("changing", "old"), *make_pair("deleted", "old"), pod)
    batch.wait(is_ready, "watcher", what="the Pod runs")
    return batch


def read(batch: Batch, path: str) -> str:
    return batch.kubectl("exec", "watcher", "--", "sh", "-c", f"cat {path} 2>/dev/null || true")


def test_projected_configmap_and_secret_updates_and_optional_updates_are_reflected_in_volume(watched: Batch) -> None:
    """Requirements "Projected configMap updates should be reflected in volume", "Projected configMap optional updates
    should be reflected in volume" and "Projected secret optional updates should be reflected in volume"."""
    batch = watched
    assert [read(batch, f"/all/{name}") for name in ("changing", "deleted", "created")] == ["old", "old", ""]
    batch.kubectl("patch", "configmap", "changing", "-p", '{"data":{"data":"new"}}')
    batch.kubectl("patch", "secret", "changing", "-p", '{"stringData":{"data":"new"}}')
    batch.kubectl("delete", "configmap/deleted", "secret/deleted")
    batch.create(*make_pair("created", "new"))
    for name, expected in (("changing", "new"), ("deleted", ""), ("created", "new")):
        for prefix in ("", "s-"):
            path = f"/all/{prefix}{name}"
            wait_for(lambda path=path, expected=expected: read(batch, path) == expected, f"{path} is {expected!r}")


def test_downward_api_should_update_labels_and_annotations_on_modification(watched: Batch) -> None:
    """Requirements "Downward API volume should update annotations on modification", "Projected downwardAPI should
    update annotations on modification" and "… labels on modification"."""
    assert 'name="watcher"' in read(watched, "/all/labels")
    assert 'builder="bar"' in read(watched, "/own/annotations")
    watched.kubectl("label", "pod", "watcher", "key3=value3")
    watched.kubectl("annotate", "pod", "watcher", "builder=foo", "--overwrite")
    wait_for(lambda: 'key3="value3"' in read(watched, "/all/labels"), "the label is there")
    wait_for(lambda: 'builder="foo"' in read(watched, "/own/annotations"), "the annotation is there")


def test_emptydir_volumes_pod_should_support_shared_volumes_between_containers(batch: Batch) -> None:
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    reader = shell("until test -s /shared/file; do sleep 0.1; done; cat /shared/file", **mounts)
    writer = shell("echo 'Hello from the writer' > /shared/file", **mounts)
    batch.create(make_pod("shared", reader, writer, volumes=[{"name": "shared", "emptyDir": {}}]))
    batch.wait(is_finished, "shared", what="both have ended")
    assert batch.logs("shared", "-c", "main") == "Hello from the writer\n"


def test_emptydir_wrapper_volumes_should_not_cause_race_condition_when_used_for_configmaps(batch: Batch) -> None:
    names = [f"racing-{number}" for number in range(50)]
    volumes = [{"name": name, "configMap": {"name": name}} for name in names]
    mounts = [{"name": name, "mountPath": f"/etc/config/{name}"} for name in names]
    pods = [
        make_pod(f"racer-{number}", shell("cat /etc/config/*/data | sort -u", volumeMounts=mounts), volumes=volumes)
        for number in range(5)
    ]
    batch.create(*(make_object("ConfigMap", name, data={"data": "data-1\n"}) for name in names), *pods)
    racers = [pod["metadata"]["name"] for pod in pods]
    batch.wait(is_finished, *racers, what="all Pods have ended")
    assert {batch.logs(name) for name in racers} == {"data-1\n"}


def test_secrets_should_be_mountable_regardless_of_a_secret_with_the_same_name_in_another_namespace(
    batch: Batch,
) -> None:
    other = f"{batch.namespace}-other"
    batch.cluster.kubectl("create", "namespace", other)
    try:
        batch.cluster.kubectl("create", "-n", other, "secret", "generic", "twin", "--from-literal=data=theirs")
        batch.kubectl("create", "secret", "generic", "twin", "--from-literal=data=ours")
        mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        volumes = [{"name": "v", "secret": {"secretName": "twin"}}]
        batch.create(make_pod("twin", shell("cat /v/data", **mounts), volumes=volumes))
        batch.wait(is_finished, "twin", what="the Pod has ended")
        assert batch.logs("twin") == "ours"
    finally:
        batch.cluster.kubectl("delete", "namespace", other, "--wait=false")


def test_subpath_atomic_writer_volumes_should_support_subpaths_with_configmap_pod(batch: Batch) -> None:
    batch.create(make_object("ConfigMap", "atomic", data={"configmap-file": "configmap-contents"}))
    mount = {"name": "v", "mountPath": "/etc/one", "subPath": "configmap-file"}
    volumes = [{"name": "v", "configMap": {"name": "atomic"}}]
    batch.create(make_pod("atomic", shell("cat /etc/one; test -f /etc/one", volumeMounts=[mount]), volumes=volumes))
    batch.wait(is_finished, "atomic", what="the Pod has ended")
    assert batch.logs("atomic") == "configmap-contents"
    assert batch.pods()["atomic"]["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize("kind", ["secret", "configmap"])
def test_should_be_immutable_if_immutable_field_is_set(batch: Batch, kind: str) -> None:
    arguments = ["generic"] if kind == "secret" else []
    batch.kubectl("create", kind, *arguments, "frozen", "--from-literal=data=1")
    change = json.dumps({("stringData" if kind == "secret" else "data"): {"data": "2"}})
    batch.kubectl("patch", kind, "frozen", "-p", change)
    batch.kubectl("patch", kind, "frozen", "-p", '{"immutable":true}')
    for patch in (change.replace("2", "3"), '{"immutable":false}'):
        with pytest.raises(FailedCommandError, match="field is immutable when `immutable` is set"):
            batch.kubectl("patch", kind, "frozen", "-p", patch)
    batch.kubectl("label", kind, "frozen", "a=b")
    batch.kubectl("delete", kind, "frozen")
