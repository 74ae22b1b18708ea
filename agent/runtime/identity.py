"""Names and labels of the containers the agent makes: how Docker remembers whose they are.

Called wherever a container is created, listed or adopted. A name is unique for (Pod UID, container, attempt), so that
creating it is the create-once lock; the labels alone suffice to rebuild the agent's whole memory after a crash. Names
and `io.kubernetes.*` labels are those of the kubelet's Docker integration, which log collectors and monitors know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import orjson

from control.api.objects import ReadOnlyObject

POD_NAME_LABEL = "io.kubernetes.pod.name"
POD_NAMESPACE_LABEL = "io.kubernetes.pod.namespace"
POD_UID_LABEL = "io.kubernetes.pod.uid"
CONTAINER_NAME_LABEL = "io.kubernetes.container.name"
CONTAINER_TYPE_LABEL = "io.kubernetes.docker.type"
TERMINATION_MESSAGE_PATH_LABEL = "io.kubernetes.container.terminationMessagePath"
TERMINATION_MESSAGE_POLICY_LABEL = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD_LABEL = "io.kubernetes.pod.terminationGracePeriod"

CLUSTER_LABEL = "io.podling.cluster"
NODE_LABEL = "io.podling.node"
ATTEMPT_LABEL = "io.podling.attempt"
SPEC_HASH_LABEL = "io.podling.spec-hash"
POD_IP_LABEL = "io.podling.pod-ip"
SANDBOX_ID_LABEL = "io.podling.sandbox-id"
RESOURCES_LABEL = "io.podling.resources"
BACKOFF_LABEL = "io.podling.backoff-seconds"
ROUND_LABEL = "io.podling.restart-round"
GPUS_LABEL = "io.podling.gpus"
RECURSIVE_LABEL = "io.podling.recursive-read-only"
#: on a volume of the engine's: it is removed when nobody uses it
DISPOSABLE_LABEL = "io.podling.disposable"
#: on a holder in place of `NODE_LABEL`: to look at one whose mount hangs takes as long as the mount
HOLDER_NODE_LABEL = "io.podling.holder-node"
#: on a holder: the name of its volume
HELD_VOLUME_LABEL = "io.podling.volume"

#: what the names of labels begin with that only we, or a kubelet, give
OWN_LABELS = ("io.kubernetes.", "io.podling.")
NAME_PREFIX = "k8s"
SANDBOX_CONTAINER_NAME = "POD"
#: the type of a holder: it is none of the Pod's containers, so it is no `ContainerRole`
HOLDER_TYPE = "volumeholder"
RESOURCES_REMEMBERED_MAX = 1024


class ContainerRole(Enum):
    """What a container is to its Pod; the values are the kubelet's."""

    SANDBOX = "podsandbox"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIdentity:
    """Which node of which cluster makes the containers; several may share one engine."""

    cluster: str
    node: str

    def labels(self) -> dict[str, str]:
        """The labels that select every container of this node."""
        return {CLUSTER_LABEL: self.cluster, NODE_LABEL: self.node}

    def holder_labels(self) -> dict[str, str]:
        """The labels that select every container of this node that holds a volume mounted."""
        return {CLUSTER_LABEL: self.cluster, HOLDER_NODE_LABEL: self.node}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerIdentity:
    """Whose a container is, read back from its labels. `resources` is the JSON of what it was created with, a
    sandbox's that of the whole Pod.

    `backoff_seconds` is the delay that follows the container's end, `round` how often its Pod had started over,
    `is_recursive` that those of its mounts are recursively read-only that are so if possible; `gpus` are UUIDs of the
    graphics cards that it has.
    """

    role: ContainerRole
    pod_name: str
    pod_namespace: str
    pod_uid: str
    container_name: str
    attempt: int
    spec_hash: str = ""
    pod_ip: str = ""
    sandbox_id: str = ""
    cluster: str = ""
    node: str = ""
    termination_message_path: str = ""
    termination_message_policy: str = ""
    grace_period_seconds: int | None = None
    resources: str = ""
    backoff_seconds: float = 0.0
    round: int = 0
    is_recursive: bool = False
    gpus: tuple[str, ...] = ()


