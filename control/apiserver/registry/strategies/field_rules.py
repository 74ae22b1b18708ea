"""Rules of single fields that many kinds share: names, labels, selectors, ports, addresses, immutability.

Every rule yields upstream's causes (k8s.io/apimachinery/pkg/api/validation and k8s.io/apimachinery/pkg/util/validation)
in upstream's order; the first argument is always the field path of the value judged.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from control.api import addresses, names
from control.api.errors import FieldError

Errors: TypeAlias = Iterator[FieldError]

NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"
IMMUTABLE = "field is immutable"
INT32_MAX = 2**31 - 1
PROTOCOLS = ("SCTP", "TCP", "UDP")


def judged(path: str, value: Any, check: Callable[[str], Iterable[str]]) -> Errors:
    """One Invalid per message that `check` has for the value."""
    for message in check(value):
        yield FieldError.invalid(path, value, message)


def nonnegative(path: str, value: int | None) -> Errors:
    """Absent or >= 0."""
    if value is not None and value < 0:
        yield FieldError.invalid(path, value, NEGATIVE)


def in_range(path: str, value: int, low: int, high: int) -> Errors:
    """low <= value <= high, in upstream's words."""
    if not low <= value <= high:
        yield FieldError.invalid(path, value, f"must be between {low} and {high}, inclusive")


def one_of(path: str, value: Any, supported: Sequence[str]) -> Errors:
    """A member of an enumeration."""
    if value not in supported:
        yield FieldError.not_supported(path, value, supported)


def required_one_of(path: str, value: Any, supported: Sequence[str]) -> Errors:
    """A member of an enumeration; empty is Required."""
    if not value:
        yield FieldError.required(path)
    else:
        yield from one_of(path, value, supported)


def immutable(path: str, value: Any, old: Any) -> Errors:
    """The value of an update equals the old one; absent and empty are the same."""
    if value != old and not (is_empty(value) and is_empty(old)):
        yield FieldError.invalid(path, value, IMMUTABLE)


def is_empty(value: Any) -> bool:
    """Absent, or a list or map without members: upstream's semantic equality does not tell them apart."""
    return value is None or (isinstance(value, dict | list | str) and not value)


def dns_label(path: str, value: str) -> Errors:
    """A DNS-1123 label."""
    return judged(path, value, names.dns1123_label_errors)


def dns_subdomain(path: str, value: str) -> Errors:
    """A DNS-1123 subdomain."""
    return judged(path, value, names.dns1123_subdomain_errors)


def qualified_name(path: str, value: str) -> Errors:
    """`[prefix/]name`."""
    return judged(path, value, names.qualified_name_errors)


def label_values(path: str, labels: Mapping[str, str] | None) -> Errors:
    """Keys and values of a label map; every cause carries the map's own path."""
    for key, value in sorted((labels or {}).items()):
        yield from qualified_name(path, key)
        yield from judged(path, value, names.label_value_errors)


def annotation_keys(path: str, values: Mapping[str, str] | None) -> Errors:
    """Keys of an annotation map and its size in all."""
    for key in sorted(values or ()):
        yield from judged(path, key, lambda text: names.qualified_name_errors(text.lower()))
    if values and names.annotations_size(values) > names.ANNOTATIONS_BYTES_MAX:
        yield FieldError.too_long(path, names.ANNOTATIONS_BYTES_MAX)


def label_selector(path: str, selector: Mapping[str, Any] | None) -> Errors:
    """A metav1.LabelSelector."""
    if selector is None:
        return
    yield from label_values(f"{path}.matchLabels", selector.get("matchLabels"))
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        yield from label_requirement(f"{path}.matchExpressions[{index}]", requirement)


SET_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def set_operator_values(path: str, operator: str, values: Sequence[str]) -> Errors:
    """A set needs values, existence has none."""
    if operator in ("In", "NotIn") and not values:
        yield FieldError.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in ("Exists", "DoesNotExist") and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield FieldError.forbidden(f"{path}.values", detail)


