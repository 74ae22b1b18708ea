"""DefaultTolerationSeconds: how long a Pod stays on a node that is not ready or cannot be reached."""

from __future__ import annotations

from control.api.builtin_kinds import PODS
from control.apiserver.admission.chain import Attributes
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of

_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    """Upstream: plugin/pkg/admission/defaulttolerationseconds, whose seconds are 300."""

    name = "DefaultTolerationSeconds"

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    async def admit(self, attributes: Attributes) -> None:
        """Add the tolerations the Pod does not have."""
        if not is_write_of(attributes, PODS, "CREATE", "UPDATE"):
            return
        assert attributes.object is not None
        spec = attributes.object["spec"]
        tolerations = spec.get("tolerations") or []
        tolerated = {
            item.get("key") or "" for item in tolerations if (item.get("effect") or "NoExecute") == "NoExecute"
        }
        missing = [key for key in _TAINTS if key not in tolerated and "" not in tolerated]
        if missing:
            spec["tolerations"] = [
                *tolerations,
                *(
                    {
                        "key": key,
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": self._seconds,
                    }
                    for key in missing
                ),
            ]
