"""The few rtnetlink requests that wiring Pods takes. Synchronous; a socket belongs to the network namespace it was
opened in, whichever namespace its thread enters later.

Written against the kernel's ABI (linux/rtnetlink.h, if_link.h) because a Pod is wired in milliseconds and the netlink
library of this field takes 250 ms and 20 MB to import.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from agent.network.netlink_socket import CREATE, EXCLUSIVE, NESTED, REPLACE, NetlinkSocket, attribute, attributes

_NEW_LINK, _DELETE_LINK, _GET_LINK = 16, 17, 18
_NEW_ADDRESS, _NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE, _NEW_NEIGHBOUR = 20, 24, 25, 26, 28
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MTU, _IFLA_INFO, _IFLA_NAMESPACE_FD = 1, 3, 4, 18, 28
_IFLA_SEND_QUEUES, _IFLA_RECEIVE_QUEUES = 31, 32
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DESTINATION, _RTA_LINK, _RTA_GATEWAY, _RTA_SOURCE, _RTA_TABLE = 1, 4, 5, 7, 15
_NDA_ADDRESS, _NDA_LINK_ADDRESS = 1, 2
_IFF_UP, _PERMANENT = 0x1, 0x80
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _SCOPE_LINK, _TYPE_UNICAST = 254, 4, 0, 253, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface."""

    index: int
    name: str
    mtu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of the main table; `link_index` 0 where it has several next hops."""

    destination: IPv4Network
    link_index: int


class Netlink(NetlinkSocket):
    """One rtnetlink socket."""

    def __init__(self) -> None:
        """Opens in the calling thread's network namespace."""
        super().__init__(socket.NETLINK_ROUTE)

    # --- links --------------------------------------------------------------------------------------------------------

    def create_veth(
        self, name: str, peer_name: str, *, peer_namespace_fd: int, mtu: int, address: str, peer_address: str
    ) -> None:
        """Create a pair, the peer in another network namespace, in one request. The peer cannot be born up.

        With one queue each: the kernel would make one for every CPU, each with objects in sysfs, and uses no more than
        one unless XDP or GRO is turned on.
        """
        queues = _number(_IFLA_SEND_QUEUES, 1) + _number(_IFLA_RECEIVE_QUEUES, 1)
        peer = _link_message(up=False) + _text(_IFLA_NAME, peer_name) + _number(_IFLA_MTU, mtu) + queues
        peer += attribute(_IFLA_ADDRESS, _hardware(peer_address)) + _number(_IFLA_NAMESPACE_FD, peer_namespace_fd)
        info = _text(_INFO_KIND, "veth") + attribute(_INFO_DATA | NESTED, attribute(_VETH_PEER | NESTED, peer))
        content = _link_message() + _text(_IFLA_NAME, name) + _number(_IFLA_MTU, mtu) + queues
        content += attribute(_IFLA_ADDRESS, _hardware(address)) + attribute(_IFLA_INFO | NESTED, info)
        self.ask(_NEW_LINK, CREATE | EXCLUSIVE, content)

    def create_bridge(self, name: str) -> None:
        """Create an empty bridge, up; nothing if it exists."""
        info = attribute(_IFLA_INFO | NESTED, _text(_INFO_KIND, "bridge"))
        try:
            self.ask(_NEW_LINK, CREATE | EXCLUSIVE, _link_message() + _text(_IFLA_NAME, name) + info)
        except FileExistsError:
            return

    def set_up(self, name: str) -> None:
        """Raise a link."""
        self.ask(_NEW_LINK, 0, _link_message() + _text(_IFLA_NAME, name))

    def delete_link(self, name: str) -> bool:
        """Delete a link, and the peer of a veth; False if there is none of that name."""
        try:
            self.ask(_DELETE_LINK, 0, _link_message(up=False) + _text(_IFLA_NAME, name))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
        return True

    def list_links(self) -> list[Link]:
        """All links of the namespace."""
        links = []
        for content in self.dump(_GET_LINK, _link_message(up=False)):
            index = struct.unpack_from("=i", content, 4)[0]
            found = dict(attributes(content[16:]))
            name = found[_IFLA_NAME].rstrip(b"\0").decode()
            mtu = int.from_bytes(found.get(_IFLA_MTU, b"\0"), "little")
            links.append(Link(index=index, name=name, mtu=mtu))
        return links

    # --- addresses, routes, neighbours --------------------------------------------------------------------------------

    def add_address(self, link_index: int, address: str) -> None:
        """Add an IPv4 address as /32; nothing if the link has it."""
        packed = IPv4Address(address).packed
        content = struct.pack("=BBBBi", socket.AF_INET, 32, _PERMANENT, _SCOPE_UNIVERSE, link_index)
        content += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
        self.ask(_NEW_ADDRESS, CREATE | REPLACE, content)

    def replace_route(self, destination: str, link_index: int, *, gateway: str = "", source: str = "") -> None:
        """Set the main table's route to a network; without a gateway it is on-link."""
        network = IPv4Network(destination)
        scope = _SCOPE_UNIVERSE if gateway else _SCOPE_LINK
        content = struct.pack(
            "=BBBBBBBBI",
            socket.AF_INET, network.prefixlen, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, scope, _TYPE_UNICAST, 0,
        )  # fmt: skip
        if network.prefixlen:
            content += attribute(_RTA_DESTINATION, network.network_address.packed)
        content += _number(_RTA_LINK, link_index)
        if gateway:
            content += attribute(_RTA_GATEWAY, IPv4Address(gateway).packed)
        if source:
            content += attribute(_RTA_SOURCE, IPv4Address(source).packed)
        self.ask(_NEW_ROUTE, CREATE | REPLACE, content)

    def list_routes(self) -> list[Route]:
        """The IPv4 routes of the main table, the default route too."""
        routes = []
        for content in self.dump(_GET_ROUTE, struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
            length, table = content[1], content[4]
            found = dict(attributes(content[12:]))
            table = int.from_bytes(found.get(_RTA_TABLE, bytes([table])), "little")
            if table != _TABLE_MAIN:
                continue
            packed = found.get(_RTA_DESTINATION, b"\0\0\0\0")
            link_index = int.from_bytes(found.get(_RTA_LINK, b"\0"), "little")
            routes.append(Route(destination=IPv4Network((packed, length)), link_index=link_index))
        return routes

    def add_neighbour(self, link_index: int, address: str, hardware_address: str) -> None:
        """Make a neighbour permanently known, so that nobody asks by ARP."""
        content = struct.pack("=BxxxiHBB", socket.AF_INET, link_index, _PERMANENT, 0, _TYPE_UNICAST)
        content += attribute(_NDA_ADDRESS, IPv4Address(address).packed)
        content += attribute(_NDA_LINK_ADDRESS, _hardware(hardware_address))
        self.ask(_NEW_NEIGHBOUR, CREATE | REPLACE, content)


def _link_message(*, up: bool = True) -> bytes:
    flags = _IFF_UP if up else 0
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, flags, flags)


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return attribute(kind, struct.pack("=I", number))


def _hardware(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))