def label_requirement(path: str, requirement: Mapping[str, Any], *, allows_unknown: bool = False) -> Errors:
    """One expression of a label selector; newer clients may know operators that are unknown here."""
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator in SET_OPERATORS:
        yield from set_operator_values(path, operator, values)
    elif not allows_unknown:
        yield FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator")
    yield from qualified_name(f"{path}.key", requirement.get("key", ""))
    for index, value in enumerate(values):
        yield from judged(f"{path}.values[{index}]", value, names.label_value_errors)


def port_number(path: str, value: int) -> Errors:
    """1..65535."""
    return in_range(path, value, 1, 65535)


def port_or_name(path: str, value: int | str) -> Errors:
    """A port number or an IANA service name."""
    if isinstance(value, str):
        return judged(path, value, names.port_name_errors)
    return port_number(path, value)


def ip_address(path: str, value: str, known: Collection[str] = ()) -> Errors:
    """Any IP address; one the old object had already (`known`) may be of a form that is refused by now."""
    return iter(()) if value in known else judged(path, value, addresses.ip_errors)


def cidr(path: str, value: str, known: Collection[str] = ()) -> Errors:
    """Any CIDR; one the old object had already (`known`) may be of a form that is refused by now."""
    return iter(()) if value in known else judged(path, value, addresses.cidr_errors)


def non_special_ip(path: str, value: str) -> Errors:
    """An address that can be reached from another machine."""
    parsed = addresses.find_address(value)
    if parsed is None:
        yield FieldError.invalid(path, value, "must be a valid IP address")
        return
    if parsed.is_unspecified:
        yield FieldError.invalid(path, value, f"may not be unspecified ({value})")
    if parsed.is_loopback:
        yield FieldError.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if parsed.is_link_local:
        yield FieldError.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if _is_link_local_multicast(parsed):
        yield FieldError.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def _is_link_local_multicast(address: addresses.Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.ip_network("224.0.0.0/24")
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


def no_backsteps(path: str, value: str) -> Errors:
    """A path without `..` elements."""
    if ".." in value.split("/"):
        yield FieldError.invalid(path, value, "must not contain '..'")


def descending_path(path: str, value: str) -> Errors:
    """A relative path that stays below its root."""
    if value.startswith("/"):
        yield FieldError.invalid(path, value, "must be a relative path")
    yield from no_backsteps(path, value)


def local_path(path: str, value: str) -> Errors:
    """A descending path whose name does not begin with `..`, which the volume writer keeps for itself."""
    yield from descending_path(path, value)
    if value.startswith("..") and not value.startswith("../"):
        yield FieldError.invalid(path, value, "must not start with '..'")


def percent_or_count(path: str, value: int | str) -> Errors:
    """A count >= 0 or a percentage such as `25%`."""
    if isinstance(value, str):
        yield from judged(path, value, names.percent_errors)
    else:
        yield from nonnegative(path, value)


def is_percent(value: int | str) -> bool:
    """Whether the value is a text such as `25%`."""
    return isinstance(value, str) and value.endswith("%") and value[:-1].isascii() and value[:-1].isdigit()


def not_over_100_percent(path: str, value: int | str) -> Errors:
    """A percentage is at most 100 %."""
    if is_percent(value) and int(str(value)[:-1]) > 100:
        yield FieldError.invalid(path, value, "must not be greater than 100%")


def sorted_map(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """A map in key order, as Go prints one inside a message."""
    return dict(sorted((values or {}).items()))


def selector_form(selector: Mapping[str, Any] | None) -> dict[str, Any]:
    """A LabelSelector as Go prints it: its fields in order, its labels sorted."""
    shown: dict[str, Any] = {}
    if selector and selector.get("matchLabels"):
        shown["matchLabels"] = sorted_map(selector["matchLabels"])
    if selector and selector.get("matchExpressions"):
        shown["matchExpressions"] = selector["matchExpressions"]
    return shown
