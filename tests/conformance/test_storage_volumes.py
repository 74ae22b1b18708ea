"""Requirements of sig-storage on the files of volumes: what is there, whose it is, with which rights.

Every requirement is a Pod that prints what it sees. Those that may do so in one container, one after the other, each
at a place of its own, are one Pod: a container costs more than all its volumes.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any

import pytest

from control.api.quantity import quantity_value
from tests.conformance.batch import Batch, Object, is_finished, make_object, make_pod, shell
from tests.conformance.resource import Resource

pytestmark = pytest.mark.docker

USER = {"runAsUser": 1000}
GROUP = {"runAsUser": 1000, "fsGroup": 1001}
FILES = "find -L /v -name '..*' -prune -o -type f -print | sort"
IS_TMPFS = "grep -c ' /v tmpfs' /proc/mounts || true"
SHOW = f'for f in $({FILES}); do echo "$f $(stat -Lc %a $f) $(cat $f)"; done'


def volume_pod(name: str, source: Object, script: str = SHOW, *, context: Any = None, **container: Any) -> Object:
    """A Pod with one volume at /v."""
    fields = {"volumeMounts": [{"name": "v", "mountPath": "/v"}], **container}
    spec = {"volumes": [{"name": "v", **source}], **({"securityContext": context} if context else {})}
    return make_pod(name, shell(script, **fields), **spec)


def two_mounts(name: str, source: Object) -> Object:
    """A Pod that mounts the same source at two places."""
    mounts = [{"name": one, "mountPath": f"/{one}"} for one in ("a", "b")]
    volumes = [{"name": one, **source} for one in ("a", "b")]
    script = 'for f in /a/data-1 /b/data-1; do echo "$f $(stat -Lc %a $f) $(cat $f)"; done'
    return make_pod(name, shell(script, volumeMounts=mounts), volumes=volumes)


def sub_path_pod(name: str, source: Object, path: str, *, place: str = "/v/file") -> Object:
    """A Pod that mounts one file of a volume."""
    mount = {"name": "v", "mountPath": place, "subPath": path}
    script = f"test -f {place} && test ! -L {place} && echo regular $(cat {place})"
    return make_pod(name, shell(script, volumeMounts=[mount]), volumes=[{"name": "v", **source}])


def projected(*sources: Object, **fields: Any) -> Object:
    return {"projected": {"sources": list(sources), **fields}}


NAME = {"fieldRef": {"fieldPath": "metadata.name"}}
RESOURCES = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
# what a file shows of them: whole cores, rounded up, and bytes
AMOUNTS = {"limits.cpu": 2, "requests.cpu": 1, "limits.memory": 64 << 20, "requests.memory": 32 << 20}


def amount_item(resource: str) -> Object:
    return {"path": resource, "resourceFieldRef": {"containerName": "main", "resource": resource}}


MAPPED = [{"key": "data-2", "path": "path/to/data-2"}]
MAPPED_MODE = [{"key": "data-2", "path": "path/to/data-2", "mode": 0o400}]
CONFIG, SECRET = {"name": "config"}, {"secretName": "secret"}
ALL_KEYS = ["/v/data-1 644 value-1", "/v/data-2 644 value-2", "/v/data-3 644 value-3"]
# requirement → (its Pod, lines that it must print)
CONTENT: dict[str, tuple[Object, list[str]]] = {
    "[sig-storage] ConfigMap binary data should be reflected in volume": (
        volume_pod("cm-binary", {"configMap": {"name": "binary"}}, "cat /v/data; hexdump -v -e '1/1 \"%02x\"' /v/dump"),
        ["value-1", "deca00fe"],
    ),
    "[sig-storage] ConfigMap should be consumable from pods in volume": (
        volume_pod("cm", {"configMap": CONFIG}),
        ALL_KEYS,
    ),
    "[sig-storage] ConfigMap should be consumable from pods in volume as non-root": (
        volume_pod("cm-user", {"configMap": CONFIG}, context=USER),
        ALL_KEYS,
    ),
    "[sig-storage] ConfigMap should be consumable from pods in volume with mappings": (
        volume_pod("cm-items", {"configMap": {**CONFIG, "items": MAPPED}}),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "[sig-storage] ConfigMap should be consumable from pods in volume with mappings as non-root": (
        volume_pod("cm-items-user", {"configMap": {**CONFIG, "items": MAPPED}}, context=USER),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "[sig-storage] ConfigMap should be consumable from pods in volume with defaultMode set": (
        volume_pod("cm-mode", {"configMap": {**CONFIG, "defaultMode": 0o400}}),
        [line.replace("644", "400") for line in ALL_KEYS],
    ),
    "[sig-storage] ConfigMap should be consumable from pods in volume with mappings and Item mode set": (
        volume_pod("cm-items-mode", {"configMap": {**CONFIG, "items": MAPPED_MODE}}),
        ["/v/path/to/data-2 400 value-2"],
    ),
    "[sig-storage] ConfigMap should be consumable in multiple volumes in the same pod": (
        two_mounts("cm-twice", {"configMap": CONFIG}),
        ["/a/data-1 644 value-1", "/b/data-1 644 value-1"],
    ),
    "[sig-storage] Projected configMap should be consumable from pods in volume": (
        volume_pod("p-cm", projected({"configMap": CONFIG})),
        ALL_KEYS,
    ),
    "[sig-storage] Projected configMap should be consumable from pods in volume as non-root": (
        volume_pod("p-cm-user", projected({"configMap": CONFIG}), context=USER),
        ALL_KEYS,
    ),
    "[sig-storage] Projected configMap should be consumable from pods in volume with mappings and Item mode set": (
        volume_pod("p-cm-mode", projected({"configMap": {**CONFIG, "items": MAPPED_MODE}})),
        ["/v/path/to/data-2 400 value-2"],
    ),
    "[sig-storage] Projected configMap should be consumable from pods in volume with mappings as non-root": (
        volume_pod("p-cm-items-user", projected({"configMap": {**CONFIG, "items": MAPPED}}), context=USER),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "[sig-storage] Projected configMap should be consumable from pods in volume with defaultMode set": (
        volume_pod("p-cm-default-mode", projected({"configMap": CONFIG}, defaultMode=0o400)),
        [line.replace("644", "400") for line in ALL_KEYS],
    ),
    "[sig-storage] Projected configMap should be consumable from pods in volume with mappings": (
        volume_pod("p-cm-items", projected({"configMap": {**CONFIG, "items": MAPPED}})),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "[sig-storage] Projected configMap should be consumable in multiple volumes in the same pod": (
        two_mounts("p-cm-twice", projected({"configMap": CONFIG})),
        ["/a/data-1 644 value-1", "/b/data-1 644 value-1"],
    ),
    "[sig-storage] Projected secret should be consumable from pods in volume": (
        volume_pod("p-s", projected({"secret": {"name": "secret"}})),
        ["/v/data-1 644 value-1", "/v/data-2 644 value-2"],
    ),
    "[sig-storage] Projected secret should be consumable from pods in volume as non-root"
    " with defaultMode and fsGroup set": (
        volume_pod("p-s-group", projected({"secret": {"name": "secret"}}, defaultMode=0o440), context=GROUP),
        ["/v/data-1 440 value-1", "/v/data-2 440 value-2"],
    ),
    "[sig-storage] Projected secret should be consumable from pods in volume with mappings": (
        volume_pod("p-s-items", projected({"secret": {"name": "secret", "items": MAPPED}})),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "[sig-storage] Projected secret should be consumable from pods in volume with defaultMode set": (
        volume_pod("p-s-mode", projected({"secret": {"name": "secret"}}, defaultMode=0o400)),
        ["/v/data-1 400 value-1", "/v/data-2 400 value-2"],
    ),
    "[sig-storage] Projected secret should be consumable from pods in volume with mappings and Item Mode set": (
        volume_pod("p-s-items-mode", projected({"secret": {"name": "secret", "items": MAPPED_MODE}})),
        ["/v/path/to/data-2 400 value-2"],
    ),
    "[sig-storage] Projected secret should be consumable in multiple volumes in a pod": (
        two_mounts("p-s-twice", projected({"secret": {"name": "secret"}})),
        ["/a/data-1 644 value-1", "/b/data-1 644 value-1"],
    ),
    "[sig-storage] Projected combined should project all components that make up the projection API": (
        volume_pod(
            "p-all",
            projected(
                {"secret": {"name": "secret", "items": [{"key": "data-1", "path": "secret"}]}},
                {"configMap": {**CONFIG, "items": [{"key": "data-1", "path": "config"}]}},
                {"downwardAPI": {"items": [{"path": "name", **NAME}, *map(amount_item, AMOUNTS)]}},
            ),
            resources=RESOURCES,
        ),
        [
            "/v/config 644 value-1",
            f"/v/limits.cpu 644 {AMOUNTS['limits.cpu']}",
            f"/v/limits.memory 644 {AMOUNTS['limits.memory']}",
            "/v/name 644 {pod}",
            f"/v/requests.cpu 644 {AMOUNTS['requests.cpu']}",
            f"/v/requests.memory 644 {AMOUNTS['requests.memory']}",
            "/v/secret 644 value-1",
        ],
    ),
    "[sig-storage] Secrets should be consumable from pods in volume": (
        volume_pod("s", {"secret": SECRET}),
        ["/v/data-1 644 value-1", "/v/data-2 644 value-2"],
    ),
    "[sig-storage] Secrets should be consumable from pods in volume as non-root with defaultMode and fsGroup set": (
        volume_pod("s-group", {"secret": {**SECRET, "defaultMode": 0o440}}, context=GROUP),
        ["/v/data-1 440 value-1", "/v/data-2 440 value-2"],
    ),
    "[sig-storage] Secrets should be consumable from pods in volume with defaultMode set": (
        volume_pod("s-mode", {"secret": {**SECRET, "defaultMode": 0o400}}),
        ["/v/data-1 400 value-1", "/v/data-2 400 value-2"],
    ),
    "[sig-storage] Secrets should be consumable from pods in volume with mappings": (
        volume_pod("s-items-default", {"secret": {**SECRET, "items": MAPPED}}),
        ["/v/path/to/data-2 644 value-2"],
    ),
    "[sig-storage] Secrets should be consumable from pods in volume with mappings and Item Mode set": (
        volume_pod("s-items", {"secret": {**SECRET, "items": MAPPED_MODE}}),
        ["/v/path/to/data-2 400 value-2"],
    ),
    "[sig-storage] Secrets should be consumable in multiple volumes in a pod": (
        two_mounts("s-twice", {"secret": SECRET}),
        ["/a/data-1 644 value-1", "/b/data-1 644 value-1"],
    ),
    "[sig-storage] Downward API volume should set mode on item file": (
        volume_pod("d-mode", {"downwardAPI": {"items": [{"path": "file", "mode": 0o400, **NAME}]}}),
        ["/v/file 400 {pod}"],
    ),
    "[sig-storage] Downward API volume should set DefaultMode on files": (
        volume_pod("d-default", {"downwardAPI": {"items": [{"path": "file", **NAME}], "defaultMode": 0o400}}),
        ["/v/file 400 {pod}"],
    ),
    "[sig-storage] Projected downwardAPI should set mode on item file": (
        volume_pod("p-d-mode", projected({"downwardAPI": {"items": [{"path": "file", "mode": 0o400, **NAME}]}})),
        ["/v/file 400 {pod}"],
    ),
    "[sig-storage] Projected downwardAPI should set DefaultMode on files": (
        volume_pod("p-d-default", projected({"downwardAPI": {"items": [{"path": "file", **NAME}]}}, defaultMode=0o400)),
        ["/v/file 400 {pod}"],
    ),
    "[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod": (
        sub_path_pod("sub-cm", {"configMap": CONFIG}, "data-1"),
        ["regular value-1"],
    ),
    "[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod"
    " with mountPath of existing file": (
        sub_path_pod("sub-cm-file", {"configMap": CONFIG}, "data-1", place="/etc/resolv.conf"),
        ["regular value-1"],
    ),
    "[sig-storage] Subpath Atomic writer volumes should support subpaths with secret pod": (
        sub_path_pod("sub-s", {"secret": SECRET}, "data-1"),
        ["regular value-1"],
    ),
    "[sig-storage] Subpath Atomic writer volumes should support subpaths with downward pod": (
        sub_path_pod("sub-d", {"downwardAPI": {"items": [{"path": "downward/name", **NAME}]}}, "downward/name"),
        ["regular {pod}"],
    ),
    "[sig-storage] Subpath Atomic writer volumes should support subpaths with projected pod": (
        sub_path_pod("sub-p", projected({"configMap": {**CONFIG, "items": MAPPED}}), "path/to/data-2"),
        ["regular value-2"],
    ),
    "[sig-storage] EmptyDir wrapper volumes should not conflict": (
        make_pod(
            "e-wrapper",
            shell(
                "cat /etc/secret/data-1 /etc/config/data-2; echo",
                volumeMounts=[{"name": name, "mountPath": f"/etc/{name}"} for name in ("secret", "config")],
            ),
            volumes=[{"name": "secret", "secret": SECRET}, {"name": "config", "configMap": CONFIG}],
        ),
        ["value-1value-2"],
    ),
    "[sig-storage] EmptyDir volumes volume on default medium should have the correct mode": (
        volume_pod("e-mode", {"emptyDir": {}}, f"stat -c %A /v; {IS_TMPFS}"),
        ["drwxrwxrwx", "0"],
    ),
    "[sig-storage] EmptyDir volumes volume on tmpfs should have the correct mode": (
        volume_pod("e-mode-tmpfs", {"emptyDir": {"medium": "Memory"}}, f"stat -c %A /v; {IS_TMPFS}"),
        ["drwxrwxrwt", "1"],
    ),
}


DOWNWARD_NAMES = (
    "[sig-storage] Downward API volume should provide container's cpu limit",
    "[sig-storage] Downward API volume should provide container's cpu request",
    "[sig-storage] Downward API volume should provide container's memory limit",
    "[sig-storage] Downward API volume should provide container's memory request",
    "[sig-storage] Projected downwardAPI should provide container's cpu limit",
    "[sig-storage] Projected downwardAPI should provide container's cpu request",
    "[sig-storage] Projected downwardAPI should provide container's memory limit",
    "[sig-storage] Projected downwardAPI should provide container's memory request",
    "[sig-storage] Downward API volume should provide node allocatable (cpu) as default cpu limit if the limit is"
    " not set",
    "[sig-storage] Downward API volume should provide node allocatable (memory) as default memory limit if the limit is"
    " not set",
    "[sig-storage] Projected downwardAPI should provide node allocatable (cpu) as default cpu limit if the limit is"
    " not set",
    "[sig-storage] Projected downwardAPI should provide node allocatable (memory) as default memory limit if the limit"
    " is not set",
    "[sig-storage] Downward API volume should provide podname only",
    "[sig-storage] Projected downwardAPI should provide podname only",
)


def downward_api_case(number: int, requirement: str) -> tuple[Object, list[str]]:
    """A Pod that shows its one item, with resources of its own where the requirement speaks of the container's."""
    pod_name = f"downward-{number}"
    if match := re.search("container's (cpu|memory) (limit|request)", requirement):
        resource = f"{match[2]}s.{match[1]}"
        item, expected, fields = amount_item(resource), AMOUNTS[resource], {"resources": RESOURCES}
    elif match := re.search(r"node allocatable \((cpu|memory)\)", requirement):
        item, expected, fields = amount_item(f"limits.{match[1]}"), f"{{{match[1]}}}", {}
    else:
        item, expected, fields = NAME, "{pod}", {}
    source = {"downwardAPI": {"items": [{**item, "path": "file"}]}}
    source = projected(source) if "Projected" in requirement else source
    return volume_pod(pod_name, source, **fields), [f"/v/file 644 {expected}"]