def sandbox_name(pod: ReadOnlyObject, attempt: int) -> str:
    """Name of the Pod's pause container: `k8s_POD_<pod>_<namespace>_<uid>_<attempt>`."""
    return container_name(pod, SANDBOX_CONTAINER_NAME, attempt)


def container_name(pod: ReadOnlyObject, name: str, attempt: int) -> str:
    """Name of one container of the Pod. Kubernetes names contain no underscore, so the parts stay separable."""
    metadata = pod["metadata"]
    return f"{NAME_PREFIX}_{name}_{metadata['name']}_{metadata.get('namespace', 'default')}_{metadata['uid']}_{attempt}"


def sandbox_labels(owner: NodeIdentity, pod: ReadOnlyObject, *, attempt: int, pod_ip: str = "") -> dict[str, str]:
    """Labels of the pause container. The Pod IP is recorded here: the labels are the record of allocated addresses."""
    labels = _pod_labels(owner, pod, attempt)
    labels[CONTAINER_NAME_LABEL] = SANDBOX_CONTAINER_NAME
    labels[CONTAINER_TYPE_LABEL] = ContainerRole.SANDBOX.value
    labels[RESOURCES_LABEL] = format_pod_resources(pod)
    if pod_ip:
        labels[POD_IP_LABEL] = pod_ip
    return labels


def container_labels(
    owner: NodeIdentity,
    pod: ReadOnlyObject,
    container: ReadOnlyObject,
    *,
    attempt: int,
    sandbox_id: str,
    backoff_seconds: float = 0.0,
    round: int = 0,
    is_recursive: bool = False,
    gpus: Sequence[str] = (),
) -> dict[str, str]:
    """Labels of a container of the Pod, with what its end needs even when the Pod object is gone by then."""
    labels = _pod_labels(owner, pod, attempt)
    labels[CONTAINER_NAME_LABEL] = container["name"]
    labels[CONTAINER_TYPE_LABEL] = ContainerRole.CONTAINER.value
    labels[SPEC_HASH_LABEL] = spec_hash(container)
    labels[SANDBOX_ID_LABEL] = sandbox_id
    labels[RESOURCES_LABEL] = format_resources(container)
    if backoff_seconds:
        labels[BACKOFF_LABEL] = f"{backoff_seconds:g}"
    if round:
        labels[ROUND_LABEL] = str(round)
    if is_recursive:
        labels[RECURSIVE_LABEL] = "true"
    if gpus:
        labels[GPUS_LABEL] = ",".join(gpus)
    labels[TERMINATION_MESSAGE_PATH_LABEL] = container.get("terminationMessagePath") or "/dev/termination-log"
    labels[TERMINATION_MESSAGE_POLICY_LABEL] = container.get("terminationMessagePolicy") or "File"
    return labels


def holder_labels(owner: NodeIdentity, pod: ReadOnlyObject, volume_name: str) -> dict[str, str]:
    """Labels of the container that keeps a volume of the engine's mounted: the Pod's, but none of its containers."""
    labels = {**_pod_labels(owner, pod, 0), **owner.holder_labels(), CONTAINER_TYPE_LABEL: HOLDER_TYPE}
    del labels[NODE_LABEL]
    labels[HELD_VOLUME_LABEL] = volume_name
    return labels


def volume_labels(cluster: str, *, is_disposable: bool) -> dict[str, str]:
    """Labels of a volume that is made for Pods. It belongs to no node: several of one engine may use it."""
    return {CLUSTER_LABEL: cluster, **({DISPOSABLE_LABEL: "true"} if is_disposable else {})}


def _pod_labels(owner: NodeIdentity, pod: ReadOnlyObject, attempt: int) -> dict[str, str]:
    metadata = pod["metadata"]
    labels = owner.labels()
    labels[POD_NAME_LABEL] = metadata["name"]
    labels[POD_NAMESPACE_LABEL] = metadata.get("namespace", "default")
    labels[POD_UID_LABEL] = metadata["uid"]
    labels[ATTEMPT_LABEL] = str(attempt)
    grace = pod.get("spec", {}).get("terminationGracePeriodSeconds")
    if grace is not None:
        labels[GRACE_PERIOD_LABEL] = str(grace)
    return labels


