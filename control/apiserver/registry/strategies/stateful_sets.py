"""The strategy of StatefulSets (upstream: pkg/apis/apps/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.claim_validation import claim_spec
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    dns_label,
    nonnegative,
    not_over_100_percent,
    one_of,
    percent_or_count,
)
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.pod_defaults import default_pod_template
from control.apiserver.registry.strategies.volume_defaults import default_claim_spec
from control.apiserver.registry.strategies.volume_warnings import claim_warnings
from control.apiserver.registry.strategies.workload_rules import (
    amount,
    bounded_counters,
    collisions,
    default_number,
    default_rolling_update,
    required_selector,
    selected_template,
)
from control.apiserver.registry.strategies.workload_strategy import WorkloadStrategy
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


class StatefulSetStrategy(WorkloadStrategy):
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
        rolling = default_rolling_update(spec.setdefault("updateStrategy", {}))
        if rolling is not None:
            default_number(rolling, "partition", 0)
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

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """Only one Pod at a time may be missing: the gate of more is off."""
        super().prepare_for_create(context, obj)
        _drop_max_unavailable(obj)

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """The same, unless the old one had more already."""
        super().prepare_for_update(context, obj, old)
        if (old["spec"].get("updateStrategy") or {}).get("rollingUpdate", {}).get("maxUnavailable") is None:
            _drop_max_unavailable(obj)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new StatefulSet."""
        spec = obj["spec"]
        template, claims = list(_template("spec", spec)), list(_claims("spec", spec))
        return [*_before_claims("spec", spec), *claims, *_before_template("spec", spec), *template]

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed StatefulSet; a part that was stored broken need not be whole now."""
        spec, old_spec = obj["spec"], old["spec"]
        template = [] if list(_template("spec", old_spec)) else list(_template("spec", spec))
        claims = [] if list(_claims("spec", old_spec)) else list(_claims("spec", spec))
        errors = [*_before_claims("spec", spec), *claims]
        errors += [*_before_template("spec", spec, kept_name=old_spec.get("serviceName")), *template]
        frozen, old_frozen = (
            {key: value for key, value in item["spec"].items() if key not in _MUTABLE} for item in (obj, old)
        )
        if frozen != old_frozen:
            errors.append(FieldError.forbidden("spec", _FORBIDDEN))
        return errors

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the counters."""
        status = obj.get("status") or {}
        return [*_status("status", status), *collisions("status.collisionCount", status, old.get("status") or {})]

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Those of the template, and of the claims."""
        return [*super().warnings_on_create(context, obj), *_claims_and_history(obj["spec"], "")]

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same; those of the template only when the spec changed."""
        of_template = [] if obj["spec"] == old["spec"] else super().warnings_on_create(context, obj)
        return [*of_template, *_claims_and_history(obj["spec"], ".Spec")]


def _drop_max_unavailable(obj: Object) -> None:
    rolling = obj["spec"]["updateStrategy"].get("rollingUpdate")
    if rolling is not None:
        rolling.pop("maxUnavailable", None)


def _claims_and_history(spec: Spec, suffix: str) -> Iterator[str]:
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        yield from claim_warnings(f"spec.volumeClaimTemplates[{index}]{suffix}", claim.get("spec") or {})
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield (
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        )


def _before_claims(path: str, spec: Spec) -> Errors:
    policy = spec.get("podManagementPolicy")
    if not policy:
        yield FieldError.required(f"{path}.podManagementPolicy")
    elif policy not in ("OrderedReady", "Parallel"):
        yield FieldError.invalid(f"{path}.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    yield from _update_strategy(f"{path}.updateStrategy", spec["updateStrategy"])
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        where = f"{path}.persistentVolumeClaimRetentionPolicy.{name}"
        yield from one_of(where, retention.get(name), ("Retain", "Delete"))


def _claims(path: str, spec: Spec) -> Errors:
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        yield from claim_spec(f"{path}.volumeClaimTemplates[{index}].spec", claim.get("spec") or {})


def _before_template(path: str, spec: Spec, kept_name: str | None = None) -> Errors:
    yield from nonnegative(f"{path}.replicas", spec.get("replicas"))
    yield from nonnegative(f"{path}.minReadySeconds", spec.get("minReadySeconds"))
    yield from nonnegative(f"{path}.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    if spec.get("serviceName") and spec["serviceName"] != kept_name:
        yield from dns_label(f"{path}.serviceName", spec["serviceName"])
    yield from required_selector(f"{path}.selector", spec.get("selector"), "statefulset")


def _template(path: str, spec: Spec) -> Errors:
    """The template as its Pods will be: with the claims made for them as volumes."""
    template = spec["template"]
    claims = {
        (claim.get("metadata") or {}).get("name") or "": claim for claim in spec.get("volumeClaimTemplates") or ()
    }
    if claims:
        volumes = [v for v in template["spec"].get("volumes") or () if v.get("name") not in claims]
        made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
        template = {**template, "spec": {**template["spec"], "volumes": [*volumes, *made]}}
    yield from selected_template(path, {**spec, "template": template}, "StatefulSet", detail="")


def _update_strategy(path: str, update: Spec) -> Errors:
    kind, rolling = update.get("type"), update.get("rollingUpdate")
    if not kind:
        yield FieldError.required(path)
    elif kind == "OnDelete":
        if rolling is not None:
            shown = internal_form("StatefulSetRollingUpdate", rolling)
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            yield FieldError.invalid(f"{path}.rollingUpdate", shown, detail)
    elif kind == "RollingUpdate":
        yield from nonnegative(f"{path}.rollingUpdate.partition", (rolling or {}).get("partition"))
        unavailable, where = (rolling or {}).get("maxUnavailable"), f"{path}.rollingUpdate.maxUnavailable"
        if unavailable is not None:
            yield from percent_or_count(where, unavailable)
            if amount(unavailable) == 0:
                yield FieldError.invalid(where, unavailable, "cannot be 0")
            yield from not_over_100_percent(where, unavailable)
    else:
        shown = internal_form("StatefulSetUpdateStrategy", update)
        yield FieldError.invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")


def _status(path: str, status: Spec) -> Errors:
    parts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    for name in ("replicas", *parts, "observedGeneration", "collisionCount"):
        yield from nonnegative(f"{path}.{name}", status.get(name))
    yield from bounded_counters(path, status, parts, ready="status.readyReplicas")
