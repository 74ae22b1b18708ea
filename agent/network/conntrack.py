"""Makes the kernel's connection tracking forget the UDP flows to a port of the host.

Written against linux/netfilter/nfnetlink_conntrack.h, with the message format of `netlink_socket.py`.
"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address

from agent.network.netlink_socket import NESTED, NetlinkSocket, attribute, attributes

_NETFILTER = 12
_GET, _DELETE = 0x0101, 0x0102  # subsystem conntrack, IPCTNL_MSG_CT_GET and _DELETE
_TUPLE_ORIGINAL, _TUPLE_IP, _TUPLE_PROTOCOL = 1, 1, 2
_IP_DESTINATION = 2
_PROTOCOL_NUMBER, _DESTINATION_PORT = 1, 3
_HEADER = struct.pack("=BBH", socket.AF_INET, 0, 0)


def forget_flows(address: str, port: int) -> int:
    """Delete every UDP flow that was sent to this address and port; returns how many. Raises OSError."""
    wanted = (IPv4Address(address).packed, socket.IPPROTO_UDP, port)
    deleted = 0
    with NetlinkSocket(_NETFILTER) as netlink:
        flows = [dict(attributes(content[4:])) for content in netlink.dump(_GET, _HEADER)]
        for original in (flow[_TUPLE_ORIGINAL] for flow in flows if _TUPLE_ORIGINAL in flow):
            if _destination(original) != wanted:
                continue
            try:
                netlink.ask(_DELETE, 0, _HEADER + attribute(_TUPLE_ORIGINAL | NESTED, original))
                deleted += 1
            except OSError as error:
                if error.errno != errno.ENOENT:  # it has timed out meanwhile
                    raise
    return deleted


def _destination(original: bytes) -> tuple[bytes, int, int]:
    """(packed address, protocol, port) that the first packet of the flow was sent to."""
    parts = dict(attributes(original))
    ip, protocol = (dict(attributes(parts.get(kind, b""))) for kind in (_TUPLE_IP, _TUPLE_PROTOCOL))
    number = protocol.get(_PROTOCOL_NUMBER, b"\0")[0]
    return ip.get(_IP_DESTINATION, b""), number, int.from_bytes(protocol.get(_DESTINATION_PORT, b"\0\0"), "big")
