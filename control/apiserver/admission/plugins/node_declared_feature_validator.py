"""NodeDeclaredFeatureValidator: a Pod on a node changes only in ways that the node declares it can follow."""

from __future__ import annotations

from control.api.builtin_kinds import PODS
from control.api.declared_features import declared_features, features_to_change
from control.api.pods import node_name_of
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.plugin import Plugin, find_node, is_write_of, refusal


class NodeDeclaredFeatureValidator(Plugin):
    """Upstream: plugin/pkg/admission/nodedeclaredfeatures."""

    name = "NodeDeclaredFeatureValidator"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def validate(self, attributes: Attributes) -> None:
        """Refuse a change of a bound Pod, also by its resize subresource, that its node cannot follow."""
        pod, old = attributes.object, attributes.old_object
        if not is_write_of(attributes, PODS, "UPDATE", subresources=("", "resize")) or not pod or not old:
            return
        node_name = node_name_of(pod)
        needed = features_to_change(pod, old) if node_name else frozenset()
        if not needed:
            return
        node = find_node(self._reader, attributes, node_name)
        missing = ", ".join(sorted(needed - declared_features(node)))
        if missing:
            detail = f'pod update requires features {missing} which are not available on node "{node_name}"'
            raise refusal(attributes, detail)
