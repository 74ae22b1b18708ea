"""The EndpointSlice controller: the addresses of a Service in slices of at most a hundred.

An endpoint stays in its slice while it lives, so that a change rewrites one slice and not all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from control.api.builtin_kinds import ENDPOINT_SLICES, NODES, PODS, SERVICES
from control.api.meta import is_deleting, labels_of, make_owner_reference, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_pod_ready, node_name_of
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Create, Delete, Result, Step, Update
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

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGED_BY = "endpointslice-controller.k8s.io"
ZONE_LABEL = "topology.kubernetes.io/zone"
ENDPOINTS_MAX = 100


class Content(NamedTuple):
    """What one slice is to hold; `known` is the slice that holds some of it now."""

    known: Object | None
    ports: tuple[Port, ...]
    endpoints: list[Object]


def reconcile(key: str, view: View, now: datetime) -> Result:
    """Decide which slices of a Service to write."""
    service = view.find_key(SERVICES, key)
    namespace, _, name = key.partition("/")
    present = [
        item
        for item in view.list(ENDPOINT_SLICES, namespace)
        if labels_of(item).get(SERVICE_LABEL) == name and labels_of(item).get(MANAGED_BY_LABEL) == MANAGED_BY
    ]
    if service is None or not has_selector(service):
        return Result(steps=[_delete(item, "its Service has no Pods to select") for item in present])
    if is_deleting(service):
        return Result()
    steps: list[Step] = []
    families = address_families(service)
    steps.extend(_delete(item, "its family is gone") for item in present if item["addressType"] not in families)
    for family in families:
        slices = [item for item in present if item["addressType"] == family and not is_deleting(item)]
        steps.extend(_plan_family(service, family, slices, view))
    return Result(steps=steps)


def _plan_family(service: ReadOnlyObject, family: str, present: list[Object], view: View) -> list[Step]:
    wanted: dict[tuple[Port, ...], dict[str, Object]] = {}
    for pod in sorted(pods_behind(service, view), key=lambda item: str(item["metadata"]["name"])):
        if addresses := addresses_of(pod, family):
            endpoint = _make_endpoint(service, pod, addresses, view)
            wanted.setdefault(ports_of(service, pod), {})[uid_of(pod)] = endpoint
    by_ports: dict[tuple[Port, ...], list[Object]] = {}
    for item in sorted(present, key=lambda one: str(one["metadata"]["name"])):
        by_ports.setdefault(_ports_in(item), []).append(item)
    contents: list[Content] = []
    for ports in {**wanted, **by_ports}:
        shared = _distribute(by_ports.get(ports, []), dict(wanted.get(ports, {})))
        contents += [Content(known, ports, endpoints) for known, endpoints in shared]
    kept = [content for content in contents if content.endpoints]
    if not kept:
        # A Service without addresses keeps one empty slice, by which readers know that this is known.
        kept = [Content(present[0] if present else None, (), [])]
    unused = [item for item in present if all(item is not content.known for content in kept)]
    steps: list[Step] = []
    for content in kept:
        # A slice that would go serves before a new one is made, as upstream: readers see one change and not two.
        known = content.known or (unused.pop(0) if unused else None)
        steps.extend(_write(service, family, content.ports, content.endpoints, known))
    return steps + [_delete(item, "it is empty") for item in unused]


def _distribute(present: list[Object], wanted: dict[str, Object]) -> list[tuple[Object | None, list[Object]]]:
    """Keep endpoints in their slices, fill free places, open new slices for the rest."""
    contents: list[tuple[Object | None, list[Object]]] = []
    for item in present:
        uids = [(endpoint.get("targetRef") or {}).get("uid", "") for endpoint in item.get("endpoints") or ()]
        contents.append((item, [wanted.pop(uid) for uid in uids if uid in wanted]))
    rest = list(wanted.values())
    for _, endpoints in contents:
        room = ENDPOINTS_MAX - len(endpoints) if endpoints or len(contents) == 1 else 0
        endpoints.extend(rest[:room])
        rest = rest[room:]
    while rest:
        contents.append((None, rest[:ENDPOINTS_MAX]))
        rest = rest[ENDPOINTS_MAX:]
    return contents


def _make_endpoint(service: ReadOnlyObject, pod: ReadOnlyObject, addresses: list[str], view: View) -> Object:
    is_serving, is_terminating = is_pod_ready(pod), is_deleting(pod)
    is_ready = bool(service["spec"].get("publishNotReadyAddresses")) or (is_serving and not is_terminating)
    endpoint: Object = {
        "addresses": addresses,
        "conditions": {"ready": is_ready, "serving": is_serving, "terminating": is_terminating},
        "targetRef": target_of(pod),
    }
    if hostname := hostname_in(service, pod):
        endpoint["hostname"] = hostname
    if node_name := node_name_of(pod):
        endpoint["nodeName"] = node_name
        node = view.find(NODES, node_name)
        if node is not None and (zone := labels_of(node).get(ZONE_LABEL)):
            endpoint["zone"] = zone
    return endpoint


def _write(
    service: ReadOnlyObject, family: str, ports: tuple[Port, ...], endpoints: list[Object], present: Object | None
) -> Iterable[Step]:
    content = {"addressType": family, "endpoints": endpoints, "ports": [_format_port(port) for port in ports]}
    labels = _labels(service)
    if present is None:
        metadata = {
            "generateName": f"{service['metadata']['name']}-",
            "namespace": service["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [make_owner_reference(service)],
        }
        obj = {"apiVersion": ENDPOINT_SLICES.api_version, "kind": ENDPOINT_SLICES.kind, "metadata": metadata, **content}
        yield Create(kind=ENDPOINT_SLICES, obj=obj, cause="Pods have no slice")
        return
    is_current = (present.get("endpoints") or []) == endpoints and _ports_in(present) == ports
    if not is_current or labels_of(present) != labels:
        changed = {**present, **content, "metadata": {**present["metadata"], "labels": labels}}
        yield Update(kind=ENDPOINT_SLICES, obj=changed, cause="Pods changed")


def _labels(service: ReadOnlyObject) -> dict[str, str]:
    labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS_LABEL}
    labels[SERVICE_LABEL] = service["metadata"]["name"]
    labels[MANAGED_BY_LABEL] = MANAGED_BY
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels


def _format_port(port: Port) -> Object:
    formatted: Object = {"name": port.name, "protocol": port.protocol}
    if port.number is not None:
        formatted["port"] = port.number
    if port.app_protocol:
        formatted["appProtocol"] = port.app_protocol
    return formatted


def _ports_in(item: ReadOnlyObject) -> tuple[Port, ...]:
    return tuple(
        Port(port.get("name") or "", port.get("protocol", "TCP"), port.get("port"), port.get("appProtocol") or "")
        for port in item.get("ports") or ()
    )


def _delete(item: ReadOnlyObject, cause: str) -> Delete:
    metadata = item["metadata"]
    return Delete(
        kind=ENDPOINT_SLICES, namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"], cause=cause
    )


def _keys_of_slice(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    item = new or old or {}
    name = labels_of(item).get(SERVICE_LABEL)
    is_ours = labels_of(item).get(MANAGED_BY_LABEL) == MANAGED_BY
    return (f"{item['metadata']['namespace']}/{name}",) if name and is_ours else ()


ENDPOINT_SLICE = Controller(
    name="endpointslice",
    watches=(
        Watch(kind=SERVICES, keys=keys_of_service),
        Watch(kind=PODS, keys=keys_of_pod),
        Watch(kind=ENDPOINT_SLICES, keys=_keys_of_slice),
    ),
    reads=(NODES,),
    reconcile=reconcile,
)
