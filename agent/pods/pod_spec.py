"""Questions to a Pod's spec that several decisions ask."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from agent.pods.observed import ObservedContainer
from control.api.objects import ReadOnlyObject
from control.api.volumes import used_volumes

RESTART_ALL_CONTAINERS = "RestartAllContainers"


class ContainerType(Enum):
    """Which list of the spec a container stands in."""

    INIT = "initContainers"
    REGULAR = "containers"
    EPHEMERAL = "ephemeralContainers"


def init_containers(pod: ReadOnlyObject) -> list[Any]:
    """The init containers, restartable ones (sidecars) included."""
    return pod["spec"].get("initContainers") or []


def regular_containers(pod: ReadOnlyObject) -> list[Any]:
    """The containers of `spec.containers`."""
    return pod["spec"].get("containers") or []


def ephemeral_containers(pod: ReadOnlyObject) -> list[Any]:
    """The containers that `kubectl debug` adds to a running Pod."""
    return pod["spec"].get("ephemeralContainers") or []


def all_containers(pod: ReadOnlyObject) -> Iterator[Any]:
    """Init containers first, then the regular ones, then the ephemeral ones."""
    yield from init_containers(pod)
    yield from regular_containers(pod)
    yield from ephemeral_containers(pod)


def image_volumes(pod: ReadOnlyObject) -> list[Any]:
    """The volumes whose files are those of an image, and that containers use."""
    mounted, _ = used_volumes(pod)
    return [volume for volume in pod["spec"].get("volumes") or () if volume.get("image") and volume["name"] in mounted]


def find_container(pod: ReadOnlyObject, name: str) -> Any | None:
    """A container of the spec by name, or None."""
    return next((container for container in all_containers(pod) if container["name"] == name), None)


def is_init(pod: ReadOnlyObject, name: str) -> bool:
    """True for the name of an init container, sidecars included."""
    return any(container["name"] == name for container in init_containers(pod))


def is_ephemeral(pod: ReadOnlyObject, name: str) -> bool:
    """True for the name of an ephemeral container."""
    return any(container["name"] == name for container in ephemeral_containers(pod))


def field_path(pod: ReadOnlyObject, container_name: str) -> str:
    """`spec.containers{nginx}`: how Events name a container; empty for one that is not of the Pod."""
    for listed in ContainerType:
        if any(container["name"] == container_name for container in pod["spec"].get(listed.value) or ()):
            return f"spec.{listed.value}{{{container_name}}}"
    return ""


def is_sidecar(container: ReadOnlyObject) -> bool:
    """True for an init container with restartPolicy Always. Only meaningful for init containers."""
    return container.get("restartPolicy") == "Always"


def pod_restart_policy(pod: ReadOnlyObject) -> str:
    """The Pod's restartPolicy."""
    return str(pod["spec"].get("restartPolicy") or "Always")


def needs_restart(pod: ReadOnlyObject, container: ReadOnlyObject, exited: ObservedContainer) -> bool:
    """True when its policy or rules want a container back that exited."""
    return restarts_after(pod, container, exited.record.exit_code)


def restarts_after(pod: ReadOnlyObject, container: ReadOnlyObject, exit_code: int) -> bool:
    """True when the restart policy (the container's own, its rules, or the Pod's) wants a container back."""
    if restart_rule_action(container, exit_code):
        return True
    policy = container.get("restartPolicy") or pod_restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def restart_rule_action(container: ReadOnlyObject, exit_code: int) -> str:
    """The action of the first of the container's rules that matches (`Restart`, `RestartAllContainers`), or empty."""
    for rule in container.get("restartPolicyRules") or ():
        if _matches(rule.get("exitCodes") or {}, exit_code):
            return str(rule.get("action") or "")
    return ""


def may_restart_as_a_whole(pod: ReadOnlyObject) -> bool:
    """True when a rule of some container starts all of them over."""
    return any(
        rule.get("action") == RESTART_ALL_CONTAINERS
        for container in all_containers(pod)
        for rule in container.get("restartPolicyRules") or ()
    )


def _matches(exit_codes: ReadOnlyObject, exit_code: int) -> bool:
    listed = exit_code in (exit_codes.get("values") or ())
    return listed if exit_codes.get("operator", "In") == "In" else not listed


def grace_period_seconds(pod: ReadOnlyObject) -> float:
    """How long a container of the Pod may take to stop when the Pod itself is not being deleted."""
    value = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if value is None else float(value)


def has_post_start(container: ReadOnlyObject) -> bool:
    """True for a container that wants something done right after its start."""
    return bool((container.get("lifecycle") or {}).get("postStart"))


def has_pre_stop(container: ReadOnlyObject | None) -> bool:
    """True for a container that wants to do something before it is stopped."""
    return bool(container and (container.get("lifecycle") or {}).get("preStop"))


def is_host_network(pod: ReadOnlyObject) -> bool:
    """True when the Pod lives in the node's network."""
    return bool(pod["spec"].get("hostNetwork"))


def describe_pod(pod: ReadOnlyObject) -> str:
    """`name_namespace(uid)`: the kubelet's way to name a Pod in messages."""
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
