"""PodResizeValidator: a Pod does not grow beyond its node, and only on Linux is it resized at all."""

from __future__ import annotations

from control.api.builtin_kinds import PODS
from control.api.fit import allocatable_of
from control.api.meta import labels_of
from control.api.objects import ReadOnlyObject
from control.api.pods import node_name_of, pod_requests
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.plugin import Plugin, find_node, is_write_of, refusal

_OS_LABEL = "kubernetes.io/os"


class PodResizeValidator(Plugin):
    """Upstream: plugin/pkg/admission/podresize."""

    name = "PodResizeValidator"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def validate(self, attributes: Attributes) -> None:
        """Refuse a resize of a bound Pod that its node can never follow; a cause says of which sort the refusal is."""
        pod, old = attributes.object, attributes.old_object
        if not is_write_of(attributes, PODS, "UPDATE", subresources=("resize",)) or not pod or not old:
            return
        node_name = node_name_of(pod)
        if not node_name or pod["spec"] == old["spec"]:
            return
        node = find_node(self._reader, attributes, node_name)
        lacking = _lacking(pod, node)
        system = labels_of(node).get(_OS_LABEL, "")
        if lacking:
            detail, cause = f"Node didn't have enough allocatable resources: {lacking}", "NodeCapacity"
        elif system != "linux":
            detail = f'pod resize is only supported on linux nodes, node "{node_name}" is "{system}"'
            cause = "UnsupportedPlatform"
        else:
            return
        error = refusal(attributes, detail)
        error.details = {**(error.details or {}), "causes": [{"reason": cause}]}
        raise error


def _lacking(pod: ReadOnlyObject, node: ReadOnlyObject) -> str:
    """What the Pod requests beyond all that the node has for Pods."""
    wanted, allocatable = pod_requests(pod), allocatable_of(node)
    return "; ".join(
        f"{name}, requested: {wanted.get(name, 0)}, allocatable: {allocatable.get(name, 0)}"
        for name in ("cpu", "memory")
        if wanted.get(name, 0) > allocatable.get(name, 0)
    )