CONTENT |= {name: downward_api_case(number, name) for number, name in enumerate(DOWNWARD_NAMES)}


# emptyDir: who writes a file of which mode on which medium
EMPTY_DIRECTORY_NAMES = (
    "[sig-storage] EmptyDir volumes should support (non-root,0644,default)",
    "[sig-storage] EmptyDir volumes should support (non-root,0644,tmpfs)",
    "[sig-storage] EmptyDir volumes should support (non-root,0666,default)",
    "[sig-storage] EmptyDir volumes should support (non-root,0666,tmpfs)",
    "[sig-storage] EmptyDir volumes should support (non-root,0777,default)",
    "[sig-storage] EmptyDir volumes should support (non-root,0777,tmpfs)",
    "[sig-storage] EmptyDir volumes should support (root,0644,default)",
    "[sig-storage] EmptyDir volumes should support (root,0644,tmpfs)",
    "[sig-storage] EmptyDir volumes should support (root,0666,default)",
    "[sig-storage] EmptyDir volumes should support (root,0666,tmpfs)",
    "[sig-storage] EmptyDir volumes should support (root,0777,default)",
    "[sig-storage] EmptyDir volumes should support (root,0777,tmpfs)",
)
MEDIA = {"default": {}, "tmpfs": {"medium": "Memory"}}


