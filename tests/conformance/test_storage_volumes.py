"""Requirements of sig-storage on the files of volumes: what is there, whose it is, with which rights.

Every requirement is one Pod that prints what it sees; all are created up front. Titles are the requirements' own.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from tests.conformance.batch import Batch, Object, is_finished, make_object, make_pod, shell

pytestmark = pytest.mark.docker

USER = {"runAsUser": 1000}
GROUP = {"runAsUser": 1000, "fsGroup": 1001}
FILES = "find -L /v -name '..*' -prune -o -type f -print | sort"
SHOW = f'for f in $({FILES}); do echo "$f $(stat -Lc %a $f) $(cat $f)"; done'


def volume_pod(name: str, source: Object, script: str = SHOW, *, context: Any = None, **container: Any) -> Object:
    """A Pod with one volume at /v."""
    fields = {"volumeMounts": [{"name": "v", "mountPath": "/v"}], **container}
    spec = {"volumes": [{"name": "v", **source}], **({"securityContext": context} if context else {})}
    return make_pod(name, shell(script, **fields), **spec)


def two_mounts(name: str, source: Object, **spec: Any) -> Object:
    """A Pod that mounts the same source at two places."""
    mounts = [{"name": one, "mountPath": f"/{one}"} for one in ("a", "b")]
    volumes = [{"name": one, **source} for one in ("a", "b")]
    return make_pod(name, shell("cat /a/data-1 /b/data-1; echo", volumeMounts=mounts), volumes=volumes, **spec)


def projected(*sources: Object, **fields: Any) -> Object:
    return {"projected": {"sources": list(sources), **fields}}


MAPPED = [{"key": "data-2", "path": "path/to/data-2"}]
MAPPED_MODE = [{"key": "data-2", "path": "path/to/data-2", "mode": 0o400}]
CONFIG, SECRET = {"name": "config"}, {"secretName": "secret"}
ALL_KEYS = ["/v/data-1 644 value-1", "/v/data-2 644 value-2", "/v/data-3 644 value-3"]
# requirement → (its Pod, lines that it must print)
CONTENT: dict[str, tuple[Object, list[str]]] = {
    "ConfigMap binary data should be reflected in volume": (
        volume_pod("cm-binary", {"configMap": {"name": "binary"}}, "cat /v/data; hexdump -v -e '1/1 \"%02x\"' /v/dump"),
        ["value-1", "deca00fe"],
    ),
    "ConfigMap should be consumable from pods in volume": (volume_pod("cm", {"configMap": CONFIG}), ALL_KEYS),
    "ConfigMap should be consumable from pods in volume as non-root": (
        volume_pod("cm-user", {"configMap": CONFIG}, context=USER),
        ALL_KEYS,
    ),
    "ConfigMap should be consumable from pods in volume with mappings": (
        volume_pod("cm-items", {"configMap": {**CONFIG, "items": MAPPED}}),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "ConfigMap should be consumable from pods in volume with mappings as non-root": (
        volume_pod("cm-items-user", {"configMap": {**CONFIG, "items": MAPPED}}, context=USER),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "Projected configMap should be consumable from pods in volume": (
        volume_pod("p-cm", projected({"configMap": CONFIG})),
        ALL_KEYS,
    ),
    "Projected configMap should be consumable from pods in volume as non-root": (
        volume_pod("p-cm-user", projected({"configMap": CONFIG}), context=USER),
        ALL_KEYS,
    ),
    "Projected configMap should be consumable from pods in volume with mappings and Item mode set": (
        volume_pod("p-cm-mode", projected({"configMap": {**CONFIG, "items": MAPPED_MODE}})),
        ["/v/path/to/data-2 400 value-2"],
    ),
    "Projected configMap should be consumable from pods in volume with mappings as non-root": (
        volume_pod("p-cm-items-user", projected({"configMap": {**CONFIG, "items": MAPPED}}), context=USER),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "Projected configMap should be consumable in multiple volumes in the same pod": (
        two_mounts("p-cm-twice", projected({"configMap": CONFIG})),
        ["value-1value-1"],
    ),
    "Projected secret should be consumable from pods in volume": (
        volume_pod("p-s", projected({"secret": {"name": "secret"}})),
        ["/v/data-1 644 value-1", "/v/data-2 644 value-2"],
    ),
    "Projected secret should be consumable from pods in volume as non-root with defaultMode and fsGroup set": (
        volume_pod("p-s-group", projected({"secret": {"name": "secret"}}, defaultMode=0o440), context=GROUP),
        ["/v/data-1 440 value-1", "/v/data-2 440 value-2"],
    ),
    "Projected secret should be consumable from pods in volume with mappings": (
        volume_pod("p-s-items", projected({"secret": {"name": "secret", "items": MAPPED}})),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "Projected secret should be consumable in multiple volumes in a pod": (
        two_mounts("p-s-twice", projected({"secret": {"name": "secret"}})),
        ["value-1value-1"],
    ),
    "Projected combined should project all components that make up the projection API": (
        volume_pod(
            "p-all",
            projected(
                {"secret": {"name": "secret", "items": [{"key": "data-1", "path": "secret"}]}},
                {"configMap": {**CONFIG, "items": [{"key": "data-1", "path": "config"}]}},
                {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            ),
        ),
        ["/v/config 644 value-1", "/v/name 644 p-all", "/v/secret 644 value-1"],
    ),
    "Secrets should be consumable from pods in volume": (
        volume_pod("s", {"secret": SECRET}),
        ["/v/data-1 644 value-1", "/v/data-2 644 value-2"],
    ),
    "Secrets should be consumable from pods in volume as non-root with defaultMode and fsGroup set": (
        volume_pod("s-group", {"secret": {**SECRET, "defaultMode": 0o440}}, context=GROUP),
        ["/v/data-1 440 value-1", "/v/data-2 440 value-2"],
    ),
    "Secrets should be consumable from pods in volume with defaultMode set": (
        volume_pod("s-mode", {"secret": {**SECRET, "defaultMode": 0o400}}),
        ["/v/data-1 400 value-1", "/v/data-2 400 value-2"],
    ),
    "Secrets should be consumable from pods in volume with mappings and Item Mode set": (
        volume_pod("s-items", {"secret": {**SECRET, "items": MAPPED_MODE}}),
        ["/v/path/to/data-2 400 value-2"],
    ),
    "Secrets should be consumable in multiple volumes in a pod": (
        two_mounts("s-twice", {"secret": SECRET}),
        ["value-1value-1"],
    ),
}


RESOURCES = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
AMOUNTS = {"limits.cpu": 1250, "requests.cpu": 250, "limits.memory": 64 << 20, "requests.memory": 32 << 20}


def downward(
    name: str, item: Object, *, is_projected: bool, script: str = "cat /v/file; echo", **fields: Any
) -> Object:
    source = {"downwardAPI": {"items": [{"path": "file", **item}]}}
    return volume_pod(name, projected(source) if is_projected else source, script, **fields)


def resource_item(resource: str) -> Object:
    divisor = "1m" if resource.endswith("cpu") else "1"
    return {"resourceFieldRef": {"containerName": "main", "resource": resource, "divisor": divisor}}


def add_downward_api() -> None:
    """The requirements of both kinds of downward API volume."""
    for title, is_projected in (("Downward API volume", False), ("Projected downwardAPI", True)):
        short = "p-d" if is_projected else "d"
        for resource, amount in AMOUNTS.items():
            what = " ".join(reversed(resource.split("."))).rstrip("s")
            pod = downward(
                f"{short}-{resource.replace('.', '-')}",
                resource_item(resource),
                is_projected=is_projected,
                resources=RESOURCES,
            )
            CONTENT[f"{title} should provide container's {what}"] = (pod, [str(amount)])
        for resource, word in (("cpu", "{cpu}"), ("memory", "{memory}")):
            pod = downward(f"{short}-node-{resource}", resource_item(f"limits.{resource}"), is_projected=is_projected)
            what = f"node allocatable ({resource}) as default {resource} limit if the limit is not set"
            CONTENT[f"{title} should provide {what}"] = (pod, [word])
        item = {"fieldRef": {"fieldPath": "metadata.name"}}
        pod = downward(f"{short}-name", item, is_projected=is_projected)
        CONTENT[f"{title} should provide podname only"] = (pod, [f"{short}-name"])
    item = {"fieldRef": {"fieldPath": "metadata.name"}, "mode": 0o400}
    pod = downward("d-mode", item, is_projected=False, script="stat -Lc %a /v/file")
    CONTENT["Downward API volume should set mode on item file"] = (pod, ["400"])


add_downward_api()


def add_empty_directories() -> None:
    """emptyDir: who writes a file of which mode on which medium."""
    matrix = (
        ("non-root", "0644", "default"),
        ("non-root", "0644", "tmpfs"),
        ("non-root", "0666", "default"),
        ("non-root", "0777", "default"),
        ("non-root", "0777", "tmpfs"),
        ("root", "0644", "default"),
        ("root", "0644", "tmpfs"),
        ("root", "0666", "tmpfs"),
        ("root", "0777", "tmpfs"),
    )
    media = {"default": {}, "tmpfs": {"medium": "Memory"}}
    for user, mode, medium in matrix:
        write = f"echo content > /v/f && chmod {mode} /v/f && stat -c '%a %u' /v/f && cat /v/f"
        script = f"{write} && grep -c ' /v tmpfs' /proc/mounts || true"
        pod = volume_pod(
            f"e-{user}-{mode}-{medium}",
            {"emptyDir": media[medium]},
            script,
            context=USER if user == "non-root" else None,
        )
        lines = [f"{mode.lstrip('0')} {1000 if user == 'non-root' else 0}", "content", str(int(medium == "tmpfs"))]
        CONTENT[f"EmptyDir volumes should support ({user},{mode},{medium})"] = (pod, lines)
    for medium, source in media.items():
        name = "default medium" if medium == "default" else medium
        pod = volume_pod(f"e-mode-{medium}", {"emptyDir": source}, "stat -c %a /v")
        CONTENT[f"EmptyDir volumes volume on {name} should have the correct mode"] = (pod, ["777"])


add_empty_directories()


def encode(value: str) -> str:
    return b64encode(value.encode()).decode()


@pytest.fixture(scope="module")
def created(batch: Batch) -> Batch:
    """All Pods of the tables and what they mount."""
    binary = {"dump": b64encode(bytes.fromhex("deca00fe")).decode()}
    batch.create(
        make_object("ConfigMap", "config", data={f"data-{n}": f"value-{n}" for n in (1, 2, 3)}),
        make_object("ConfigMap", "binary", data={"data": "value-1\n"}, binaryData=binary),
        make_object("Secret", "secret", data={f"data-{n}": encode(f"value-{n}") for n in (1, 2)}),
    )
    batch.create(*(pod for pod, _ in CONTENT.values()))
    return batch


@pytest.mark.parametrize("requirement", CONTENT)
def test_a_container_sees(created: Batch, requirement: str) -> None:
    pod, expected = CONTENT[requirement]
    name = pod["metadata"]["name"]
    created.wait(is_finished, name, what="the Pod has ended")
    allocatable = created.get("nodes")["items"][0]["status"]["allocatable"]
    facts = {"{cpu}": str(int(allocatable["cpu"]) * 1000), "{memory}": to_bytes(allocatable["memory"])}
    printed = created.logs(name).splitlines()
    assert printed == [facts.get(line, line) for line in expected]
    assert created.pods()[name]["status"]["phase"] == "Succeeded"


def to_bytes(quantity: str) -> str:
    """A quantity of the node in bytes, as text."""
    return str(int(quantity.removesuffix("Ki")) * 1024) if quantity.endswith("Ki") else quantity
