"""Rules of a Pod's status: no container comes back from its end, addresses are addresses (ValidatePodStatusUpdate)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    dns_subdomain,
    immutable,
    ip_address,
    qualified_name,
)

Pod = Mapping[str, Any]


def status_changes(pod: Pod, old: Pod) -> Errors:
    """Judge a new status against the old one."""
    status, old_status = pod.get("status") or {}, old.get("status") or {}
    for index, condition in enumerate(status.get("conditions") or ()):
        if condition.get("type") not in ("PodScheduled", "Ready", "Initialized"):
            yield from qualified_name(f"metadata.conditions[{index}].Type", condition.get("type") or "")
    nominated = status.get("nominatedNodeName") or ""
    if nominated and nominated != old_status.get("nominatedNodeName"):
        yield from dns_subdomain("status.nominatedNodeName", nominated)
    yield from immutable("status.qosClass", status.get("qosClass") or "", old_status.get("qosClass") or "")
    spec = old.get("spec") or {}
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    policy = spec.get("restartPolicy") or ""
    for name, restart_policy, exempt in (
        ("containerStatuses", policy, frozenset[str]()),
        ("initContainerStatuses", policy, frozenset(sidecars)),
        ("ephemeralContainerStatuses", "Never", frozenset[str]()),
    ):
        new_list, old_list = status.get(name) or (), old_status.get(name) or ()
        yield from _transitions(f"status.{name}", new_list, old_list, restart_policy, exempt)
    yield from _addresses("status.podIPs", status.get("podIPs") or ())
    yield from _host_addresses(status)


def _transitions(
    path: str, new: Sequence[Pod], old: Sequence[Pod], restart_policy: str, exempt: frozenset[str]
) -> Errors:
    if restart_policy == "Always":
        return
    states = {status.get("name"): status.get("state") or {} for status in new}
    for index, status in enumerate(old):
        ended = (status.get("state") or {}).get("terminated")
        if ended is None or status.get("name") in exempt or (ended.get("exitCode") and restart_policy == "OnFailure"):
            continue
        state = states.get(status.get("name"))
        if state is not None and state.get("terminated") is None:
            yield FieldError.forbidden(f"{path}[{index}].state", "may not be transitioned to non-terminated state")


def _addresses(path: str, items: Sequence[Pod]) -> Errors:
    for index, item in enumerate(items):
        yield from ip_address(f"{path}[{index}]", item.get("ip") or "")
    if len(items) < 2:
        return
    families = [":" in (item.get("ip") or "") for item in items]
    if len(items) > 2 or len(set(families)) != 2:
        shown = [{"IP": item.get("ip") or ""} for item in items]
        yield FieldError.invalid(path, shown, "may specify no more than one IP for each IP family")
    seen: set[str] = set()
    for index, item in enumerate(items):
        ip = item.get("ip") or ""
        if ip in seen:
            yield FieldError.duplicate(f"{path}[{index}]", {"IP": ip})
        seen.add(ip)


def _host_addresses(status: Pod) -> Errors:
    items = status.get("hostIPs") or ()
    if items and (status.get("hostIP") or "") != (items[0].get("ip") or ""):
        yield FieldError.invalid("status.hostIPs[0].ip", items[0].get("ip") or "", "must be equal to `hostIP`")
    yield from _addresses("status.hostIPs", items)
