"""DefaultIngressClass: an Ingress that names no class gets the default one."""

from __future__ import annotations

from control.api.builtin_kinds import INGRESS_CLASSES, INGRESSES
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.apiserver.admission.plugins.default_class import newest_default
from control.apiserver.admission.plugins.plugin import Plugin, is_write_of

_DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    """Upstream: plugin/pkg/admission/network/defaultingressclass."""

    name = "DefaultIngressClass"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def admit(self, attributes: Attributes) -> None:
        """Fill `spec.ingressClassName`."""
        if not is_write_of(attributes, INGRESSES, "CREATE"):
            return
        ingress = attributes.object
        assert ingress is not None
        annotations = ingress["metadata"].get("annotations") or {}
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or _CLASS_ANNOTATION in annotations:
            return
        chosen = newest_default(self._reader.list(INGRESS_CLASSES), (_DEFAULT_ANNOTATION,))
        if chosen is not None:
            spec["ingressClassName"] = chosen["metadata"]["name"]
