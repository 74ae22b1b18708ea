"""IP addresses and networks as the API judges them, with upstream's message texts."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Every status of a Pod names its host's address and its own, several times.
ADDRESSES_REMEMBERED = 1024
_IPV4_SLOPPY = re.compile(r"[0-9]{1,}(\.[0-9]{1,}){3}\Z", re.ASCII)


@lru_cache(maxsize=ADDRESSES_REMEMBERED)
def find_address(text: str) -> Address | None:
    """Read an address as Go's sloppy parser does: leading zeros of IPv4 count as decimal, zones are refused."""
    if "%" in text:
        return None
    if _IPV4_SLOPPY.match(text):
        text = ".".join(str(int(part)) if len(part) < 16 else part for part in text.split("."))
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_global_unicast(text: str) -> bool:
    """Whether this is an address of one host that others can reach, as Go's IsGlobalUnicast: private ones are."""
    address = find_address(text)
    if address is None or address == ipaddress.IPv4Address("255.255.255.255"):
        return False
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def find_network(text: str) -> Network | None:
    """Read `address/length`; bits beyond the prefix are cut off. None when it is no network."""
    head, slash, length = text.partition("/")
    address = find_address(head)
    if not slash or address is None or not length.isascii() or not length.isdigit() or len(length) > 3:
        return None
    bits = int(length)
    if ":" in head and address.version == 4:
        # A mapped address with a short prefix is a network of IPv6.
        address, bits = (address, bits - 96) if bits >= 96 else (ipaddress.IPv6Address(head), bits)
    if not 0 <= bits <= address.max_prefixlen:
        return None
    return ipaddress.ip_network(f"{address}/{bits}", strict=False)


def ip_errors(text: str) -> list[str]:
    """Judge an IPv4 or IPv6 address, strictly: no leading zeros, no IPv4 address in IPv6 notation."""
    if find_address(text) is None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    strict = _find_strict(text)
    if strict is None:
        return ["must not have leading 0s"]
    return ["must not be an IPv4-mapped IPv6 address"] if _is_mapped(strict) else []


def canonical_ip_errors(text: str) -> list[str]:
    """Judge an address that must also be written as it would be printed: names of IPAddress objects."""
    errors, address = ip_errors(text), find_address(text)
    if not errors and str(address) != text:
        errors.append(f'must be in canonical form ("{address}")')
    return errors


def ipv4_errors(text: str) -> list[str]:
    """Judge an IPv4 address."""
    address = find_address(text)
    return [] if address is not None and address.version == 4 else ["must be a valid IPv4 address"]


def ipv6_errors(text: str) -> list[str]:
    """Judge an IPv6 address."""
    address = find_address(text)
    return [] if address is not None and address.version == 6 else ["must be a valid IPv6 address"]


def cidr_errors(text: str) -> list[str]:
    """Judge a network in CIDR notation, strictly: no leading zeros, no bits beyond the prefix."""
    if find_network(text) is None:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    head, _, length = text.partition("/")
    strict = _find_strict(head)
    if strict is None or length != str(int(length)):
        return ["must not have leading 0s in IP or prefix length"]
    if _is_mapped(strict):
        return ["must not have an IPv4-mapped IPv6 address"]
    if ipaddress.ip_network(text, strict=False).network_address != strict:
        return ["must not have bits set beyond the prefix length"]
    return []


def canonical_cidr_errors(text: str) -> list[str]:
    """Judge a network that must also be written as it would be printed."""
    errors, network = cidr_errors(text), find_network(text)
    if not errors and str(network) != text:
        errors.append(f'must be in canonical form ("{network}")')
    return errors


@lru_cache(maxsize=ADDRESSES_REMEMBERED)
def _find_strict(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_mapped(address: Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None


def address_warnings(text: str) -> list[str]:
    """Doubts about an address that is valid: how it should be written. Empty for what is no address."""
    address, strict = find_address(text), _find_strict(text)
    if address is None:
        return []
    if strict is None or _is_mapped(strict):
        return [
            f'non-standard IP address "{text}" will be considered invalid in a future Kubernetes release: '
            f'use "{address}"'
        ]
    if strict.version == 6 and str(strict) != text:
        return [f'IPv6 address "{text}" should be in RFC 5952 canonical format ("{strict}")']
    return []


def network_warnings(text: str) -> list[str]:
    """Doubts about a network that is valid: bits beyond its prefix, how it should be written."""
    network, (head, _, length) = find_network(text), text.partition("/")
    if network is None:
        return []
    warnings, address, strict = [], find_address(head), _find_strict(head)
    if address is not None and address != network.network_address:
        single = f"{address}/{network.max_prefixlen}"
        warnings.append(f'CIDR value "{text}" is ambiguous in this context (should be "{network}" or "{single}"?)')
    if strict is None or _is_mapped(strict) or length != str(int(length)):
        warnings.append(
            f'non-standard CIDR value "{text}" will be considered invalid in a future Kubernetes release: '
            f'use "{network}"'
        )
    elif not warnings and strict.version == 6 and str(network) != text:
        warnings.append(f'IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")')
    return warnings
