"""Defaults of Pods and of every template that holds a Pod spec (upstream: pkg/apis/core/v1/defaults.go).

`default_pod` is for Pods themselves, `default_pod_template` for templates: some defaults (requests from limits, host
ports, service links) materialize only in the Pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.objects import Object
from control.api.quantity import canonical_quantity
from control.apiserver.registry.strategies.disabled_fields import drop_disabled_pod_fields
from control.apiserver.registry.strategies.image_names import default_pull_policy
from control.apiserver.registry.strategies.resource_lists import (
    default_requirements,
    default_resource_list,
    is_huge_page,
    is_overcommit_allowed,
    quantity,
)
from control.apiserver.registry.strategies.volume_defaults import default_volume

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def default_pod(pod: Object) -> None:
    """Fill the defaults of a Pod."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    # Templates keep a negative one, as upstream: Convert_v1_Pod_To_core_Pod in pkg/apis/core/v1/conversion.go.
    if isinstance(spec["terminationGracePeriodSeconds"], int) and spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    _default_requests_from_limits(spec)
    if spec.get("resources"):
        _default_pod_level_requests(spec)
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        _default_host_ports(spec)
    status = pod.setdefault("status", {})
    _mirror_pod_ip(status)
    for name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for container_status in status.get(name) or ():
            for state in ("state", "lastState"):
                container_status.setdefault(state, {})
            default_requirements(container_status.get("resources"))
            default_resource_list(container_status.get("allocatedResources"))


def _mirror_pod_ip(status: Object) -> None:
    """podIP and the first of podIPs are the same address; podIP wins where a client wrote only that."""
    address, addresses = status.get("podIP"), status.get("podIPs")
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses and not address:
        status["podIP"] = addresses[0].get("ip")


def default_pod_template(owner: Object) -> None:
    """Fill the defaults of `owner["template"]`, a PodTemplateSpec."""
    template = owner.setdefault("template", {})
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: Object) -> None:
    """Fill what Pods and templates have in common."""
    drop_disabled_pod_fields(spec)
    spec.setdefault("containers", None)
    _default_empty(spec, "dnsPolicy", "ClusterFirst")
    _default_empty(spec, "restartPolicy", "Always")
    _default_empty(spec, "schedulerName", "default-scheduler")
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    default_resource_list(spec.get("overhead"))
    default_requirements(spec.get("resources"))
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    for name in CONTAINER_LISTS:
        for container in spec.get(name) or ():
            default_container(container)


def _default_empty(target: Object, field: str, value: str) -> None:
    if not target.get(field):
        target[field] = value


def default_container(container: Object) -> None:
    """Fill the defaults of one container of any of the three lists."""
    container.setdefault("resources", {})
    default_requirements(container["resources"])
    _default_empty(container, "terminationMessagePath", "/dev/termination-log")
    _default_empty(container, "terminationMessagePolicy", "File")
    _default_empty(container, "imagePullPolicy", default_pull_policy(container.get("image") or ""))
    for port in container.get("ports") or ():
        _default_empty(port, "protocol", "TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        default_field_ref(source.get("fieldRef"))
        default_divisor(source.get("resourceFieldRef"))
        if source.get("fileKeyRef") is not None:
            source["fileKeyRef"].setdefault("optional", False)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _default_http_get(handler.get("httpGet"))
    security = container.get("securityContext")
    if security and "procMount" in security and not security["procMount"]:
        security["procMount"] = "Default"


def default_field_ref(reference: Object | None) -> None:
    """An ObjectFieldSelector reads v1 unless it says otherwise."""
    if reference is not None:
        _default_empty(reference, "apiVersion", "v1")


def default_divisor(reference: Object | None) -> None:
    """A ResourceFieldSelector always shows its divisor; 0 stands for 1."""
    if reference is not None:
        reference["divisor"] = canonical_quantity(str(reference.get("divisor") or "0"))


_PROBE_DEFAULTS = (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))


def _default_probe(probe: Object) -> None:
    for field, value in _PROBE_DEFAULTS:
        if not probe.get(field):
            probe[field] = value
    _default_http_get(probe.get("httpGet"))
    if probe.get("grpc") is not None:
        probe["grpc"]["service"] = probe["grpc"].get("service") or ""


def _default_http_get(action: Object | None) -> None:
    if action is not None:
        _default_empty(action, "path", "/")
        _default_empty(action, "scheme", "HTTP")


def _default_requests_from_limits(spec: Object) -> None:
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            resources = container["resources"]
            if resources.get("limits"):
                requests = resources.setdefault("requests", {})
                for key, value in resources["limits"].items():
                    requests.setdefault(key, value)


def _default_pod_level_requests(spec: Object) -> None:
    resources = spec["resources"]
    limits = resources.get("limits")
    if not limits:
        return
    requests = resources.get("requests") or {}
    for name, value in aggregate_container_amounts(spec, "requests").items():
        if (name in ("cpu", "memory") or is_huge_page(name)) and is_overcommit_allowed(name):
            requests.setdefault(name, value)
    for name, value in limits.items():
        requests.setdefault(name, value)
    if requests:
        resources["requests"] = requests


def aggregate_container_amounts(spec: Mapping[str, Any], field: str) -> dict[str, str]:
    """Effective `requests` or `limits` of all containers: the main ones and sidecars, or the largest init step."""
    totals: dict[str, str] = {}
    sidecars: dict[str, str] = {}
    largest_step: dict[str, str] = {}
    for container in spec.get("containers") or ():
        _add(totals, container["resources"].get(field))
    for container in spec.get("initContainers") or ():
        step = dict(sidecars)
        _add(step, container["resources"].get(field))
        if container.get("restartPolicy") == "Always":
            _add(sidecars, container["resources"].get(field))
            _add(totals, container["resources"].get(field))
        _raise_to(largest_step, step)
    _raise_to(totals, largest_step)
    return totals


def _add(totals: dict[str, str], requests: Object | None) -> None:
    for name, text in (requests or {}).items():
        totals[name] = str(quantity(totals[name]).plus(quantity(text))) if name in totals else text


def _raise_to(totals: dict[str, str], other: dict[str, str]) -> None:
    for name, text in other.items():
        if name not in totals or quantity(text).nanos > quantity(totals[name]).nanos:
            totals[name] = text


def _default_host_ports(spec: Object) -> None:
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort")
