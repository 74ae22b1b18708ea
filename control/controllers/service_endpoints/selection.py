"""Which Pods stand behind a Service, at which addresses and ports. Pure; shared by both controllers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from control.api.builtin_kinds import PODS, SERVICES
from control.api.meta import is_deleting, labels_of, object_key
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import containers_of, is_pod_ready, is_sidecar, is_terminal, node_name_of
from control.api.selectors import selector_from_labels
from control.client.view import View

HEADLESS_LABEL = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port as a Pod offers it for a port of the Service. `number` is None for a Service without ports."""

    name: str
    protocol: str
    number: int | None
    app_protocol: str = ""


def has_selector(service: ReadOnlyObject) -> bool:
    """Whether addresses of a Service are ours to find: others bring their own, or have none."""
    spec = service["spec"]
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def is_headless(service: ReadOnlyObject) -> bool:
    """Whether the Service has no address of its own."""
    return bool(service["spec"].get("clusterIP") == "None")


def address_families(service: ReadOnlyObject) -> list[str]:
    """IPv4, IPv6 or both."""
    return list(service["spec"].get("ipFamilies") or ("IPv4",))


def pods_behind(service: ReadOnlyObject, view: View) -> list[Object]:
    """Pods with an address that the selector matches and that have not finished."""
    selector = selector_from_labels(service["spec"]["selector"])
    pods = view.list(PODS, service["metadata"]["namespace"])
    return [pod for pod in pods if selector.matches(labels_of(pod)) and _has_address(pod) and not is_terminal(pod)]


def _has_address(pod: ReadOnlyObject) -> bool:
    status = pod.get("status") or {}
    return bool(status.get("podIP") or status.get("podIPs"))


def addresses_of(pod: ReadOnlyObject, family: str) -> list[str]:
    """The Pod's addresses of a family."""
    status = pod.get("status") or {}
    listed = [item["ip"] for item in status.get("podIPs") or ()] or [status.get("podIP", "")]
    version = 6 if family == "IPv6" else 4
    return [address for address in listed if address and ipaddress.ip_address(address).version == version]


def ports_of(service: ReadOnlyObject, pod: ReadOnlyObject) -> tuple[Port, ...]:
    """The Service's ports as this Pod offers them; a named port the Pod does not have is left out."""
    ports: list[Port] = []
    for item in service["spec"].get("ports") or ():
        protocol = item.get("protocol", "TCP")
        target = item.get("targetPort", item["port"])
        number = target if isinstance(target, int) else _named_port(pod, target, protocol)
        if number is not None:
            ports.append(Port(item.get("name", ""), protocol, number or item["port"], item.get("appProtocol", "")))
    return tuple(ports)


def _named_port(pod: ReadOnlyObject, name: str, protocol: str) -> int | None:
    sidecars = [item for item in pod["spec"].get("initContainers") or () if is_sidecar(item)]
    for container in (*containers_of(pod), *sidecars):
        for port in container.get("ports") or ():
            if port.get("name") == name and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def target_of(pod: ReadOnlyObject) -> Object:
    """The reference to a Pod in an address."""
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def hostname_in(service: ReadOnlyObject, pod: ReadOnlyObject) -> str:
    """The Pod's own name under the Service's, if it asks for one."""
    spec = pod["spec"]
    return str(spec.get("hostname") or "") if spec.get("subdomain") == service["metadata"]["name"] else ""


def keys_of_service(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """A Service's own key."""
    return (object_key(new or old or {}),)


def keys_of_pod(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """The Services whose addresses a Pod's change may concern."""
    if old is not None and new is not None and _appearance(old) == _appearance(new):
        return ()
    keys: set[str] = set()
    for pod in (old, new):
        if pod is None or not _has_address(pod):
            continue
        labels = labels_of(pod)
        for service in view.list(SERVICES, pod["metadata"]["namespace"]):
            if has_selector(service) and selector_from_labels(service["spec"]["selector"]).matches(labels):
                keys.add(object_key(service))
    return keys


def _appearance(pod: ReadOnlyObject) -> tuple[object, ...]:
    status = pod.get("status") or {}
    return (
        labels_of(pod),
        status.get("podIPs") or status.get("podIP"),
        is_pod_ready(pod),
        is_deleting(pod),
        is_terminal(pod),
        node_name_of(pod),
    )
