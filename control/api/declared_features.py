"""Features that a node declares, and those that a Pod or a change of it needs (as upstream, v1.36)."""

from __future__ import annotations

from control.api.objects import ReadOnlyObject
from control.api.pods import containers_of, init_containers_of, is_sidecar

POD_LEVEL_RESIZE = "InPlacePodLevelResourcesVerticalScaling"
INIT_CONTAINER_RESIZE = "InPlacePodVerticalScalingInitContainers"
RESTART_ALL_CONTAINERS = "RestartAllContainersOnContainerExits"
#: what our own nodes declare: all that a v1.36 kubelet does by default
DECLARED_FEATURES = (
    "ExtendWebSocketsToKubelet",
    POD_LEVEL_RESIZE,
    INIT_CONTAINER_RESIZE,
    RESTART_ALL_CONTAINERS,
)


def declared_features(node: ReadOnlyObject) -> frozenset[str]:
    """The features that a node's status declares."""
    return frozenset((node.get("status") or {}).get("declaredFeatures") or ())


def features_to_run(pod: ReadOnlyObject) -> frozenset[str]:
    """The features a node must declare to be given the Pod."""
    rules = (
        rule
        for container in (*containers_of(pod), *init_containers_of(pod))
        for rule in container.get("restartPolicyRules") or ()
    )
    restarts_all = any(rule.get("action") == "RestartAllContainers" for rule in rules)
    return frozenset({RESTART_ALL_CONTAINERS}) if restarts_all else frozenset()


def features_to_change(pod: ReadOnlyObject, old: ReadOnlyObject) -> frozenset[str]:
    """The features the node of a Pod must declare for the Pod to change from `old` to this."""
    needed = set()
    if (pod["spec"].get("resources") or {}) != (old["spec"].get("resources") or {}):
        needed.add(POD_LEVEL_RESIZE)
    before = {container.get("name"): container.get("resources") or {} for container in init_containers_of(old)}
    if any(
        (container.get("resources") or {}) != before.get(container.get("name"), {})
        for container in init_containers_of(pod)
        if not is_sidecar(container)
    ):
        needed.add(INIT_CONTAINER_RESIZE)
    return frozenset(needed)
