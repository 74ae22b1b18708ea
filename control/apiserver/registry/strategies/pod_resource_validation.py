"""Rules of resources given for a Pod as a whole (upstream: validatePodResources)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import Errors
from control.apiserver.registry.strategies.pod_defaults import aggregate_container_amounts
from control.apiserver.registry.strategies.resource_lists import (
    is_huge_page,
    pod_resource_name,
    quantity,
    requirements,
)

Spec = Mapping[str, Any]


def pod_level_resources(path: str, spec: Spec) -> Errors:
    """`spec.resources`: its amounts, and that the containers' fit into them."""
    resources = spec.get("resources")
    if resources is None:
        return
    if (spec.get("os") or {}).get("name") == "windows":
        yield FieldError.forbidden(path, "may not be set for a windows pod")
        return
    if resources.get("claims") is not None:
        yield FieldError.forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level")
    yield from requirements(path, resources, frozenset(), pod_resource_name)
    yield from _requests_cover_containers(path, spec, resources)
    yield from _huge_page_limits_cover_containers(path, spec, resources)
    yield from _limits_bound_containers(path, spec, resources)


def _requests_cover_containers(path: str, spec: Spec, resources: Spec) -> Errors:
    whole = resources.get("requests") or {}
    for name, text in sorted(aggregate_container_amounts(spec, "requests").items()):
        if name in whole and quantity(text).nanos > quantity(whole[name]).nanos:
            detail = f"must be greater than or equal to aggregate container requests of {quantity(text)}"
            yield FieldError.invalid(f"{path}.requests[{name}]", str(quantity(whole[name])), detail)


def _huge_page_limits_cover_containers(path: str, spec: Spec, resources: Spec) -> Errors:
    whole = resources.get("limits") or {}
    for name, text in sorted(aggregate_container_amounts(spec, "limits").items()):
        if is_huge_page(name) and name in whole and quantity(text).nanos > quantity(whole[name]).nanos:
            detail = f"must be greater than or equal to aggregate container limits of {quantity(text)}"
            yield FieldError.invalid(f"{path}.limits[{name}]", str(quantity(whole[name])), detail)


def _limits_bound_containers(path: str, spec: Spec, resources: Spec) -> Errors:
    whole = resources.get("limits") or {}
    for index, container in enumerate(spec.get("containers") or ()):
        for name, text in sorted(((container.get("resources") or {}).get("limits") or {}).items()):
            if name in whole and quantity(text).nanos > quantity(whole[name]).nanos:
                detail = f"must be less than or equal to pod limits of {quantity(whole[name])}"
                yield FieldError.invalid(f"{path}.containers[{index}][{name}].limits", str(quantity(text)), detail)
