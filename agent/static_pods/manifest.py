"""From the text of a manifest to the static Pod it means: decoded, judged, defaulted and named. Pure.

Upstream: tryDecodeSinglePod and applyDefaults (pkg/kubelet/config/common.go), v1.36.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import yaml

from agent.static_pods.api_references import find_api_reference
from control.api.objects import Object
from control.api.timestamps import format_micro_time

HASH_ANNOTATION = "kubernetes.io/config.hash"
SEEN_ANNOTATION = "kubernetes.io/config.seen"
SOURCE_ANNOTATION = "kubernetes.io/config.source"
#: what a PriorityClass of every cluster would give
_PRIORITIES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_NAME_LENGTH_MAX = 253
_LISTS = ("containers", "initContainers", "volumes", "tolerations")


class ManifestError(ValueError):
    """A file that is no static Pod; the message says why."""


def read_manifest(
    content: bytes, path: str, node_name: str, now: datetime, *, shares_processes: bool = False
) -> Object:
    """Make the static Pod of a file. `shares_processes` is what an unset shareProcessNamespace means.

    Raises ManifestError.
    """
    try:
        return _make_pod(_decode(content), path, node_name, now, shares_processes=shares_processes)
    except ManifestError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        # Whatever stands where a Pod has something else must not stop the node.
        raise ManifestError(f"it has a field of another type than a Pod's: {error}") from error


def _make_pod(pod: Any, path: str, node_name: str, now: datetime, *, shares_processes: bool) -> Object:
    _judge_shape(pod)
    uid = pod["metadata"].get("uid") or _uid_of(pod, path, node_name)
    metadata, spec = dict(pod["metadata"]), dict(pod["spec"])
    metadata["name"] = f"{metadata['name']}-{node_name.lower()}"
    metadata.setdefault("namespace", "default")
    metadata["uid"] = uid
    annotations = {HASH_ANNOTATION: uid, SEEN_ANNOTATION: format_micro_time(now), SOURCE_ANNOTATION: "file"}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
    _default_spec(spec, node_name, shares_processes=shares_processes)
    problem = next(_problems(made), "")
    if problem:
        raise ManifestError(f"invalid pod: {problem}")
    if resource := find_api_reference(made):
        raise ManifestError(f"static pods may not reference {resource}")
    return made


def is_same_pod(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two readings of a file mean the same Pod, but for when they were made."""
    return _unstamped(one) == _unstamped(other)


def _unstamped(pod: Mapping[str, Any]) -> Object:
    metadata = pod["metadata"]
    annotations = {name: text for name, text in metadata["annotations"].items() if name != SEEN_ANNOTATION}
    return {**pod, "metadata": {**metadata, "annotations": annotations}}


def _decode(content: bytes) -> Any:
    try:
        # JSON is YAML. Times stay the texts that they are in an object of the API.
        return json.loads(json.dumps(yaml.safe_load(content), default=str))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError(f"cannot be read as YAML or JSON: {' '.join(str(error).split())}") from error


def _judge_shape(pod: Any) -> None:
    if not isinstance(pod, dict) or (pod.get("apiVersion"), pod.get("kind")) != ("v1", "Pod"):
        raise ManifestError("it is no Pod of v1")
    for name in ("metadata", "spec"):
        if not isinstance(pod.get(name), dict):
            raise ManifestError(f"{name} is no object")
    for name in _LISTS:
        items = pod["spec"].get(name)
        if items is not None and (not isinstance(items, list) or not all(isinstance(item, dict) for item in items)):
            raise ManifestError(f"spec.{name} is no list of objects")
    name = pod["metadata"].get("name")
    if not isinstance(name, str):
        raise ManifestError("metadata.name is missing")


def _uid_of(pod: Object, path: str, node_name: str) -> str:
    """As the kubelet: node, file and content make the identity, so a changed file is another Pod."""
    facts = json.dumps(["host", node_name, "file", path, pod], sort_keys=True)
    return hashlib.md5(facts.encode(), usedforsecurity=False).hexdigest()


def _default_spec(spec: Object, node_name: str, *, shares_processes: bool) -> None:
    spec["nodeName"] = node_name
    for name, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("terminationGracePeriodSeconds", 30),
        ("schedulerName", "default-scheduler"),
        ("enableServiceLinks", True),
        ("securityContext", {}),
    ):
        spec.setdefault(name, value)
    if shares_processes and not spec.get("hostPID"):
        spec.setdefault("shareProcessNamespace", True)
    if spec.get("priorityClassName") in _PRIORITIES:
        spec.setdefault("priority", _PRIORITIES[spec["priorityClassName"]])
    # Problems of the node end no static Pod (applyDefaults of the kubelet).
    everything = {"operator": "Exists", "effect": "NoExecute"}
    spec["tolerations"] = [*(item for item in spec.get("tolerations") or () if item != everything), everything]
    for name in ("initContainers", "containers"):
        if spec.get(name):
            spec[name] = [_defaulted(item, on_host=bool(spec.get("hostNetwork"))) for item in spec[name]]


def _defaulted(container: Object, *, on_host: bool) -> Object:
    made = {
        "imagePullPolicy": _pull_policy(str(container.get("image") or "")),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        **container,
    }
    if made.get("ports"):
        made["ports"] = [
            {"protocol": "TCP", **({"hostPort": port.get("containerPort")} if on_host else {}), **port}
            for port in made["ports"]
        ]
    return made


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _problems(pod: Object) -> Iterator[str]:
    """The mistakes that would make the Pod something else than it says, worded as upstream's validation."""
    metadata, spec = pod["metadata"], pod["spec"]
    if len(metadata["name"]) > _NAME_LENGTH_MAX or not _NAME.fullmatch(metadata["name"]):
        yield f'metadata.name: Invalid value: "{metadata["name"]}": a lowercase RFC 1123 subdomain must be used'
    if not _LABEL.fullmatch(str(metadata["namespace"])):
        yield f'metadata.namespace: Invalid value: "{metadata["namespace"]}": a lowercase RFC 1123 label must be used'
    if not isinstance(metadata["uid"], str):
        yield "metadata.uid: Invalid value: must be a string"
    grace = spec["terminationGracePeriodSeconds"]
    if not isinstance(grace, int) or grace < 0:
        yield "spec.terminationGracePeriodSeconds: Invalid value: must be greater than or equal to 0"
    if spec["restartPolicy"] not in ("Always", "OnFailure", "Never"):
        yield f'spec.restartPolicy: Unsupported value: "{spec["restartPolicy"]}"'
    if spec.get("ephemeralContainers"):
        yield "spec.ephemeralContainers: Forbidden: static pods cannot have ephemeral containers"
    if not spec.get("containers"):
        yield "spec.containers: Required value"
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from _container_problems(f"spec.{field}[{index}]", container, volumes, names)


def _container_problems(path: str, container: Object, volumes: set[Any], names: set[str]) -> Iterator[str]:
    name = container.get("name")
    if not isinstance(name, str) or not _LABEL.fullmatch(name):
        yield f'{path}.name: Invalid value: "{name or ""}": a lowercase RFC 1123 label must be used'
    elif name in names:
        yield f'{path}.name: Duplicate value: "{name}"'
    names.add(str(name))
    if not isinstance(container.get("image"), str) or not container["image"]:
        yield f"{path}.image: Required value"
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if not mount.get("mountPath"):
            yield f"{path}.volumeMounts[{index}].mountPath: Required value"
        if mount.get("name") not in volumes:
            yield f'{path}.volumeMounts[{index}].name: Not found: "{mount.get("name", "")}"'
