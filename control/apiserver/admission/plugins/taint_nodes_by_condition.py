"""TaintNodesByCondition: a new node takes no Pods until it is found ready."""

from __future__ import annotations

from control.api.builtin_kinds import NODES
from control.apiserver.admission.chain import Attributes
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of

NOT_READY = "node.kubernetes.io/not-ready"


class TaintNodesByCondition(Plugin):
    """Upstream: plugin/pkg/admission/nodetaint."""

    name = "TaintNodesByCondition"

    async def admit(self, attributes: Attributes) -> None:
        """Add the not-ready taint."""
        if not is_write_of(attributes, NODES, "CREATE"):
            return
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
            spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]