def empty_directory_case(number: int, requirement: str) -> tuple[Object, list[str]]:
    """A Pod whose user writes a file, gives it the mode, and shows it, its owner, its content and its file system."""
    user, mode, medium = requirement.partition("(")[2].rstrip(")").split(",")
    script = f"echo content > /v/f && chmod {mode} /v/f && stat -c '%a %u' /v/f && cat /v/f && {IS_TMPFS}"
    context = USER if user == "non-root" else None
    pod = volume_pod(f"empty-{number}", {"emptyDir": MEDIA[medium]}, script, context=context)
    lines = [f"{mode.lstrip('0')} {1000 if user == 'non-root' else 0}", "content", str(int(medium == "tmpfs"))]
    return pod, lines


CONTENT |= {name: empty_directory_case(number, name) for number, name in enumerate(EMPTY_DIRECTORY_NAMES)}


def may_share(pod: Object) -> str:
    """Pods of which this is the same may be one: nothing but their volumes and scripts differs."""
    container = pod["spec"]["containers"][0]
    places = [mount["mountPath"] for mount in container["volumeMounts"]]
    needs_place = [place for place in places if place == "/etc/resolv.conf"]
    return json.dumps([pod["spec"].get("securityContext"), container.get("resources"), needs_place])


def make_one_pod(name: str, pods: dict[int, Object]) -> Object:
    """One Pod of several, by number: each mounts its volumes below a directory of its own, and prints its number."""
    volumes, mounts, scripts = [], [], []
    for number, pod in pods.items():
        container, root = pod["spec"]["containers"][0], root_of(number) if len(pods) > 1 else ""
        script = container["command"][-1]
        for place in {mount["mountPath"] for mount in container["volumeMounts"]}:
            script = script.replace(place, f"{root}{place}")
        scripts.append(f"echo {HEADER} {number}; ({script}) || failed=1")
        volumes += [{**volume, "name": f"{volume['name']}-{number}"} for volume in pod["spec"]["volumes"]]
        mounts += [
            {**mount, "name": f"{mount['name']}-{number}", "mountPath": f"{root}{mount['mountPath']}"}
            for mount in container["volumeMounts"]
        ]
    first = next(iter(pods.values()))
    container = {**first["spec"]["containers"][0], "volumeMounts": mounts}
    container["command"] = ["sh", "-c", "\n".join([*scripts, "exit ${failed:-0}"])]
    return {
        **first,
        "metadata": {"name": name},
        "spec": {**first["spec"], "containers": [container], "volumes": volumes},
    }


