"""Requirements of sig-storage on volumes that change, are shared, or must not get in one another's way."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from tests.cluster import FailedCommandError, wait_for
from tests.conformance.batch import Batch, Object, is_finished, is_ready, make_object, make_pod, shell

pytestmark = pytest.mark.docker

KINDS = ("configMap", "secret")
FOLLOWED = (*KINDS, *(f"projected {kind}" for kind in KINDS))
# prints a file's content, or that it is missing, and again whenever that has changed
FOLLOW = (
    "seen=; while sleep 0.2; do now=$(cat /v/{key} 2>/dev/null || echo missing);"
    ' [ "$now" = "$seen" ] || echo "$now"; seen=$now; done'
)
# volume of its own → the file that is followed
KEYS = {"deleted": "data-1", "created": "data-1", "updated": "data-3", "changed": "data-1"}
OWN = [{"path": name, "fieldRef": {"fieldPath": f"metadata.{name}"}} for name in ("labels", "annotations")]
OWN_PROJECTED = {"downwardAPI": {"items": OWN}}


def make_source(kind: str, name: str, **values: str) -> Object:
    """A ConfigMap or Secret."""
    if kind == "secret":
        return make_object(
            "Secret", name, data={key: b64encode(value.encode()).decode() for key, value in values.items()}
        )
    return make_object("ConfigMap", name, data=values)


def make_volume(kind: str, name: str) -> Object:
    """A volume of an optional ConfigMap or Secret, as a type of its own or projected."""
    if kind.startswith("projected "):
        return {"name": name, "projected": {"sources": [{kind.split()[1]: {"name": name, "optional": True}}]}}
    return {"name": name, kind: {("secretName" if kind == "secret" else "name"): name, "optional": True}}


def make_follower(kind: str) -> Object:
    """A Pod with a container for each volume, which follows one file of it."""
    containers = [
        {"name": name, **shell(FOLLOW.format(key=key), volumeMounts=[{"name": name, "mountPath": "/v"}])}
        for name, key in KEYS.items()
    ]
    return make_pod(follower_of(kind), *containers, volumes=[make_volume(kind, name) for name in KEYS])


def follower_of(kind: str) -> str:
    return f"follows-{kind.lower().replace(' ', '-')}"


@pytest.fixture(scope="module")
def followed(batch: Batch) -> Batch:
    """Pods that mount what is going to change."""
    volumes = [{"name": "own", "downwardAPI": {"items": OWN}}, {"name": "p", "projected": {"sources": [OWN_PROJECTED]}}]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("own", "p")]
    pod = make_pod("watcher", shell("sleep 1000", volumeMounts=mounts), volumes=volumes)
    pod["metadata"]["annotations"] = {"builder": "bar"}
    sources = [
        make_source(kind, name, **{"data-1": "value-1"}) for kind in KINDS for name in ("deleted", "updated", "changed")
    ]
    followers = [make_follower(kind) for kind in FOLLOWED]
    batch.create(*sources, *followers, pod)
    batch.wait(is_ready, "watcher", *(item["metadata"]["name"] for item in followers), what="the Pods run")
    return batch


@pytest.fixture(scope="module")
def changed(followed: Batch) -> Batch:
    """What the containers saw at first is now deleted, created, given other keys, and given another value."""
    before = {"deleted": "value-1", "created": "missing", "updated": "missing", "changed": "value-1"}
    for kind in FOLLOWED:
        for name, text in before.items():
            wait_for(lambda kind=kind, name=name, text=text: seen(followed, kind, name) == [text], f"{kind} {name}")
    followed.kubectl("delete", "configmap/deleted", "secret/deleted")
    for kind in KINDS:
        followed.create(make_source(kind, "created", **{"data-1": "value-1"}))
        replaced = (
            make_source(kind, "updated", **{"data-3": "value-3"}),
            make_source(kind, "changed", **{"data-1": "value-2"}),
        )
        body = {"apiVersion": "v1", "kind": "List", "items": list(replaced)}
        followed.kubectl("replace", "-f", "-", stdin=json.dumps(body))
    return followed


def seen(batch: Batch, kind: str, container: str) -> list[str]:
    """What a container has seen, in this order."""
    return batch.logs(follower_of(kind), "-c", container).splitlines()


def assert_follows(batch: Batch, kind: str, after: dict[str, str]) -> None:
    for name, text in after.items():
        wait_for(
            lambda name=name, text=text: seen(batch, kind, name)[-1] == text,
            f"{kind} {name} is {text}",
            seconds_max=240,
        )


UPDATES = {
    "[sig-storage] ConfigMap updates should be reflected in volume": "configMap",
    "[sig-storage] Projected configMap updates should be reflected in volume": "projected configMap",
}


@pytest.mark.parametrize("requirement", UPDATES)
def test_a_new_value_reaches_the_volume(changed: Batch, requirement: str) -> None:
    assert_follows(changed, UPDATES[requirement], {"changed": "value-2"})


OPTIONAL_UPDATES = {
    "[sig-storage] ConfigMap optional updates should be reflected in volume": "configMap",
    "[sig-storage] Secrets optional updates should be reflected in volume": "secret",
    "[sig-storage] Projected configMap optional updates should be reflected in volume": "projected configMap",
    "[sig-storage] Projected secret optional updates should be reflected in volume": "projected secret",
}


@pytest.mark.parametrize("requirement", OPTIONAL_UPDATES)
def test_optional_sources_come_go_and_change_in_the_volume(changed: Batch, requirement: str) -> None:
    after = {"deleted": "missing", "created": "value-1", "updated": "value-3"}
    assert_follows(changed, OPTIONAL_UPDATES[requirement], after)


def read(batch: Batch, path: str) -> str:
    return batch.kubectl("exec", "watcher", "--", "cat", path)


@pytest.mark.requirement("[sig-storage] Downward API volume should update labels on modification")
@pytest.mark.requirement("[sig-storage] Downward API volume should update annotations on modification")
@pytest.mark.requirement("[sig-storage] Projected downwardAPI should update annotations on modification")
@pytest.mark.requirement("[sig-storage] Projected downwardAPI should update labels on modification")
def test_changed_labels_and_annotations_reach_the_volumes(followed: Batch) -> None:
    for volume in ("own", "p"):
        assert read(followed, f"/{volume}/labels") == 'name="watcher"'
        assert 'builder="bar"\n' in read(followed, f"/{volume}/annotations") + "\n"
    followed.kubectl("label", "pod", "watcher", "key3=value3")
    followed.kubectl("annotate", "pod", "watcher", "builder=foo", "--overwrite")
    for volume in ("own", "p"):
        wait_for(lambda volume=volume: 'key3="value3"' in read(followed, f"/{volume}/labels"), "the label is there")
        annotations = f"/{volume}/annotations"
        wait_for(lambda path=annotations: 'builder="foo"' in read(followed, path), "the annotation is there")


@pytest.mark.requirement("[sig-storage] EmptyDir volumes pod should support shared volumes between containers")
def test_one_container_reads_what_another_has_written(batch: Batch) -> None:
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    reader = shell("until test -s /shared/file; do sleep 0.1; done; cat /shared/file", **mounts)
    writer = shell("echo 'Hello from the writer' > /shared/file", **mounts)
    batch.create(make_pod("shared", reader, writer, volumes=[{"name": "shared", "emptyDir": {}}]))
    batch.wait(is_finished, "shared", what="both have ended")
    assert batch.logs("shared", "-c", "main") == "Hello from the writer\n"


@pytest.mark.requirement(
    "[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps"
)
def test_five_pods_with_fifty_config_maps_each_run(batch: Batch) -> None:
    names = [f"racing-{number}" for number in range(50)]
    items = [{"key": "data-1", "path": "data-1"}]
    volumes = [{"name": name, "configMap": {"name": name, "items": items}} for name in names]
    mounts = [{"name": name, "mountPath": f"/etc/config/{name}"} for name in names]
    script = "cat /etc/config/*/data-1 | uniq -c; exec sleep 1000"
    pod = make_pod("racer", shell(script, volumeMounts=mounts), volumes=volumes, restartPolicy="Always")
    template = {"metadata": {"labels": {"racer": "yes"}}, "spec": pod["spec"]}
    spec = {"replicas": 5, "selector": {"racer": "yes"}, "template": template}
    config_maps = [make_object("ConfigMap", name, data={"data-1": "value-1\n"}) for name in names]
    batch.create(*config_maps, make_object("ReplicationController", "racer", spec=spec))

    def running() -> list[str]:
        pods = batch.get("pods", "-l", "racer=yes")["items"]
        return [pod["metadata"]["name"] for pod in pods if is_ready(pod)]

    wait_for(lambda: len(running()) == 5, "all five run", seconds_max=240)
    for name in running():
        wait_for(lambda name=name: batch.logs(name).split() == ["50", "value-1"], f"{name} has read all")
    batch.kubectl("delete", "rc", "racer", "--wait=false")


@pytest.mark.requirement(
    "[sig-storage] Secrets should be able to mount in a volume"
    " regardless of a different secret existing with same name in different namespace"
)
def test_the_secret_of_the_pods_own_namespace_is_mounted(batch: Batch) -> None:
    other = f"{batch.namespace}-other"
    batch.cluster.kubectl("create", "namespace", other)
    try:
        batch.cluster.kubectl("create", "-n", other, "secret", "generic", "twin", "--from-literal=data=theirs")
        batch.kubectl("create", "secret", "generic", "twin", "--from-literal=data=ours")
        mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        volumes = [{"name": "v", "secret": {"secretName": "twin"}}]
        batch.create(make_pod("twin", shell("stat -Lc %a /v/*; cat /v/data", **mounts), volumes=volumes))
        batch.wait(is_finished, "twin", what="the Pod has ended")
        assert batch.logs("twin") == "644\nours"
    finally:
        batch.cluster.kubectl("delete", "namespace", other, "--wait=false")


@pytest.mark.requirement("[sig-storage] ConfigMap should be immutable if `immutable` field is set")
@pytest.mark.requirement("[sig-storage] Secrets should be immutable if `immutable` field is set")
@pytest.mark.parametrize("kind", ["secret", "configmap"])
def test_what_is_immutable_stays(batch: Batch, kind: str) -> None:
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
