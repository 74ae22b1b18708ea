"""The strategy of StatefulSets (upstream: pkg/apis/apps/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import Errors, dns_label, nonnegative, one_of, percent_or_count
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.pod_defaults import default_pod_template
from control.apiserver.registry.strategies.pod_warnings import template_warnings
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.volume_defaults import default_claim_spec
from control.apiserver.registry.strategies.workload_rules import default_number, matching_template, required_selector
from control.apiserver.registry.strategy import WriteContext

Spec = Mapping[str, Any]

_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


class StatefulSetStrategy(StatusStrategy):
    """Rules of StatefulSets."""

    empty_status: ClassVar[dict[str, Any]] = {"replicas": 0, "availableReplicas": 0}

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        default_number(spec, "replicas", 1)
        default_number(spec, "revisionHistoryLimit", 10)
        if not spec.get("podManagementPolicy"):
            spec["podManagementPolicy"] = "OrderedReady"
        update = spec.setdefault("updateStrategy", {})
        if not update.get("type"):
            update["type"] = "RollingUpdate"
        if update["type"] == "RollingUpdate":
            if update.get("rollingUpdate") is None:
                update["rollingUpdate"] = {}
            default_number(update["rollingUpdate"], "partition", 0)
        retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        for name in ("whenDeleted", "whenScaled"):
            if not retention.get(name):
                retention[name] = "Retain"
        for claim in spec.get("volumeClaimTemplates") or ():
            claim["kind"], claim["apiVersion"] = "PersistentVolumeClaim", "v1"
            claim.setdefault("metadata", {})
            default_claim_spec(claim.setdefault("spec", {}))
            claim.setdefault("status", {}).setdefault("phase", "Pending")
        default_pod_template(spec)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new StatefulSet."""
        return list(_spec("spec", obj["spec"]))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed StatefulSet."""
        errors = self.validate(context, obj)
        frozen, old_frozen = (
            {key: value for key, value in item["spec"].items() if key not in _MUTABLE} for item in (obj, old)
        )
        if frozen != old_frozen:
            errors.append(FieldError.forbidden("spec", _FORBIDDEN))
        return errors

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Deprecated and doubtful fields of the template."""
        return list(template_warnings("spec.template", obj["spec"]["template"]))


def _spec(path: str, spec: Spec) -> Errors:
    policy = spec.get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        yield FieldError.invalid(f"{path}.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    yield from _update_strategy(f"{path}.updateStrategy", spec["updateStrategy"])
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        where = f"{path}.persistentVolumeClaimRetentionPolicy.{name}"
        yield from one_of(where, retention.get(name), ("Retain", "Delete"))
    yield from nonnegative(f"{path}.replicas", spec.get("replicas"))
    yield from nonnegative(f"{path}.minReadySeconds", spec.get("minReadySeconds"))
    yield from nonnegative(f"{path}.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    if spec.get("serviceName"):
        yield from dns_label(f"{path}.serviceName", spec["serviceName"])
    yield from required_selector(f"{path}.selector", spec.get("selector"), "statefulset")
    yield from matching_template(f"{path}.template", spec.get("selector"), spec["template"], "StatefulSet")


def _update_strategy(path: str, update: Spec) -> Errors:
    kind, rolling = update.get("type"), update.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is not None:
            shown = internal_form("StatefulSetRollingUpdate", rolling)
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            yield FieldError.invalid(f"{path}.rollingUpdate", shown, detail)
    elif kind == "RollingUpdate":
        yield from nonnegative(f"{path}.rollingUpdate.partition", (rolling or {}).get("partition"))
        unavailable = (rolling or {}).get("maxUnavailable")
        if unavailable is not None:
            yield from percent_or_count(f"{path}.rollingUpdate.maxUnavailable", unavailable)
    else:
        shown = internal_form("StatefulSetUpdateStrategy", update)
        yield FieldError.invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")
