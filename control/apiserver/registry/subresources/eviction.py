"""pods/eviction: deletes a Pod if its PodDisruptionBudget can spare it (upstream: core/pod/storage/eviction.go)."""

from __future__ import annotations

from control.api.builtin_kinds import POD_DISRUPTION_BUDGETS
from control.api.errors import ApiError, bad_request, forbidden, not_found
from control.api.exchange import ApiResponse
from control.api.kinds import Kind
from control.api.meta import find_condition, labels_of, set_condition
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_pod_ready
from control.api.selectors import selector_from_object
from control.api.timestamps import format_time
from control.apiserver.handlers.delete import delete_write_options
from control.apiserver.handlers.responding import write_request
from control.apiserver.options import DeleteOptions, WriteOptions, read_delete_options
from control.apiserver.registry.delete_object import delete_object
from control.apiserver.registry.resource_store import Change, ResourceStore
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.registry.write_request import WriteRequest
from control.apiserver.representation import value_response
from control.apiserver.request_body import decode_body
from control.apiserver.request_context import RequestContext

_EVICTION = Kind(
    group="policy", version="v1", kind="Eviction", plural="evictions", singular="eviction", namespaced=True
)
_CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget."
_DISRUPTED_PODS_MAX = 2000
_RETRY_SECONDS = 10


async def eviction(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Evict a Pod."""
    body = decode_body(context, _EVICTION, "io.k8s.api.policy.v1.Eviction")
    name = context.info.name
    if (body.get("metadata") or {}).get("name") not in (name, None, ""):
        raise bad_request("name in URL does not match name in Eviction object")
    options = read_delete_options(context, body.get("deleteOptions") or {})
    options.dry_run = options.dry_run or bool([value for value in context.query_all("dryRun") if value])
    pod = store.get(context.info.namespace, name).object
    write = write_request(context, delete_write_options(options))
    if not _goes_anyway(pod):
        await _take_from_budget(context, parts, pod, options)
        if not options.dry_run:
            await store.rewrite(context.info.namespace, name, lambda obj: _mark_evicted(context, obj))
    await delete_object(store, write, options)
    return value_response(context, _CREATED, status=201)


def _goes_anyway(pod: ReadOnlyObject) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed") or bool(pod["metadata"].get("deletionTimestamp"))


def _mark_evicted(context: RequestContext, pod: Object) -> None:
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    set_condition(conditions, condition, context.now)


async def _take_from_budget(
    context: RequestContext, parts: ServerParts, pod: ReadOnlyObject, options: DeleteOptions
) -> None:
    if (pod.get("status") or {}).get("phase") == "Pending":
        return  # upstream spares Pods that do not run from the budget
    budgets = _budgets_of(parts, pod)
    if not budgets:
        return
    if len(budgets) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise ApiError(500, "", text)
    budget = budgets[0]
    if _is_spared_unhealthy(pod, budget):
        return
    write = WriteRequest(
        user=context.user,
        now=context.now,
        options=WriteOptions(dry_run=options.dry_run, field_manager="kube-apiserver"),
        warn=context.warn,
        namespace=context.info.namespace,
        name=budget["metadata"]["name"],
        subresource="status",
    )

    def decrement(live: Object | None) -> Object:
        if live is None:
            raise not_found("policy", "poddisruptionbudgets", write.name)
        _check_budget(live)
        status = live["status"]
        status["disruptionsAllowed"] -= 1
        if status["disruptionsAllowed"] == 0:
            _set_no_disruptions(live, context)
        status.setdefault("disruptedPods", {})[pod["metadata"]["name"]] = format_time(context.now)
        return live

    await parts.store_of(POD_DISRUPTION_BUDGETS).update(write, Change(decrement, is_status=True))


def _budgets_of(parts: ServerParts, pod: ReadOnlyObject) -> list[ReadOnlyObject]:
    return [
        budget
        for budget in parts.registry.list(POD_DISRUPTION_BUDGETS, pod["metadata"]["namespace"])
        if selector_from_object((budget.get("spec") or {}).get("selector")).matches(labels_of(pod))
    ]


def _is_spared_unhealthy(pod: ReadOnlyObject, budget: ReadOnlyObject) -> bool:
    """A Pod that is not ready may go if the budget says so, or if enough others are healthy."""
    if is_pod_ready(pod):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    return bool(healthy >= desired > 0)


def _check_budget(budget: ReadOnlyObject) -> None:
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", _RETRY_SECONDS)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise forbidden("policy", "poddisruptionbudgets", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > _DISRUPTED_PODS_MAX:
        detail = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise forbidden("policy", "poddisruptionbudgets", name, detail)
    if allowed == 0:
        raise _refused(_shortage(name, status), 0)


def _shortage(name: str, status: ReadOnlyObject) -> str:
    condition = find_condition(status.get("conditions"), "DisruptionAllowed")
    if condition and condition.get("reason") == "SyncFailed":
        return (
            f"The disruption budget {name} does not allow evicting pods currently because it failed sync:"
            f" {condition.get('message', '')}"
        )
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    if healthy <= desired:
        return f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
    return f"The disruption budget {name} does not allow evicting pods currently"


def _refused(reason: str, retry_seconds: int) -> ApiError:
    details: Object = {"causes": [{"reason": "DisruptionBudget", "message": reason}]}
    headers = []
    if retry_seconds:
        details["retryAfterSeconds"] = retry_seconds
        headers.append(("Retry-After", str(retry_seconds)))
    return ApiError(429, "TooManyRequests", _REFUSAL, details=details, headers=headers)


def _set_no_disruptions(budget: Object, context: RequestContext) -> None:
    conditions = budget["status"].setdefault("conditions", [])
    condition = {
        "type": "DisruptionAllowed",
        "status": "False",
        "observedGeneration": budget["status"].get("observedGeneration", 0),
        "reason": "InsufficientPods",
        "message": "",
    }
    set_condition(conditions, condition, context.now)
