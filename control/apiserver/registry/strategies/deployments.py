"""Strategies of Deployments and ReplicaSets (upstream: pkg/apis/apps/{v1/defaults,validation/validation}.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    nonnegative,
    not_over_100_percent,
    percent_or_count,
)
from control.apiserver.registry.strategies.generations import bump_generation, changed_metadata
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.pod_defaults import default_pod_template
from control.apiserver.registry.strategies.workload_rules import (
    amount,
    bounded_counters,
    collisions,
    default_number,
    default_rolling_update,
    frozen_selector,
    required_selector,
    selected_template,
)
from control.apiserver.registry.strategies.workload_strategy import WorkloadStrategy
from control.apiserver.registry.strategy import WriteContext

Spec = Mapping[str, Any]


class DeploymentStrategy(WorkloadStrategy):
    """Rules of Deployments."""

    kept_by_status = ("labels",)

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        default_number(spec, "replicas", 1)
        default_number(spec, "revisionHistoryLimit", 10)
        default_number(spec, "progressDeadlineSeconds", 600)
        rolling = default_rolling_update(spec.setdefault("strategy", {}))
        if rolling is not None:
            for name in ("maxUnavailable", "maxSurge"):
                if rolling.get(name) is None:
                    rolling[name] = "25%"
        default_pod_template(spec)

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """Annotations count as a change too: they are copied to the ReplicaSets."""
        super().prepare_for_update(context, obj, old)
        if changed_metadata(obj, old, "annotations"):
            bump_generation(obj, old)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new Deployment."""
        return list(_deployment_spec("spec", obj["spec"]))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed Deployment."""
        return [*self.validate(context, obj), *frozen_selector("spec.selector", obj, old)]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the counters."""
        status = obj.get("status") or {}
        former = old.get("status") or {}
        return [*_deployment_status("status", status), *collisions("status.collisionCount", status, former)]


def _deployment_spec(path: str, spec: Spec) -> Errors:
    yield from nonnegative(f"{path}.replicas", spec.get("replicas"))
    yield from required_selector(f"{path}.selector", spec.get("selector"), "deployment")
    yield from selected_template(path, spec, "ReplicaSet")
    yield from _rollout(f"{path}.strategy", spec["strategy"])
    yield from nonnegative(f"{path}.minReadySeconds", spec.get("minReadySeconds"))
    yield from nonnegative(f"{path}.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        yield from nonnegative(f"{path}.progressDeadlineSeconds", deadline)
        if deadline <= (spec.get("minReadySeconds") or 0):
            yield FieldError.invalid(
                f"{path}.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"
            )


def _rollout(path: str, strategy: Spec) -> Errors:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            yield FieldError.forbidden(f"{path}.rollingUpdate", detail)
    elif kind == "RollingUpdate":
        yield from _rolling_update(f"{path}.rollingUpdate", rolling or {})
    else:
        shown = internal_form("DeploymentStrategy", strategy)
        yield FieldError.not_supported(path, shown, ("Recreate", "RollingUpdate"))


def _rolling_update(path: str, rolling: Spec) -> Errors:
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    yield from percent_or_count(f"{path}.maxUnavailable", unavailable)
    yield from percent_or_count(f"{path}.maxSurge", surge)
    if amount(unavailable) == 0 and amount(surge) == 0:
        yield FieldError.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from not_over_100_percent(f"{path}.maxUnavailable", unavailable)


def _deployment_status(path: str, status: Spec) -> Errors:
    counters = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    for name in (*counters, "unavailableReplicas", "terminatingReplicas", "collisionCount"):
        yield from nonnegative(f"{path}.{name}", status.get(name))
    yield from bounded_counters(path, status, ("updatedReplicas", "readyReplicas", "availableReplicas"))


class ReplicaSetStrategy(WorkloadStrategy):
    """Rules of ReplicaSets."""

    empty_status: ClassVar[dict[str, Any]] = {"replicas": 0}

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        default_number(spec, "replicas", 1)
        default_pod_template(spec)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new ReplicaSet."""
        spec = obj["spec"]
        errors = [
            *nonnegative("spec.replicas", spec.get("replicas")),
            *nonnegative("spec.minReadySeconds", spec.get("minReadySeconds")),
            *required_selector("spec.selector", spec.get("selector"), "deployment"),
        ]
        return errors + list(selected_template("spec", spec, "ReplicaSet"))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed ReplicaSet."""
        return [*self.validate(context, obj), *frozen_selector("spec.selector", obj, old)]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the counters."""
        return list(replica_status("status", obj.get("status") or {}))


def replica_status(path: str, status: Spec) -> Errors:
    """Counters of ReplicaSets and ReplicationControllers."""
    for name in ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"):
        yield from nonnegative(f"{path}.{name}", status.get(name))
    yield from bounded_counters(path, status, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))
