"""The strategy of ReplicationControllers (upstream: pkg/apis/core/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.deployments import replica_status
from control.apiserver.registry.strategies.field_rules import nonnegative
from control.apiserver.registry.strategies.pod_defaults import default_pod_template
from control.apiserver.registry.strategies.workload_rules import default_number, matching_template
from control.apiserver.registry.strategies.workload_strategy import WorkloadStrategy
from control.apiserver.registry.strategy import FieldLabels, WriteContext


class ReplicationControllerStrategy(WorkloadStrategy):
    """Rules of ReplicationControllers, whose selector is a plain label map."""

    field_labels = FieldLabels.of("status.replicas")

    default_propagation = "orphan"
    empty_status: ClassVar[dict[str, Any]] = {"replicas": 0}

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults; selector and labels come from the template."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        default_number(spec, "replicas", 1)
        if spec.get("template") is None:
            return
        labels = (spec["template"].get("metadata") or {}).get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not obj["metadata"].get("labels"):
                obj["metadata"]["labels"] = dict(labels)
        default_pod_template(spec)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a ReplicationController."""
        spec = obj["spec"]
        errors = list(nonnegative("spec.minReadySeconds", spec.get("minReadySeconds")))
        if not spec.get("selector"):
            errors.append(FieldError.required("spec.selector"))
        errors.extend(nonnegative("spec.replicas", spec.get("replicas")))
        if spec.get("template") is None:
            return [*errors, FieldError.required("spec.template")]
        selector = {"matchLabels": spec.get("selector") or {}}
        return [*errors, *matching_template("spec.template", selector, spec["template"], "ReplicationController")]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the counters."""
        return list(replica_status("status", obj.get("status") or {}))

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Fields a field selector can name."""
        return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}