def root_of(number: int) -> str:
    return f"/case-{number:03}"


HEADER = "---- case"
NUMBERS = {requirement: number for number, requirement in enumerate(CONTENT)}
SHARING: dict[str, dict[int, Object]] = {}
for requirement, (pod, _) in CONTENT.items():
    SHARING.setdefault(may_share(pod), {})[NUMBERS[requirement]] = pod
PODS = {f"together-{index}": pods for index, pods in enumerate(SHARING.values())}


def encode(value: str) -> str:
    return b64encode(value.encode()).decode()


@pytest.fixture(scope="module")
def ended(batch: Batch) -> Batch:
    """All Pods have ended; what they mount is there."""
    binary = {"dump": b64encode(bytes.fromhex("deca00fe")).decode()}
    batch.create(
        make_object("ConfigMap", "config", data={f"data-{n}": f"value-{n}" for n in (1, 2, 3)}),
        make_object("ConfigMap", "binary", data={"data": "value-1\n"}, binaryData=binary),
        make_object("Secret", "secret", data={f"data-{n}": encode(f"value-{n}") for n in (1, 2)}),
    )
    batch.create(*(make_one_pod(name, pods) for name, pods in PODS.items()))
    batch.wait(is_finished, *PODS, what="the Pods have ended")
    return batch


