"""`ServiceAllocator`: addresses, IP families and ports of Services (upstream: service/storage/alloc.go).

The cluster has one IP family. What a Service holds is read from its spec, so the reservations can always be rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from control.api.addresses import find_address
from control.api.errors import ApiError, FieldError, internal_error, invalid
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.registry.allocators.cluster_ip import AllocationError, ClusterIpRange, RandomRange
from control.apiserver.registry.allocators.node_port import NodePortRange
from control.apiserver.registry.strategies.service_validation import cluster_ip_fields

Spec = Mapping[str, Any]

_WITH_CLUSTER_IP = ("ClusterIP", "NodePort", "LoadBalancer")
_FAMILIES = ("IPv4", "IPv6")


class ServiceAllocator:
    """Allocates for Services; see `protocol.Allocator`."""

    def __init__(
        self,
        service_cidr: str,
        random: RandomRange,
        *,
        node_ports: NodePortRange | None = None,
        is_reserved: Callable[[str], bool] | None = None,
    ) -> None:
        self._addresses = ClusterIpRange(service_cidr, random, is_reserved=is_reserved)
        self._ports = node_ports or NodePortRange(random)

    def rebuild(self, objects: Iterable[ReadOnlyObject]) -> None:
        """Take over what the stored Services hold; an address held twice stays with the first."""
        self._addresses.clear()
        self._ports.clear()
        for service in objects:
            spec = service.get("spec") or {}
            for address in _held_addresses(spec):
                _try(self._addresses.take, address)
            for port in _held_ports(spec):
                _try(self._ports.take, port)

    def release(self, obj: ReadOnlyObject) -> None:
        """Give back what a deleted Service held."""
        spec = obj.get("spec") or {}
        for address in _held_addresses(spec):
            self._addresses.give_back(address)
        for port in _held_ports(spec):
            self._ports.give_back(port)

    def allocate(self, obj: Object, old: ReadOnlyObject | None) -> Callable[[], None]:
        """Fill families, addresses and ports of a Service."""
        spec, old_spec = obj.setdefault("spec", {}), (old or {}).get("spec") or {}
        if old is not None:
            _take_over_allocated(spec, old_spec)
        _match_lists(spec, old_spec if old is not None else None)
        transaction = _Transaction()
        try:
            self._fill_families(obj, spec)
            self._fill_addresses(obj, spec, old_spec, transaction)
            self._fill_node_ports(obj, spec, old_spec, transaction)
            self._fill_health_port(spec, old_spec, transaction)
        except ApiError:
            transaction.undo()
            raise
        for address in _held_addresses(old_spec) - _held_addresses(spec):
            transaction.drop(self._addresses, address)
        for port in _held_ports(old_spec) - _held_ports(spec):
            transaction.drop(self._ports, port)
        return transaction.undo

    def _fill_families(self, obj: Object, spec: Object) -> None:
        if spec.get("type") == "ExternalName":
            return
        broken = list(cluster_ip_fields(spec))
        if broken:
            raise _invalid(obj, broken)
        addresses, families = list(spec.get("clusterIPs") or ()), list(spec.get("ipFamilies") or ())
        policy = spec.get("ipFamilyPolicy")
        is_headless = addresses[:1] == ["None"]
        for address in () if is_headless else addresses[len(families) :]:
            families.append(_family(address))
        if is_headless and not spec.get("selector"):
            # Nothing is allocated and no endpoints are computed: any family may be meant.
            families = families or [self._addresses.family]
            policy = policy or "RequireDualStack"
            if policy != "SingleStack" and len(families) < 2:
                families.append(next(family for family in _FAMILIES if family not in families))
        else:
            policy = policy or ("RequireDualStack" if max(len(addresses), len(families)) == 2 else "SingleStack")
            broken = self._family_problems(policy, addresses, families)
            if broken:
                raise _invalid(obj, broken)
            families = families or [self._addresses.family]
        spec["ipFamilies"], spec["ipFamilyPolicy"] = families, policy

    def _family_problems(self, policy: str, addresses: list[str], families: list[str]) -> list[FieldError]:
        problems: list[FieldError] = []
        if policy == "SingleStack":
            for name, values in (("clusterIPs", addresses), ("ipFamilies", families)):
                if len(values) == 2:
                    detail = f"must be RequireDualStack or PreferDualStack when multiple {name} are specified"
                    problems.append(FieldError.invalid("spec.ipFamilyPolicy", policy, detail))
        if policy == "RequireDualStack":
            detail = "this cluster is not configured for dual-stack services"
            problems.append(FieldError.invalid("spec.ipFamilyPolicy", policy, detail))
        for index, family in enumerate(families):
            if family != self._addresses.family:
                detail = "not configured on this cluster"
                problems.append(FieldError.invalid(f"spec.ipFamilies[{index}]", family, detail))
        return problems

    def _fill_addresses(self, obj: Object, spec: Object, old: Spec, transaction: _Transaction) -> None:
        if spec.get("type") not in _WITH_CLUSTER_IP:
            return
        addresses = list(spec.get("clusterIPs") or ())
        if not addresses:
            try:
                addresses = [self._addresses.take_any()]
            except AllocationError as error:
                raise internal_error(f"failed to allocate a serviceIP: {error}") from None
            transaction.took(self._addresses, addresses[0])
        for address in _held_addresses({**spec, "clusterIPs": spec.get("clusterIPs") or ()}) - _held_addresses(old):
            try:
                self._addresses.take(address)
            except AllocationError as error:
                detail = f"failed to allocate IP {address}: {error}"
                raise _invalid(obj, [FieldError.invalid("spec.clusterIPs", addresses, detail)]) from None
            transaction.took(self._addresses, address)
        spec["clusterIP"], spec["clusterIPs"] = addresses[0], addresses

    def _fill_node_ports(self, obj: Object, spec: Object, old: Spec, transaction: _Transaction) -> None:
        if not _wants_node_ports(spec):
            return
        held = _held_ports(old)
        #: a number serves several protocols of the same port
        numbers: dict[int, int] = {}
        taken: dict[int, set[str]] = {}
        for index, port in enumerate(spec.get("ports") or ()):
            number, protocol = port.get("nodePort") or 0, port.get("protocol") or ""
            shared = numbers.get(port.get("port") or 0, 0)
            if not number and shared and protocol not in taken.get(shared, set()):
                number = port["nodePort"] = shared
            if number:
                if number not in held and number not in taken:
                    self._take_port(obj, f"spec.ports[{index}].nodePort", number, transaction)
            else:
                number = port["nodePort"] = self._take_any_port("failed to allocate a nodePort", transaction)
            numbers.setdefault(port.get("port") or 0, number)
            taken.setdefault(number, set()).add(protocol)

    def _take_port(self, obj: Object, path: str, number: int, transaction: _Transaction) -> None:
        try:
            self._ports.take(number)
        except AllocationError as error:
            raise _invalid(obj, [FieldError.invalid(path, number, str(error))]) from None
        transaction.took(self._ports, number)

    def _take_any_port(self, problem: str, transaction: _Transaction) -> int:
        try:
            number = self._ports.take_any()
        except AllocationError as error:
            raise internal_error(f"{problem}: {error}") from None
        transaction.took(self._ports, number)
        return number

    def _fill_health_port(self, spec: Object, old: Spec, transaction: _Transaction) -> None:
        if not _wants_health_port(spec):
            return
        number = spec.get("healthCheckNodePort") or 0
        if not number:
            spec["healthCheckNodePort"] = self._take_any_port("failed to allocate a HealthCheck NodePort", transaction)
        elif number not in _held_ports(old):
            try:
                self._ports.take(number)
            except AllocationError as error:
                problem = f"failed to allocate requested HealthCheck NodePort {number}"
                raise internal_error(f"{problem}: {error}") from None
            transaction.took(self._ports, number)


class _Transaction:
    """What one write took and dropped, to be turned back if it fails."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], None]] = []

    def took(self, pool: ClusterIpRange | NodePortRange, item: Any) -> None:
        self._steps.append(lambda: pool.give_back(item))

    def drop(self, pool: ClusterIpRange | NodePortRange, item: Any) -> None:
        pool.give_back(item)
        self._steps.append(lambda: _try(pool.take, item))

    def undo(self) -> None:
        while self._steps:
            self._steps.pop()()


