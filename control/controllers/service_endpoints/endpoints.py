"""The Endpoints controller: all addresses of a Service in one object, for readers of the older API."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import ENDPOINTS, PODS, SERVICES
from control.api.meta import is_deleting, labels_of, object_key
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_pod_ready, node_name_of
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Create, Delete, Result, Update
from control.controllers.service_endpoints.selection import (
    HEADLESS_LABEL,
    Port,
    address_families,
    addresses_of,
    has_selector,
    hostname_in,
    is_headless,
    keys_of_pod,
    keys_of_service,
    pods_behind,
    ports_of,
    target_of,
)

MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
MANAGED_BY = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
ADDRESSES_MAX = 1000


def reconcile(key: str, view: View, now: datetime) -> Result:
    """Decide what the Endpoints of a Service should be."""
    service = view.find_key(SERVICES, key)
    present = view.find_key(ENDPOINTS, key)
    if service is None:
        is_ours = present is not None and labels_of(present).get(MANAGED_BY_LABEL) == MANAGED_BY
        return Result(steps=[_delete(present)] if present is not None and is_ours else [])
    if not has_selector(service) or is_deleting(service):
        return Result()
    subsets, is_truncated = _make_subsets(service, view)
    labels = {name: value for name, value in labels_of(service).items() if name != HEADLESS_LABEL}
    labels[MANAGED_BY_LABEL] = MANAGED_BY
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    if present is None:
        namespace, _, name = key.partition("/")
        metadata: Object = {"name": name, "namespace": namespace, "labels": labels}
        if is_truncated:
            metadata["annotations"] = {OVER_CAPACITY: "truncated"}
        obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}
        return Result(steps=[Create(kind=ENDPOINTS, obj=obj, cause="the Service has no Endpoints")])
    annotations = {name: value for name, value in _annotations(present).items() if name != OVER_CAPACITY}
    if is_truncated:
        annotations[OVER_CAPACITY] = "truncated"
    is_current = (present.get("subsets") or []) == subsets and labels_of(present) == labels
    if is_current and annotations == _annotations(present):
        return Result()
    metadata = {**present["metadata"], "labels": labels, "annotations": annotations}
    changed = {**present, "metadata": metadata, "subsets": subsets}
    return Result(steps=[Update(kind=ENDPOINTS, obj=changed, cause="Pods changed")])


def _annotations(obj: ReadOnlyObject) -> dict[str, str]:
    return dict(obj["metadata"].get("annotations") or {})


def _make_subsets(service: ReadOnlyObject, view: View) -> tuple[list[Object], bool]:
    """Addresses grouped by their ports, sorted as upstream packs them, and whether there were too many."""
    family = address_families(service)[0]
    publishes_all = bool(service["spec"].get("publishNotReadyAddresses"))
    groups: dict[tuple[Port, ...], tuple[list[Object], list[Object]]] = {}
    count = 0
    pods = [pod for pod in pods_behind(service, view) if publishes_all or not is_deleting(pod)]
    pods.sort(key=lambda pod: not is_pod_ready(pod))
    for pod in pods:
        addresses = addresses_of(pod, family)
        ports = ports_of(service, pod)
        if not addresses or (not ports and not is_headless(service)) or count >= ADDRESSES_MAX:
            continue
        count += 1
        ready, not_ready = groups.setdefault(tuple(sorted(ports)), ([], []))
        (ready if publishes_all or is_pod_ready(pod) else not_ready).append(_make_address(service, pod, addresses[0]))
    subsets = [_make_subset(ports, *groups[ports]) for ports in sorted(groups)]
    return subsets, len(pods) > ADDRESSES_MAX


def _make_subset(ports: tuple[Port, ...], ready: list[Object], not_ready: list[Object]) -> Object:
    subset: Object = {}
    if ready:
        subset["addresses"] = sorted(ready, key=lambda item: (item["ip"], item["targetRef"]["uid"]))
    if not_ready:
        subset["notReadyAddresses"] = sorted(not_ready, key=lambda item: (item["ip"], item["targetRef"]["uid"]))
    if ports:
        subset["ports"] = [_format_port(port) for port in ports]
    return subset


def _make_address(service: ReadOnlyObject, pod: ReadOnlyObject, ip: str) -> Object:
    address: Object = {"ip": ip}
    if hostname := hostname_in(service, pod):
        address["hostname"] = hostname
    if node_name := node_name_of(pod):
        address["nodeName"] = node_name
    address["targetRef"] = target_of(pod)
    return address


def _format_port(port: Port) -> Object:
    formatted: Object = {"port": port.number, "protocol": port.protocol}
    if port.name:
        formatted = {"name": port.name, **formatted}
    if port.app_protocol:
        formatted["appProtocol"] = port.app_protocol
    return formatted


def _delete(present: ReadOnlyObject) -> Delete:
    metadata = present["metadata"]
    return Delete(
        kind=ENDPOINTS,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        cause="its Service is gone",
    )


def _keys_of_endpoints(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    return (object_key(new or old or {}),)


ENDPOINTS_CONTROLLER = Controller(
    name="endpoints",
    watches=(
        Watch(kind=SERVICES, keys=keys_of_service),
        Watch(kind=PODS, keys=keys_of_pod),
        Watch(kind=ENDPOINTS, keys=_keys_of_endpoints),
    ),
    reconcile=reconcile,
)
