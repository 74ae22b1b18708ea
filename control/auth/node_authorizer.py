"""What a node may do: read what its own Pods refer to, write its own objects. Anybody else is no concern of it.

Order and texts are those of upstream's node authorizer with selectors (plugin/pkg/auth/authorizer/node). What the URL
cannot tell (whose object is written) is left to the NodeRestriction admission plugin, as upstream does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from control.api.exchange import User
from control.auth.attributes import NO_OPINION, Decision, RequestAttributes, node_name_of_user
from control.auth.bootstrap_policy import NODE_RULES
from control.auth.rbac import rules_allow

ALLOW = Decision(True)

_READ = ("get", "list", "watch")
_LEASE_VERBS = ("get", "create", "update", "patch", "delete")


class NodeGraph(Protocol):
    """Which objects the Pods of a node refer to."""

    def is_related(self, node_name: str, group: str, resource: str, namespace: str, name: str) -> bool:
        """Whether the object (a Pod, Secret, ConfigMap, claim, volume, ServiceAccount ...) belongs to a node's Pods."""
        ...


class NodeAuthorizer:
    """Judges users of the group system:nodes."""

    def __init__(self, graph: NodeGraph) -> None:
        self._graph = graph

    def authorize(self, user: User, attributes: RequestAttributes) -> Decision:
        """Allow, or say why not."""
        node_name = node_name_of_user(user)
        if node_name is None:
            return NO_OPINION
        if not node_name:
            return Decision(False, f'unknown node for user "{user.name}"')
        judge = _JUDGES.get((attributes.group, attributes.resource)) if attributes.is_resource else None
        if judge is not None:
            return judge(self, node_name, attributes)
        return ALLOW if rules_allow(NODE_RULES, attributes) else NO_OPINION

    def _related(self, node_name: str, attributes: RequestAttributes) -> Decision:
        if not attributes.name:
            return Decision(False, "No Object name found")
        if self._graph.is_related(
            node_name, attributes.group, attributes.resource, attributes.namespace, attributes.name
        ):
            return ALLOW
        return Decision(False, f"no relationship found between node '{node_name}' and this object")

    def _read_namespaced(self, node_name: str, attributes: RequestAttributes) -> Decision:
        if attributes.verb not in _READ:
            return Decision(False, "can only read resources of this type")
        if attributes.subresource:
            return Decision(False, "cannot read subresource")
        if not attributes.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return self._related(node_name, attributes)

    def _get(self, node_name: str, attributes: RequestAttributes) -> Decision:
        if attributes.verb != "get":
            return Decision(False, "can only get individual resources of this type")
        if attributes.subresource:
            return Decision(False, "cannot get subresource")
        return self._related(node_name, attributes)

    def _claim(self, node_name: str, attributes: RequestAttributes) -> Decision:
        if attributes.subresource != "status":
            return self._get(node_name, attributes)
        if attributes.verb not in ("update", "patch"):
            return Decision(False, "can only get/update/patch this type")
        return self._related(node_name, attributes)

    def _token(self, node_name: str, attributes: RequestAttributes) -> Decision:
        if attributes.verb != "create" or not attributes.name:
            return Decision(False, "can only create tokens for individual service accounts")
        if attributes.subresource != "token":
            return Decision(False, "can only create token subresource of serviceaccount")
        return self._related(node_name, attributes)

    def _lease(self, node_name: str, attributes: RequestAttributes) -> Decision:
        if attributes.verb not in _LEASE_VERBS:
            return Decision(False, "can only get, create, update, patch, or delete a node lease")
        if attributes.namespace != "kube-node-lease":
            return Decision(False, 'can only access leases in the "kube-node-lease" system namespace')
        # The URL of a create has no name; NodeRestriction judges it.
        if attributes.verb != "create" and attributes.name != node_name:
            return Decision(False, "can only access node lease with the same name as the requesting node")
        return ALLOW

    def _csi_node(self, node_name: str, attributes: RequestAttributes) -> Decision:
        if attributes.verb not in _LEASE_VERBS:
            return Decision(False, "can only get, create, update, patch, or delete a CSINode")
        if attributes.subresource:
            return Decision(False, "cannot authorize CSINode subresources")
        if attributes.verb != "create" and attributes.name != node_name:
            return Decision(False, "can only access CSINode with the same name as the requesting node")
        return ALLOW

    def _resource_slice(self, node_name: str, attributes: RequestAttributes) -> Decision:
        if attributes.subresource:
            return Decision(False, "cannot authorize ResourceSlice subresources")
        if attributes.verb == "create":
            return ALLOW
        if attributes.verb in ("get", "update", "patch", "delete"):
            return self._related(node_name, attributes)
        if attributes.verb in ("watch", "list", "deletecollection"):
            if _selects(attributes, "spec.nodeName", node_name):
                return ALLOW
            return Decision(False, "can only list/watch/deletecollection resourceslices with nodeName field selector")
        return Decision(
            False,
            "only the following verbs are allowed for a ResourceSlice:"
            " get, watch, list, create, update, patch, delete, deletecollection",
        )

    def _node(self, node_name: str, attributes: RequestAttributes) -> Decision:
        if attributes.subresource == "status":
            return ALLOW if attributes.verb in ("update", "patch") else NO_OPINION
        if attributes.subresource:
            return NO_OPINION
        if attributes.verb in ("create", "update", "patch"):
            return ALLOW
        if attributes.verb not in _READ:
            return NO_OPINION
        if attributes.name == node_name:
            return ALLOW
        if not attributes.name:
            return Decision(False, f"node '{node_name}' cannot read all nodes, only its own Node object")
        return Decision(False, f"node '{node_name}' cannot read '{attributes.name}', only its own Node object")

    def _pod(self, node_name: str, attributes: RequestAttributes) -> Decision:
        verb, subresource = attributes.verb, attributes.subresource
        if subresource == "status":
            return ALLOW if verb in ("update", "patch") else NO_OPINION
        if subresource == "eviction":
            return ALLOW if verb == "create" else NO_OPINION
        if subresource:
            return NO_OPINION
        if verb == "get":
            return self._related(node_name, attributes)
        if verb in ("list", "watch"):
            if _selects(attributes, "spec.nodeName", node_name):
                return ALLOW
            if attributes.name:
                return self._related(node_name, attributes)
            return Decision(False, "can only list/watch pods with spec.nodeName field selector")
        # Mirror Pods; NodeRestriction keeps them to this node.
        return ALLOW if verb in ("create", "delete") else NO_OPINION


def _selects(attributes: RequestAttributes, field: str, value: str) -> bool:
    return any(
        term.field == field and term.operator == "=" and term.value == value for term in attributes.field_requirements
    )


class _Judge(Protocol):
    def __call__(self, authorizer: NodeAuthorizer, node_name: str, attributes: RequestAttributes, /) -> Decision: ...


_JUDGES: Mapping[tuple[str, str], _Judge] = {
    ("", "secrets"): NodeAuthorizer._read_namespaced,
    ("", "configmaps"): NodeAuthorizer._read_namespaced,
    ("", "persistentvolumeclaims"): NodeAuthorizer._claim,
    ("", "persistentvolumes"): NodeAuthorizer._get,
    ("resource.k8s.io", "resourceclaims"): NodeAuthorizer._get,
    ("storage.k8s.io", "volumeattachments"): NodeAuthorizer._get,
    ("", "serviceaccounts"): NodeAuthorizer._token,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csi_node,
    ("resource.k8s.io", "resourceslices"): NodeAuthorizer._resource_slice,
    ("", "nodes"): NodeAuthorizer._node,
    ("", "pods"): NodeAuthorizer._pod,
}
