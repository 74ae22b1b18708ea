"""Priority: a Pod's priority is that of its PriorityClass, never the client's own number."""

from __future__ import annotations

from control.api.builtin_kinds import PODS, PRIORITY_CLASSES
from control.api.objects import ReadOnlyObject
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of, refusal

_DERIVED = "priority admission controller computed {} from the given PriorityClass name"


class Priority(Plugin):
    """Upstream: plugin/pkg/admission/priority."""

    name = "Priority"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def admit(self, attributes: Attributes) -> None:
        """Fill priority and preemption policy of a Pod."""
        if is_write_of(attributes, PODS, "UPDATE"):
            self._keep(attributes)
        elif is_write_of(attributes, PODS, "CREATE"):
            self._fill(attributes)

    def _keep(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        assert attributes.old_object is not None
        spec, old_spec = attributes.object["spec"], attributes.old_object["spec"]
        for name in ("priority", "preemptionPolicy"):
            if spec.get(name) is None and old_spec.get(name) is not None:
                spec[name] = old_spec[name]

    def _fill(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object["spec"]
        name = spec.get("priorityClassName")
        if name:
            chosen = self._reader.find(PRIORITY_CLASSES, None, name)
            if chosen is None:
                raise refusal(attributes, f"no PriorityClass with name {name} was found")
        else:
            chosen = self._default_class()
            if chosen is not None:
                spec["priorityClassName"] = chosen["metadata"]["name"]
        value = (chosen or {}).get("value") or 0
        policy = (chosen or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("priority") is not None and spec["priority"] != value:
            detail = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            raise refusal(attributes, detail + _DERIVED.format(value))
        if spec.get("preemptionPolicy") is not None and spec["preemptionPolicy"] != policy:
            given = spec["preemptionPolicy"]
            detail = f"the string value of PreemptionPolicy ({given}) must not be provided in pod spec; "
            raise refusal(attributes, detail + _DERIVED.format(policy))
        spec["priority"], spec["preemptionPolicy"] = value, policy

    def _default_class(self) -> ReadOnlyObject | None:
        defaults = [item for item in self._reader.list(PRIORITY_CLASSES) if item.get("globalDefault")]
        return min(defaults, key=lambda item: item.get("value") or 0, default=None)

    async def validate(self, attributes: Attributes) -> None:
        """At most one PriorityClass is the default."""
        if not is_write_of(attributes, PRIORITY_CLASSES, "CREATE", "UPDATE"):
            return
        assert attributes.object is not None
        if not attributes.object.get("globalDefault"):
            return
        own_name = attributes.object["metadata"].get("name")
        for item in self._reader.list(PRIORITY_CLASSES):
            name = item["metadata"]["name"]
            if item.get("globalDefault") and name != own_name:
                detail = f"PriorityClass {name} is already marked as default. Only one default can exist"
                raise refusal(attributes, detail)
