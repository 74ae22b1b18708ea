"""Rules of a Pod's status: no container comes back from its end, addresses are addresses (ValidatePodStatusUpdate)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import (
    INT32_MAX,
    Errors,
    dns_subdomain,
    immutable,
    in_range,
    ip_address,
    qualified_name,
)

Pod = Mapping[str, Any]


def status_changes(pod: Pod, old: Pod) -> Errors:
    """Judge a new status against the old one."""
    status, old_status = pod.get("status") or {}, old.get("status") or {}
    yield from _conditions("status.conditions", status.get("conditions") or ())
    yield from _nominated_node("status.nominatedNodeName", pod, old)
    if (status.get("observedGeneration") or 0) < 0:
        generation = status["observedGeneration"]
        yield FieldError.invalid("status.observedGeneration", generation, "must be a non-negative integer")
    yield from immutable("status.qosClass", status.get("qosClass") or "", old_status.get("qosClass") or "")
    spec = old.get("spec") or {}
    for name, containers in (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")):
        if not _restarts_all(spec):
            yield from _transitions(f"status.{name}", status.get(name), old_status.get(name), spec, containers)
    name = "ephemeralContainerStatuses"
    yield from _transitions(f"status.{name}", status.get(name), old_status.get(name), spec, "")
    yield from _claims("status.resourceClaimStatuses", status, pod.get("spec") or {})
    for name in ("podIPs", "hostIPs"):
        known = [item.get("ip") or "" for item in old_status.get(name) or ()]
        if name == "hostIPs":
            yield from _first_host_address(status)
        yield from _addresses(f"status.{name}", status.get(name) or (), known)
    yield from _users(status, pod.get("spec") or {})


def _conditions(path: str, conditions: Sequence[Pod]) -> Errors:
    for index, condition in enumerate(conditions):
        if (condition.get("observedGeneration") or 0) < 0:
            where, generation = f"{path}[{index}].observedGeneration", condition["observedGeneration"]
            yield FieldError.invalid(where, generation, "must be a non-negative integer")
        if condition.get("type") not in ("PodScheduled", "Ready", "Initialized"):
            yield from qualified_name(f"{path}[{index}].Type", condition.get("type") or "")


def _nominated_node(path: str, pod: Pod, old: Pod) -> Errors:
    name = (pod.get("status") or {}).get("nominatedNodeName") or ""
    if not name or name == (old.get("status") or {}).get("nominatedNodeName"):
        return
    yield from dns_subdomain(path, name)
    if (old.get("spec") or {}).get("nodeName"):
        yield FieldError.forbidden(path, "may not be set on pods that are already bound to a node")


def _containers(spec: Pod) -> Iterator[Pod]:
    for name in ("containers", "initContainers"):
        yield from spec.get(name) or ()


def _restarts_all(spec: Pod) -> bool:
    """Whether some container's end may restart all of them."""
    rules = (rule for container in _containers(spec) for rule in container.get("restartPolicyRules") or ())
    return any(rule.get("action") == "RestartAllContainers" for rule in rules)


def _transitions(path: str, new: Sequence[Pod] | None, old: Sequence[Pod] | None, spec: Pod, containers: str) -> Errors:
    """A container that has ended begins again only if its policy says so. `containers` is its list in the spec."""
    states = {status.get("name"): status.get("state") or {} for status in new or ()}
    by_name = {container.get("name"): container for container in spec.get(containers) or ()}
    for index, status in enumerate(old or ()):
        ended, state = (status.get("state") or {}).get("terminated"), states.get(status.get("name"))
        if ended is None or state is None or state.get("terminated") is not None:
            continue
        container = by_name.get(status.get("name"))
        if container is None or not _should_restart(container, spec, ended.get("exitCode") or 0):
            yield FieldError.forbidden(f"{path}[{index}].state", "may not be transitioned to non-terminated state")


def _should_restart(container: Pod, spec: Pod, exit_code: int) -> bool:
    """Whether a container that ended with this code is started again: its own rules, its policy, the Pod's."""
    policy = container.get("restartPolicy")
    if policy is None:
        policy = spec.get("restartPolicy")
    else:
        for rule in container.get("restartPolicyRules") or ():
            codes = rule.get("exitCodes") or {}
            listed = exit_code in (codes.get("values") or ())
            if listed == (codes.get("operator") == "In"):
                return True
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _claims(path: str, status: Pod, spec: Pod) -> Errors:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, claim in enumerate(status.get("resourceClaimStatuses") or ()):
        name = claim.get("name") or ""
        if name not in known:
            detail = "must match the name of an entry in `spec.resourceClaims`"
            yield FieldError.invalid(f"{path}[{index}].name", name, detail)
        if name in seen:
            yield FieldError.duplicate(f"{path}[{index}].name", name)
        seen.add(name)
        if claim.get("resourceClaimName") is not None:
            yield from dns_subdomain(f"{path}[{index}].name", claim["resourceClaimName"])


def _users(status: Pod, spec: Pod) -> Errors:
    system = (spec.get("os") or {}).get("name", "linux")
    for name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for index, container in enumerate(status.get(name) or ()):
            user = (container.get("user") or {}).get("linux")
            where = f"status.{name}[{index}].user.linux"
            if user is not None and system == "windows":
                yield FieldError.forbidden(where, "cannot be set for a windows pod")
            elif user is not None and system == "linux":
                yield from _linux_user(where, user)


def _linux_user(path: str, user: Pod) -> Errors:
    for name in ("uid", "gid"):
        yield from in_range(f"{path}.{name}", user.get(name) or 0, 0, INT32_MAX)
    for index, group in enumerate(user.get("supplementalGroups") or ()):
        yield from in_range(f"{path}.supplementalGroups[{index}]", group, 0, INT32_MAX)


def _addresses(path: str, items: Sequence[Pod], known: Sequence[str]) -> Errors:
    for index, item in enumerate(items):
        yield from ip_address(f"{path}[{index}]", item.get("ip") or "", known)
    if len(items) < 2:
        return
    families = [":" in (item.get("ip") or "") for item in items]
    if len(items) > 2 or len(set(families)) != 2:
        shown = [{"IP": item.get("ip") or ""} for item in items]
        yield FieldError.invalid(path, shown, "may specify no more than one IP for each IP family")


def _first_host_address(status: Pod) -> Errors:
    items = status.get("hostIPs") or ()
    if items and (status.get("hostIP") or "") != (items[0].get("ip") or ""):
        yield FieldError.invalid("status.hostIPs[0].ip", items[0].get("ip") or "", "must be equal to `hostIP`")
