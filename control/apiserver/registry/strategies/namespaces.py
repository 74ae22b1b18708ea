"""The strategy of Namespaces (upstream: pkg/registry/core/namespace/strategy.go)."""

from __future__ import annotations

from collections.abc import Mapping

from control.api.errors import FieldError
from control.api.names import dns1123_label_errors, finalizer_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import judged
from control.apiserver.registry.strategy import FieldLabels, Strategy, WriteContext

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


class NamespaceStrategy(Strategy):
    """Rules of Namespaces; `spec.finalizers` changes through the finalize subresource alone."""

    has_generation = False
    has_status = True
    field_labels = FieldLabels.of("status.phase", has_namespace=False)

    def name_errors(self, name: str) -> list[str]:
        """A namespace is a DNS label."""
        return dns1123_label_errors(name)

    def default(self, obj: Object) -> None:
        """Every namespace carries its name as a label and has a phase."""
        name = obj["metadata"].get("name")
        if name:
            obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), NAME_LABEL: name}
        obj.setdefault("spec", {})
        if not obj.setdefault("status", {}).get("phase"):
            obj["status"]["phase"] = "Active"

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """A new namespace is Active and waits for its content before it goes."""
        obj["status"] = {"phase": "Active"}
        finalizers = obj["spec"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        self.default(obj)  # a generated name has only now become known

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new namespace."""
        finalizers = obj["spec"].get("finalizers") or ()
        return [error for item in finalizers for error in judged("spec.finalizers", item, _finalizer_errors)]

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """Keep status and, but for the finalize subresource, the finalizers."""
        obj["status"] = old.get("status", {})
        if context.subresource != "finalize":
            obj["spec"] = {**(old.get("spec") or {})}

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change."""
        if context.subresource != "finalize":
            return []
        finalizers = obj["spec"].get("finalizers") or ()
        return [
            error
            for index, item in enumerate(finalizers)
            for error in judged(f"spec.finalizers[{index}]", item, _finalizer_errors)
        ]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """The phase follows from the deletion timestamp."""
        phase = (obj.get("status") or {}).get("phase")
        if not obj["metadata"].get("deletionTimestamp"):
            if phase != "Active":
                detail = "may only be 'Active' if `deletionTimestamp` is empty"
                return [FieldError.invalid("status.Phase", phase, detail)]
        elif phase != "Terminating":
            detail = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            return [FieldError.invalid("status.Phase", phase, detail)]
        return []

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Fields a field selector can name."""
        return {"status.phase": (obj.get("status") or {}).get("phase") or ""}


def _finalizer_errors(text: str) -> list[str]:
    return finalizer_errors(text, needs_prefix=True)
