"""Allocators: cluster IPs and node ports of Services."""

from __future__ import annotations

from control.apiserver.registry.allocators.cluster_ip import ClusterIpRange
from control.apiserver.registry.allocators.node_port import NodePortRange
from control.apiserver.registry.allocators.protocol import Allocator
from control.apiserver.registry.allocators.services import ServiceAllocator

__all__ = ["Allocator", "ClusterIpRange", "NodePortRange", "ServiceAllocator"]
