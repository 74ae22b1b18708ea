"""Resource lists (`limits`, `requests`, `capacity`, ...): defaults and rules that every kind with one shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.names import qualified_name_errors
from control.api.objects import Object
from control.api.quantity import Quantity, parse_quantity
from control.apiserver.registry.strategies.field_rules import NEGATIVE, NOT_POSITIVE, Errors, dns_label, judged

STANDARD_CONTAINER_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
OBJECT_COUNT_QUOTA = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
STANDARD_QUOTA_RESOURCES = OBJECT_COUNT_QUOTA | {
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
}
STANDARD_RESOURCES = STANDARD_QUOTA_RESOURCES | {"storage"}
POD_LEVEL_RESOURCES = ("cpu", "memory")


def default_resource_list(values: Object | None) -> None:
    """Write every quantity in its canonical form, rounded up to thousandths."""
    if not values:
        return
    for name, text in values.items():
        values[name] = str(quantity(text).rounded_to_milli())


def default_requirements(requirements: Object | None) -> None:
    """Canonical limits and requests of a ResourceRequirements."""
    if requirements:
        default_resource_list(requirements.get("limits"))
        default_resource_list(requirements.get("requests"))


def quantity(text: Any) -> Quantity:
    """Parse a quantity of a decoded object (an unquoted number is one too)."""
    return parse_quantity(str(text))


def is_huge_page(name: str) -> bool:
    """`hugepages-<size>`."""
    return name.startswith("hugepages-")


def is_native(name: str) -> bool:
    """An unprefixed name or one of kubernetes.io."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A resource that a device plugin or an administrator advertises."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not qualified_name_errors(f"requests.{name}")


def is_overcommit_allowed(name: str) -> bool:
    """Whether a limit may exceed its request."""
    return is_native(name) and not is_huge_page(name)


def is_integer(name: str) -> bool:
    """Whether the resource counts whole things."""
    return name in OBJECT_COUNT_QUOTA or is_extended(name)


def resource_name(path: str, name: str) -> Errors:
    """A qualified name that is standard when it has no prefix."""
    broken = qualified_name_errors(name)
    if broken:
        yield from judged(path, name, qualified_name_errors)
    elif "/" not in name and not (name in STANDARD_RESOURCES or is_huge_page(name) or name.startswith("count/")):
        yield FieldError.invalid(path, name, "must be a standard resource type or fully qualified")


def container_resource_name(path: str, name: str) -> Errors:
    """A resource a container can ask for."""
    yield from resource_name(path, name)
    if "/" not in name:
        if name not in STANDARD_CONTAINER_RESOURCES and not is_huge_page(name):
            yield FieldError.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        yield FieldError.invalid(path, name, "doesn't follow extended resource name standard")


def pod_resource_name(path: str, name: str) -> Errors:
    """A resource that may be given for the Pod as a whole."""
    broken = list(resource_name(path, name))
    yield from broken
    if not broken and name not in POD_LEVEL_RESOURCES and not is_huge_page(name):
        yield FieldError.not_supported(path, name, POD_LEVEL_RESOURCES)


def quota_resource_name(path: str, name: str) -> Errors:
    """A resource a quota can bound."""
    yield from resource_name(path, name)
    if "/" not in name and not (
        name in STANDARD_QUOTA_RESOURCES or is_huge_page(name.removeprefix("requests.")) or name.startswith("count/")
    ):
        yield FieldError.invalid(path, name, "must be a standard resource for quota")


def nonnegative_quantity(path: str, text: Any) -> Errors:
    """A quantity >= 0."""
    if quantity(text).nanos < 0:
        yield FieldError.invalid(path, str(quantity(text)), NEGATIVE)


def positive_quantity(path: str, text: Any) -> Errors:
    """A quantity > 0."""
    if quantity(text).nanos <= 0:
        yield FieldError.invalid(path, str(quantity(text)), NOT_POSITIVE)


def resource_value(path: str, name: str, text: Any) -> Errors:
    """A quantity that suits its resource."""
    yield from nonnegative_quantity(path, text)
    if is_integer(name) and not quantity(text).is_whole:
        yield FieldError.invalid(path, str(quantity(text)), "must be an integer")


def _huge_page_multiple(path: str, name: str, text: Any) -> Errors:
    if not is_huge_page(name):
        return
    size = quantity(name.removeprefix("hugepages-")).nanos
    if size and quantity(text).nanos % size != 0:
        shown = str(quantity(text))
        yield FieldError.invalid(path, shown, f"{shown} is not positive integer multiple of {name}")


def requirements(
    path: str,
    value: Mapping[str, Any] | None,
    claim_names: frozenset[str],
    name_rule: Callable[[str, str], Errors] = container_resource_name,
) -> Errors:
    """A ResourceRequirements: names, quantities, requests within limits, claims of the Pod."""
    value = value or {}
    limits, requests = value.get("limits") or {}, value.get("requests") or {}
    for name, text in sorted(limits.items()):
        yield from name_rule(f"{path}.limits[{name}]", name)
        yield from resource_value(f"{path}.limits[{name}]", name, text)
        yield from _huge_page_multiple(f"{path}.limits[{name}]", name, text)
    for name, text in sorted(requests.items()):
        yield from name_rule(f"{path}.requests[{name}]", name)
        yield from resource_value(f"{path}.requests[{name}]", name, text)
        yield from _request_within_limit(path, name, text, limits.get(name))
        yield from _huge_page_multiple(f"{path}.requests[{name}]", name, text)
    asked = limits.keys() | requests.keys()
    if any(map(is_huge_page, asked)) and not asked & {"cpu", "memory"}:
        yield FieldError.forbidden(path, "HugePages require cpu or memory")
    yield from _claims(f"{path}.claims", value.get("claims") or (), claim_names)


def _request_within_limit(path: str, name: str, text: Any, limit: Any) -> Errors:
    if limit is None:
        if not is_overcommit_allowed(name):
            yield FieldError.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    asked, bound = quantity(text).nanos, quantity(limit).nanos
    shown, shown_limit = str(quantity(text)), str(quantity(limit))
    if asked != bound and not is_overcommit_allowed(name):
        yield FieldError.invalid(f"{path}.requests", shown, f"must be equal to {name} limit of {shown_limit}")
    elif asked > bound:
        detail = f"must be less than or equal to {name} limit of {shown_limit}"
        yield FieldError.invalid(f"{path}.requests", shown, detail)


def _claims(path: str, claims: Any, claim_names: frozenset[str]) -> Errors:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        name, request = claim.get("name", ""), claim.get("request", "")
        if not name:
            yield FieldError.required(f"{path}[{index}]")
            continue
        key = f"{name}/{request}" if request else name
        if name in seen:
            yield FieldError.duplicate(f"{path}[{index}]", name)
        else:
            if request:
                yield from dns_label(f"{path}[{index}].request", request)
            if key in seen or (not request and any(k.startswith(f"{name}/") for k in seen)):
                yield FieldError.duplicate(f"{path}[{index}]", key)
            seen.add(key)
        if name not in claim_names:
            known = ": " + ", ".join(sorted(claim_names)) if claim_names else " which is empty"
            detail = f"must be one of the names in pod.spec.resourceClaims{known}"
            yield FieldError.not_found(f"{path}[{index}]", name, detail)
