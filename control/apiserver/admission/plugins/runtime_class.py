"""RuntimeClass: a Pod takes over the overhead and the placement of its runtime class."""

from __future__ import annotations

from control.api.builtin_kinds import PODS, RUNTIME_CLASSES
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of, refusal


class RuntimeClass(Plugin):
    """Upstream: plugin/pkg/admission/runtimeclass."""

    name = "RuntimeClass"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def admit(self, attributes: Attributes) -> None:
        """Fill overhead, node selector and tolerations from the class."""
        if not is_write_of(attributes, PODS, "CREATE"):
            return
        assert attributes.object is not None
        spec = attributes.object["spec"]
        runtime_class = self._class_of(attributes, spec)
        if runtime_class is None:
            return
        overhead = (runtime_class.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and spec["overhead"] != overhead:
                detail = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                raise refusal(attributes, detail)
            spec["overhead"] = dict(overhead)
        _apply_scheduling(attributes, spec, runtime_class.get("scheduling") or {})

    def _class_of(self, attributes: Attributes, spec: ReadOnlyObject) -> ReadOnlyObject | None:
        name = spec.get("runtimeClassName")
        if not name:
            return None
        runtime_class = self._reader.find(RUNTIME_CLASSES, None, name)
        if runtime_class is None:
            raise refusal(attributes, f'pod rejected: RuntimeClass "{name}" not found')
        return runtime_class

    async def validate(self, attributes: Attributes) -> None:
        """Overhead comes from a class alone."""
        if not is_write_of(attributes, PODS, "CREATE"):
            return
        assert attributes.object is not None
        spec = attributes.object["spec"]
        runtime_class = self._class_of(attributes, spec)
        if spec.get("overhead") and not ((runtime_class or {}).get("overhead") or {}).get("podFixed"):
            detail = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise refusal(attributes, detail)


def _apply_scheduling(attributes: Attributes, spec: Object, scheduling: ReadOnlyObject) -> None:
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            detail = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}"
            )
            raise refusal(attributes, detail)
        selector[key] = value
    if selector:
        spec["nodeSelector"] = selector
    tolerations = spec.get("tolerations") or []
    added = [dict(item) for item in scheduling.get("tolerations") or () if item not in tolerations]
    if added:
        spec["tolerations"] = [*tolerations, *added]
