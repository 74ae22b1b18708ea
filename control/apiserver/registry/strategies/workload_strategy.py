"""`WorkloadStrategy`: kinds whose spec holds a template of Pods, about which they warn as about Pods."""

from __future__ import annotations

from control.api.objects import Object
from control.apiserver.registry.strategies.pod_warnings import template_warnings
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import WriteContext


class WorkloadStrategy(StatusStrategy):
    """A strategy that warns of what a template's Pods would be warned of."""

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Deprecated and doubtful fields of the template."""
        template = obj["spec"].get("template")
        return list(template_warnings("spec.template", template)) if template else []

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same, when the spec changed."""
        return [] if obj["spec"] == old.get("spec") else self.warnings_on_create(context, obj)
