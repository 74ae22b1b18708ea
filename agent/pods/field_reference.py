"""The downward API: a Pod's own fields and a container's resources as text. Pure; used for environment variables.

Upstream: pkg/fieldpath and ExtractContainerResourceValue (pkg/api/v1/resource), v1.36.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from agent.pods.pod_spec import find_container
from agent.runtime.resource_settings import effective_limit
from control.api.objects import ReadOnlyObject
from control.api.quantity import cpu_millis, quantity_value

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


class FieldReferenceError(Exception):
    """The field does not exist or is not offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a limit defaults to when the container has none: the node's allocatable resources."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    ephemeral_storage_bytes: int = 0

    @classmethod
    def of(cls, node: ReadOnlyObject | None) -> NodeFacts:
        """The facts of a Node as it was registered."""
        allocatable = ((node or {}).get("status") or {}).get("allocatable") or {}
        return cls(
            cpu_millis=cpu_millis(allocatable.get("cpu", "0")),
            memory_bytes=quantity_value(allocatable.get("memory", "0")),
            ephemeral_storage_bytes=quantity_value(allocatable.get("ephemeral-storage", "0")),
        )


def resolve_field(pod: ReadOnlyObject, path: str, *, pod_ip: str, host_ip: str) -> str:
    """The text of a `fieldRef`. Raises FieldReferenceError."""
    metadata, spec = pod["metadata"], pod["spec"]
    match = _SUBSCRIPT.match(path)
    if match:
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    values: dict[str, Any] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", "default"),
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.host": spec.get("nodeName", ""),  # an old name of it, which the API still takes
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
    }
    if path not in values:
        raise FieldReferenceError(f"unsupported fieldPath: {path}")
    return str(values[path])


def resolve_resource(
    pod: ReadOnlyObject, container: ReadOnlyObject, reference: Mapping[str, Any], node: NodeFacts
) -> str:
    """The text of a `resourceFieldRef`, rounded up to the divisor. Raises FieldReferenceError.

    A limit that the container lacks is its Pod's, or else as much as the node has.
    """
    name = reference.get("containerName")
    if name and name != container["name"]:
        container = find_container(pod, name) or {}
        if not container:
            raise FieldReferenceError(f"container {name} not found")
    section, _, resource = str(reference["resource"]).partition(".")
    resources = container.get("resources") or {}
    text = (resources.get(section) or {}).get(resource)
    if section == "limits" and resource in ("cpu", "memory"):
        text = effective_limit(pod, container, resource)
    divisor = str(reference.get("divisor") or "0")
    if resource == "cpu":
        millis = cpu_millis(text) if text else (node.cpu_millis if section == "limits" else 0)
        unit = 1000 if divisor in ("0", "") else cpu_millis(divisor)
        return str(-(-millis // unit))
    defaults = {"memory": node.memory_bytes, "ephemeral-storage": node.ephemeral_storage_bytes}
    if resource not in defaults and not resource.startswith("hugepages-"):
        raise FieldReferenceError(f"unsupported container resource : {reference['resource']}")
    value = quantity_value(text) if text else (defaults.get(resource, 0) if section == "limits" else 0)
    unit = 1 if divisor in ("0", "") else quantity_value(divisor)
    return str(-(-Fraction(value) // unit))
