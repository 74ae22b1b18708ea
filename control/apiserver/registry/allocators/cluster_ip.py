"""Cluster IPs: one address of the Service range per Service (upstream: pkg/registry/core/service/ipallocator).

The range is split: addresses that nobody asked for by name come from its upper part, so that the lower one stays
free for those that somebody will (10.96.0.10 for DNS).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Protocol

from control.api.addresses import Network, find_address

_OFFSET_MIN = 16
_OFFSET_MAX = 256
_RANDOM_ATTEMPTS = 64


class RandomRange(Protocol):
    """The part of random.Random that picks addresses and ports."""

    def randrange(self, start: int, stop: int, /) -> int:
        """Return start <= n < stop."""
        ...


class AllocationError(Exception):
    """Why an address or port cannot be had, in upstream's words."""


class ClusterIpRange:
    """The addresses of one Service range and which are taken. The first and (IPv4) last address are never given.

    `is_reserved` tells of addresses that an IPAddress object holds for something else than a Service.
    """

    def __init__(self, cidr: str, random: RandomRange, *, is_reserved: Callable[[str], bool] | None = None) -> None:
        self.network: Network = ipaddress.ip_network(cidr)
        self._random = random
        self._is_reserved = is_reserved or (lambda address: False)
        self._base = int(self.network.network_address)
        reserved = 2 if self.network.version == 4 else 1
        self._size = max(min(self.network.num_addresses, 1 << 20) - reserved, 1)
        step = self._size // 16
        self._offset = 0 if step < _OFFSET_MIN else min(step, _OFFSET_MAX)
        self._taken: set[int] = set()

    @property
    def family(self) -> str:
        """`IPv4` or `IPv6`."""
        return f"IPv{self.network.version}"

    def take(self, text: str) -> None:
        """Reserve an address that was asked for. Raises AllocationError."""
        address = find_address(text)
        if address is None or address.version != self.network.version or address not in self.network:
            raise AllocationError("the provided network does not match the current range")
        number = int(address) - self._base
        if not 1 <= number <= self._size:
            raise AllocationError("the provided network does not match the current range")
        if not self._is_free(number):
            raise AllocationError("provided IP is already allocated")
        self._taken.add(number)

    def take_any(self) -> str:
        """Reserve a free address, of the upper part while it has one. Raises AllocationError."""
        number = self._find_free(self._offset + 1, self._size + 1) or self._find_free(1, self._offset + 1)
        if number is None:
            raise AllocationError("range is full")
        self._taken.add(number)
        return self._text(number)

    def _find_free(self, start: int, stop: int) -> int | None:
        if start >= stop:
            return None
        for _ in range(_RANDOM_ATTEMPTS):
            number = self._random.randrange(start, stop)
            if self._is_free(number):
                return number
        return next((number for number in range(start, stop) if self._is_free(number)), None)

    def _is_free(self, number: int) -> bool:
        return number not in self._taken and not self._is_reserved(self._text(number))

    def _text(self, number: int) -> str:
        return str(ipaddress.ip_address(self._base + number))

    def give_back(self, text: str) -> None:
        """Free an address; one that is not ours is ignored."""
        address = find_address(text)
        if address is not None and address.version == self.network.version:
            self._taken.discard(int(address) - self._base)

    def clear(self) -> None:
        """Free everything."""
        self._taken.clear()
