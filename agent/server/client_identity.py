"""Who may use the node API: the API server by its client certificate, and administrators; nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

API_SERVER_CLIENT_NAME = "kube-apiserver-kubelet-client"
MASTERS_GROUP = "system:masters"


def is_allowed(certificate: Mapping[str, Any] | None) -> bool:
    """Judge a verified peer certificate as `ssl` decodes it; None is a client without one."""
    if not certificate:
        return False
    subject = list(_attributes(certificate.get("subject") or ()))
    names = [value for name, value in subject if name == "commonName"]
    groups = [value for name, value in subject if name == "organizationName"]
    return API_SERVER_CLIENT_NAME in names or MASTERS_GROUP in groups


def _attributes(subject: Iterable[Iterable[tuple[str, str]]]) -> Iterable[tuple[str, str]]:
    for relative_name in subject:
        yield from relative_name
