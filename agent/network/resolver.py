"""What a Pod's /etc/resolv.conf and /etc/hosts say. Pure; the rules are the kubelet's (pkg/kubelet/network/dns)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from control.api.objects import ReadOnlyObject

NAME_SERVERS_MAX = 3
SEARCH_DOMAINS_MAX = 32
SEARCH_LENGTH_MAX = 2048
SEARCH_DOMAIN_LENGTH_MAX = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """A resolver configuration; options keep their order, `name` or `name:value`."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDns:
    """The cluster's DNS; without an address there is none yet."""

    domain: str = "cluster.local"
    addresses: tuple[str, ...] = field(default_factory=tuple)


def parse_resolver(text: str) -> Resolver:
    """Read a resolv.conf; as in the C library the last `search` or `domain` counts. `a.b.` is the domain `a.b`."""
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            nameservers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = [domain if domain == "." else domain.removesuffix(".") for domain in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return Resolver(nameservers=tuple(nameservers), searches=tuple(searches), options=tuple(options))


def format_resolver(resolver: Resolver) -> str:
    """Text of a resolv.conf."""
    lines = []
    if resolver.searches:
        lines.append(" ".join(("search", *resolver.searches)))
    lines += [f"nameserver {address}" for address in resolver.nameservers]
    if resolver.options:
        lines.append(" ".join(("options", *resolver.options)))
    return "".join(f"{line}\n" for line in lines)


def reachable_from_pods(resolver: Resolver) -> Resolver:
    """Without the name servers that only the host itself can reach (127.0.0.53 of systemd-resolved and the like)."""
    kept = tuple(address for address in resolver.nameservers if not _is_loopback(address))
    return Resolver(nameservers=kept, searches=resolver.searches, options=resolver.options)


def compute_resolver(pod: ReadOnlyObject, host: Resolver, cluster: ClusterDns) -> Resolver:
    """The Pod's resolver by its dnsPolicy and dnsConfig. `host` as it is on the host."""
    return _limited(_wanted_resolver(pod, host, cluster))


def resolver_warnings(pod: ReadOnlyObject, host: Resolver, cluster: ClusterDns) -> list[str]:
    """What of the Pod's wishes goes beyond the limits of the C library, in the kubelet's words."""
    wanted = _wanted_resolver(pod, host, cluster)
    applied = _limited(wanted)
    warnings = []
    if applied.nameservers != wanted.nameservers:
        warnings.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, "
            f"the applied nameserver line is: {' '.join(applied.nameservers)}"
        )
    if applied.searches != wanted.searches:
        warnings.append(
            "Search Line limits were exceeded, some search paths have been omitted, "
            f"the applied search line is: {' '.join(applied.searches)}"
        )
    return warnings


def _wanted_resolver(pod: ReadOnlyObject, host: Resolver, cluster: ClusterDns) -> Resolver:
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    host_network = bool(spec.get("hostNetwork"))
    if not host_network:
        host = reachable_from_pods(host)
    if policy == "ClusterFirst" and host_network:
        policy = "Default"
    if policy == "None":
        base = Resolver()
    elif policy in ("ClusterFirst", "ClusterFirstWithHostNet"):
        base = _cluster_first(pod["metadata"].get("namespace", "default"), host, cluster)
    else:
        base = host
    return _with_config(base, spec.get("dnsConfig") or {})


def _cluster_first(namespace: str, host: Resolver, cluster: ClusterDns) -> Resolver:
    """Without a cluster DNS the host's servers are asked, and names with a dot as they stand first (no ndots)."""
    domains = (f"{namespace}.svc.{cluster.domain}", f"svc.{cluster.domain}", cluster.domain)
    searches = _unique((*domains, *host.searches))
    if cluster.addresses:
        return Resolver(nameservers=cluster.addresses, searches=searches, options=("ndots:5",))
    return Resolver(nameservers=host.nameservers, searches=searches, options=host.options)


def _with_config(base: Resolver, config: ReadOnlyObject) -> Resolver:
    options = {option.partition(":")[0]: option for option in base.options}
    for option in config.get("options") or ():
        name, value = option["name"], option.get("value")
        options[name] = f"{name}:{value}" if value else name
    return Resolver(
        nameservers=_unique((*base.nameservers, *(config.get("nameservers") or ()))),
        searches=_unique((*base.searches, *(config.get("searches") or ()))),
        options=tuple(options.values()),
    )


def _limited(resolver: Resolver) -> Resolver:
    """What the C library would ignore is left out, as the kubelet does."""
    searches: list[str] = []
    length = 0
    # Some C libraries end a program that they find a longer domain for.
    fitting = [domain for domain in resolver.searches[:SEARCH_DOMAINS_MAX] if len(domain) <= SEARCH_DOMAIN_LENGTH_MAX]
    for domain in fitting:
        length += len(domain) + 1
        if length - 1 > SEARCH_LENGTH_MAX:
            break
        searches.append(domain)
    return Resolver(
        nameservers=resolver.nameservers[:NAME_SERVERS_MAX], searches=tuple(searches), options=resolver.options
    )


def format_hosts(pod: ReadOnlyObject, *, pod_ips: Sequence[str], hostname: str, domain: str) -> str:
    """Text of the Pod's /etc/hosts; `domain` is that of its subdomain, or empty."""
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
    ]
    names = f"{hostname}.{domain}\t{hostname}" if domain else hostname
    lines += [f"{address}\t{names}" for address in pod_ips]
    return "".join(f"{line}\n" for line in lines) + _format_aliases(pod)


def format_host_network_hosts(pod: ReadOnlyObject, host_text: str) -> str:
    """Text of the /etc/hosts of a Pod in the host's network: the host's own, and the Pod's aliases."""
    return "# Kubernetes-managed hosts file (host network).\n" + host_text + _format_aliases(pod)


def _format_aliases(pod: ReadOnlyObject) -> str:
    aliases = pod["spec"].get("hostAliases") or ()
    if not aliases:
        return ""
    lines = "".join("\t".join((alias["ip"], *(alias.get("hostnames") or ()))) + "\n" for alias in aliases)
    return "\n# Entries added by HostAliases.\n" + lines


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
