"""ShareProcessNamespace: Podling's own default, in the open: containers of a Pod share their processes.

Upstream's default is false. Only Pods are changed, never templates, and never a Pod in the host's PID namespace, which
cannot share another one. `spec.shareProcessNamespace: false` keeps the processes apart.
"""

from __future__ import annotations

from control.api.builtin_kinds import PODS
from control.apiserver.admission.chain import Attributes
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of


class ShareProcessNamespace(Plugin):
    """Part of the profile `default` alone."""

    name = "ShareProcessNamespace"

    async def admit(self, attributes: Attributes) -> None:
        """Fill an unset `spec.shareProcessNamespace`."""
        if not is_write_of(attributes, PODS, "CREATE"):
            return
        assert attributes.object is not None
        spec = attributes.object["spec"]
        is_windows = (spec.get("os") or {}).get("name") == "windows"
        if spec.get("shareProcessNamespace") is None and not spec.get("hostPID") and not is_windows:
            spec["shareProcessNamespace"] = True