def format_resources(container: ReadOnlyObject) -> str:
    """The container's resources as a label keeps them: compact JSON with sorted keys."""
    return _compact(container.get("resources") or {})


def format_pod_resources(pod: ReadOnlyObject) -> str:
    """All resources of a Pod as its sandbox's label keeps them: JSON of its own and, by name, its containers'."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    whole = {
        "pod": spec.get("resources") or {},
        "containers": {item["name"]: item["resources"] for item in containers if item.get("resources")},
    }
    return _compact(whole)


@lru_cache(maxsize=RESOURCES_REMEMBERED_MAX)
def parse_resources(text: str) -> Mapping[str, Any]:
    """Read either back. Many Pods have the same, and each is asked for them time and again: the answer is shared."""
    resources: Mapping[str, Any] = orjson.loads(text)
    return resources


def _compact(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def spec_hash(container: ReadOnlyObject) -> str:
    """Hash of the fields whose change replaces a container: name and image, as the kubelet's since 1.31.

    Every other field of a container is either immutable or changed in place, so hashing all would only restart
    containers when a newer version of the API adds a default.
    """
    picked = {"name": container.get("name"), "image": container.get("image")}
    return hashlib.sha256(json.dumps(picked, sort_keys=True).encode()).hexdigest()[:16]


def hide_image_labels(labels: Mapping[str, str], image_labels: Mapping[str, str]) -> dict[str, str]:
    """The labels with empty ones for those of ours that only the image has.

    Docker gives a container the labels of its image, and `docker commit` gives an image those of its container.
    """
    foreign = {name: "" for name in image_labels if name.startswith(OWN_LABELS)}
    return {**foreign, **labels}


def own_identity(name: str, labels: Mapping[str, str]) -> ContainerIdentity | None:
    """The identity of a container that bears the name it should; None for one that got its labels from its image."""
    identity = parse_identity(labels)
    if identity is None:
        return None
    parts = (identity.container_name, identity.pod_name, identity.pod_namespace, identity.pod_uid, identity.attempt)
    return identity if name == "_".join((NAME_PREFIX, *map(str, parts))) else None


def parse_identity(labels: Mapping[str, str]) -> ContainerIdentity | None:
    """Read an identity back; None for a container that is not one of ours or whose labels are damaged."""
    try:
        role = ContainerRole(labels[CONTAINER_TYPE_LABEL])
        grace = labels.get(GRACE_PERIOD_LABEL) or None
        return ContainerIdentity(
            role=role,
            pod_name=labels[POD_NAME_LABEL],
            pod_namespace=labels[POD_NAMESPACE_LABEL],
            pod_uid=labels[POD_UID_LABEL],
            container_name=labels[CONTAINER_NAME_LABEL],
            attempt=int(labels[ATTEMPT_LABEL]),
            spec_hash=labels.get(SPEC_HASH_LABEL, ""),
            pod_ip=labels.get(POD_IP_LABEL, ""),
            sandbox_id=labels.get(SANDBOX_ID_LABEL, ""),
            cluster=labels.get(CLUSTER_LABEL, ""),
            node=labels.get(NODE_LABEL, ""),
            termination_message_path=labels.get(TERMINATION_MESSAGE_PATH_LABEL, ""),
            termination_message_policy=labels.get(TERMINATION_MESSAGE_POLICY_LABEL, ""),
            grace_period_seconds=int(grace) if grace is not None else None,
            resources=labels.get(RESOURCES_LABEL, ""),
            backoff_seconds=float(labels.get(BACKOFF_LABEL) or 0),
            round=int(labels.get(ROUND_LABEL) or 0),
            is_recursive=bool(labels.get(RECURSIVE_LABEL)),
            gpus=tuple(filter(None, labels.get(GPUS_LABEL, "").split(","))),
        )
    except (KeyError, ValueError):
        return None