def _try(take: Callable[[Any], None], item: Any) -> None:
    try:
        take(item)
    except AllocationError:
        return  # outside a changed range, or held already: nothing to reserve


def _invalid(obj: Object, causes: list[FieldError]) -> ApiError:
    return invalid("", "Service", obj["metadata"].get("name") or "", causes)


def _family(address: str) -> str:
    parsed = find_address(address)
    return f"IPv{parsed.version}" if parsed is not None else "IPv4"


def _held_addresses(spec: Spec) -> set[str]:
    if spec.get("type") not in _WITH_CLUSTER_IP:
        return set()
    return {address for address in spec.get("clusterIPs") or () if address and address != "None"}


def _held_ports(spec: Spec) -> set[int]:
    ports = set()
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        ports = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if _wants_health_port(spec) and spec.get("healthCheckNodePort"):
        ports.add(spec["healthCheckNodePort"])
    return ports


def _wants_node_ports(spec: Spec) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)


def _wants_health_port(spec: Spec) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _take_over_allocated(spec: Object, old: Spec) -> None:
    """A client that leaves allocated values out of an update keeps them."""
    if spec.get("type") in _WITH_CLUSTER_IP and old.get("type") in _WITH_CLUSTER_IP:
        if not spec.get("clusterIP") and old.get("clusterIP"):
            spec["clusterIP"] = old["clusterIP"]
        if not spec.get("clusterIPs") and spec.get("clusterIP") == old.get("clusterIP") and old.get("clusterIPs"):
            spec["clusterIPs"] = list(old["clusterIPs"])
    if _wants_node_ports(spec) and _wants_node_ports(old):
        used = _held_ports(old) & _held_ports(spec)
        by_name = {port.get("name") or "": port.get("nodePort") or 0 for port in old.get("ports") or ()}
        for port in spec.get("ports") or ():
            previous = by_name.get(port.get("name") or "", 0)
            if not port.get("nodePort") and previous and previous not in used:
                port["nodePort"] = previous
                used.add(previous)
    if _wants_health_port(spec) and _wants_health_port(old) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old.get("healthCheckNodePort") or 0


def _match_lists(spec: Object, old: Spec | None) -> None:
    """clusterIPs follows clusterIP where a client changed only that one, as clients of one family do."""
    address, addresses = spec.get("clusterIP") or "", list(spec.get("clusterIPs") or ())
    if old is None:
        if address and not addresses:
            spec["clusterIPs"] = [address]
        return
    if address != (old.get("clusterIP") or "") and addresses == list(old.get("clusterIPs") or ()):
        if address:
            spec["clusterIPs"] = [address]
        else:
            spec.pop("clusterIPs", None)