@pytest.fixture(scope="module")
def printed(ended: Batch) -> dict[int, list[str]]:
    """What each requirement's script has printed, by its number, as if its volumes were where it says."""
    found = {}
    pods = Resource(ended.api, ended.path("pods"))
    for name in PODS:
        for part in pods.log(name).split(f"{HEADER} ")[1:]:
            number, *lines = part.splitlines()
            found[int(number)] = [line.replace(root_of(int(number)), "").replace(name, "{pod}") for line in lines]
    return found


@pytest.fixture(scope="module")
def allocatable(ended: Batch) -> dict[str, str]:
    """What a file shows of the node: cores and bytes."""
    found = ended.get("nodes")["items"][0]["status"]["allocatable"]
    return {resource: str(quantity_value(found[resource])) for resource in ("cpu", "memory")}


@pytest.mark.parametrize("requirement", CONTENT)
def test_a_container_sees(printed: dict[int, list[str]], allocatable: dict[str, str], requirement: str) -> None:
    _, expected = CONTENT[requirement]
    assert printed[NUMBERS[requirement]] == [line.format(**allocatable, pod="{pod}") for line in expected]


def test_the_scripts_succeed(ended: Batch) -> None:
    assert {name: ended.pod(name)["status"]["phase"] for name in PODS} == dict.fromkeys(PODS, "Succeeded")
