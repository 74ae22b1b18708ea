"""NodeRestriction: a kubelet writes its own Node, the Pods bound to it, and nothing that would widen its power."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.builtin_kinds import PODS
from control.api.objects import ReadOnlyObject
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.plugin import Plugin, refusal
from control.apiserver.admission.plugins.service_account import MIRROR_ANNOTATION

_NODE_PREFIX = "system:node:"
_NODE_GROUP = "system:nodes"
_LEASE_NAMESPACE = "kube-node-lease"
#: labels of kubernetes.io and k8s.io that a kubelet may set on its own Node
_KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "node.kubernetes.io/windows-build",
    }
)
_KUBELET_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(Plugin):
    """Upstream: plugin/pkg/admission/noderestriction. Users that are no nodes pass."""

    name = "NodeRestriction"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def admit(self, attributes: Attributes) -> None:
        """Judge a write of a node (upstream does it in the mutating step, before anything is changed)."""
        user = attributes.user
        if _NODE_GROUP not in user.groups or not user.name.startswith(_NODE_PREFIX):
            return
        node_name = user.name.removeprefix(_NODE_PREFIX)
        key = (attributes.kind.group, attributes.kind.plural)
        if key == ("", "pods"):
            self._judge_pod(attributes, node_name)
        elif key == ("", "nodes"):
            self._judge_node(attributes, node_name)
        elif key == ("coordination.k8s.io", "leases"):
            self._judge_lease(attributes, node_name)
        elif key == ("storage.k8s.io", "csinodes"):
            self._judge_own(attributes, node_name, "CSINode")
        elif key == ("", "serviceaccounts") and attributes.subresource == "token":
            self._judge_token(attributes, node_name)

    # ---- pods -------------------------------------------------------------------------------------------------

    def _judge_pod(self, attributes: Attributes, node_name: str) -> None:
        if attributes.subresource in ("status", "eviction"):
            self._judge_bound(attributes, node_name, attributes.subresource)
        elif attributes.subresource:
            detail = (
                f"unexpected pod subresource \"{attributes.subresource}\", only 'status' and 'eviction' are allowed"
            )
            raise refusal(attributes, detail)
        elif attributes.operation == "CREATE":
            self._judge_mirror_pod(attributes, node_name)
        elif attributes.operation == "DELETE":
            self._judge_bound(attributes, node_name, "")
        else:
            operation = attributes.operation
            detail = f'unexpected operation "{operation}", node "{node_name}" can only create and delete mirror pods'
            raise refusal(attributes, detail)

    def _judge_mirror_pod(self, attributes: Attributes, node_name: str) -> None:
        pod = attributes.object or {}
        metadata = pod.get("metadata") or {}
        if MIRROR_ANNOTATION not in (metadata.get("annotations") or {}):
            lacking = f'pod does not have "{MIRROR_ANNOTATION}" annotation'
            detail = f'{lacking}, node "{node_name}" can only create mirror pods'
            raise refusal(attributes, detail)
        if (pod.get("spec") or {}).get("nodeName") != node_name:
            detail = f'node "{node_name}" can only create pods with spec.nodeName set to itself'
            raise refusal(attributes, detail)
        for owner in metadata.get("ownerReferences") or ():
            if owner.get("kind") != "Node" or owner.get("name") != node_name:
                detail = f'node "{node_name}" can only create pods with an owner reference set to itself'
                raise refusal(attributes, detail)

    def _judge_bound(self, attributes: Attributes, node_name: str, subresource: str) -> None:
        pod = attributes.old_object
        if pod is None:
            pod = self._reader.find(PODS, attributes.namespace, attributes.name)
        if pod is None:
            return  # the store answers 404
        if (pod.get("spec") or {}).get("nodeName") != node_name:
            verb = {"status": "update pod status for", "eviction": "evict"}.get(subresource, "delete")
            detail = f'node "{node_name}" can only {verb} pods with spec.nodeName set to itself'
            raise refusal(attributes, detail)
        if subresource == "status" and attributes.object is not None:
            labels = [(item.get("metadata") or {}).get("labels") or {} for item in (attributes.object, pod)]
            if labels[0] != labels[1]:
                raise refusal(attributes, f'node "{node_name}" cannot update labels through pod status')

    # ---- nodes ------------------------------------------------------------------------------------------------

    def _judge_node(self, attributes: Attributes, node_name: str) -> None:
        requested = attributes.name or ((attributes.object or {}).get("metadata") or {}).get("name") or ""
        if requested != node_name:
            detail = f'node "{node_name}" is not allowed to modify node "{requested}"'
            raise refusal(attributes, detail)
        if attributes.operation == "CREATE" and attributes.object is not None:
            if ((attributes.object.get("spec") or {}).get("configSource")) is not None:
                detail = f'node "{node_name}" is not allowed to create pods with a non-nil configSource'
                raise refusal(attributes, detail)
            labels = (attributes.object.get("metadata") or {}).get("labels") or {}
            self._judge_labels(attributes, node_name, labels, {}, "set")
        elif attributes.operation == "UPDATE" and attributes.object is not None and attributes.old_object is not None:
            self._judge_node_update(attributes, node_name, attributes.object, attributes.old_object)

    def _judge_node_update(
        self, attributes: Attributes, node_name: str, node: ReadOnlyObject, old: ReadOnlyObject
    ) -> None:
        references = [(item.get("metadata") or {}).get("ownerReferences") or [] for item in (node, old)]
        if references[0] != references[1]:
            raise refusal(attributes, f'node "{node_name}" is not allowed to modify ownerReferences')
        taints = [(item.get("spec") or {}).get("taints") or [] for item in (node, old)]
        if taints[0] != taints[1]:
            raise refusal(attributes, f'node "{node_name}" is not allowed to modify taints')
        labels = [(item.get("metadata") or {}).get("labels") or {} for item in (node, old)]
        self._judge_labels(attributes, node_name, labels[0], labels[1], "modify")

    def _judge_labels(
        self, attributes: Attributes, node_name: str, new: Mapping[str, Any], old: Mapping[str, Any], verb: str
    ) -> None:
        changed = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
        refused = sorted(key for key in changed if not _is_kubelet_label(key))
        if refused:
            listing = ", ".join(refused)
            detail = f'node "{node_name}" is not allowed to {verb} the following labels: {listing}'
            if verb == "modify":
                detail = f"is not allowed to modify labels: {listing}"
            raise refusal(attributes, detail)

    # ---- the rest ---------------------------------------------------------------------------------------------

    def _judge_lease(self, attributes: Attributes, node_name: str) -> None:
        if attributes.namespace != _LEASE_NAMESPACE:
            detail = f'can only access leases in the "{_LEASE_NAMESPACE}" system namespace'
            raise refusal(attributes, detail)
        self._judge_own(attributes, node_name, "lease")

    def _judge_own(self, attributes: Attributes, node_name: str, what: str) -> None:
        name = attributes.name or ((attributes.object or {}).get("metadata") or {}).get("name") or ""
        if name != node_name:
            raise refusal(attributes, f"can only access {what} with the same name as the requesting node")

    def _judge_token(self, attributes: Attributes, node_name: str) -> None:
        reference = ((attributes.object or {}).get("spec") or {}).get("boundObjectRef")
        if reference is None:
            raise refusal(attributes, "node requested token not bound to a pod")
        if reference.get("kind") != "Pod" or (reference.get("apiVersion") or "v1") != "v1":
            raise refusal(attributes, "node requested token not bound to a pod")
        if not reference.get("uid"):
            raise refusal(attributes, "node requested token with a pod binding without a uid")
        pod = self._reader.find(PODS, attributes.namespace, reference.get("name") or "")
        if pod is None:
            raise refusal(attributes, f'pod "{reference.get("name")}" not found')
        if pod["metadata"].get("uid") != reference["uid"]:
            detail = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise refusal(attributes, detail)
        if (pod.get("spec") or {}).get("nodeName") != node_name:
            raise refusal(attributes, "node requested token bound to a pod scheduled on a different node")


def _is_kubelet_label(key: str) -> bool:
    domain, slash, _ = key.partition("/")
    if not slash:
        return True
    if domain == "node-restriction.kubernetes.io" or domain.endswith(".node-restriction.kubernetes.io"):
        return False
    is_reserved = any(domain == top or domain.endswith(f".{top}") for top in ("kubernetes.io", "k8s.io"))
    if not is_reserved or key in _KUBELET_LABELS:
        return True
    return any(domain == allowed or domain.endswith(f".{allowed}") for allowed in _KUBELET_LABEL_DOMAINS)
