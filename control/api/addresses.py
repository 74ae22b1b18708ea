"""IP addresses and networks as the API judges them, with upstream's message texts."""

from __future__ import annotations

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV4_SLOPPY = re.compile(r"[0-9]{1,}(\.[0-9]{1,}){3}\Z", re.ASCII)


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
    """Judge an IPv4 or IPv6 address."""
    if find_address(text) is None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def ipv4_errors(text: str) -> list[str]:
    """Judge an IPv4 address."""
    address = find_address(text)
    return [] if address is not None and address.version == 4 else ["must be a valid IPv4 address"]


def ipv6_errors(text: str) -> list[str]:
    """Judge an IPv6 address."""
    address = find_address(text)
    return [] if address is not None and address.version == 6 else ["must be a valid IPv6 address"]


def cidr_errors(text: str) -> list[str]:
    """Judge a network in CIDR notation."""
    if find_network(text) is None:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    return []
