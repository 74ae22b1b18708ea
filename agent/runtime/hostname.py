"""A Pod's hostname, and the domain it is in. Pure; used for pause's create body and for /etc/hosts."""

from __future__ import annotations

from control.api.objects import ReadOnlyObject

HOSTNAME_LENGTH_MAX = 63
KERNEL_HOSTNAME_LENGTH_MAX = 64


class HostnameError(Exception):
    """The kernel cannot hold the hostname that the Pod asks for; the message is the kubelet's."""


def pod_hostname(pod: ReadOnlyObject) -> str:
    """The Pod's hostname: what the spec says, else its name; cut to 63 characters, the kernel's and DNS' limit."""
    spec = pod["spec"]
    hostname = str(spec.get("hostnameOverride") or spec.get("hostname") or pod["metadata"]["name"])
    return hostname[:HOSTNAME_LENGTH_MAX].rstrip("-.")


def pod_domain(pod: ReadOnlyObject, cluster_domain: str) -> str:
    """The domain that a subdomain puts the Pod in, or empty. An overridden hostname stands for itself."""
    spec = pod["spec"]
    if not spec.get("subdomain") or spec.get("hostnameOverride"):
        return ""
    return f"{spec['subdomain']}.{pod['metadata'].get('namespace', 'default')}.svc.{cluster_domain}"


def kernel_hostname(pod: ReadOnlyObject, cluster_domain: str) -> str:
    """What `hostname` says inside: the hostname, or with `setHostnameAsFQDN` the whole name. Raises HostnameError."""
    hostname, domain = pod_hostname(pod), pod_domain(pod, cluster_domain)
    if not domain or not pod["spec"].get("setHostnameAsFQDN"):
        return hostname
    full_name = f"{hostname}.{domain}"
    if len(full_name) > KERNEL_HOSTNAME_LENGTH_MAX:
        raise HostnameError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full_name} is too long "
            f"({KERNEL_HOSTNAME_LENGTH_MAX} characters is the max, {len(full_name)} characters requested)"
        )
    return full_name
