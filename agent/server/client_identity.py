"""Who a client certificate stands for, and which of them need no question to the API server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from control.api.exchange import User

API_SERVER_CLIENT_NAME = "kube-apiserver-kubelet-client"
MASTERS_GROUP = "system:masters"
AUTHENTICATED_GROUP = "system:authenticated"


def certificate_user(certificate: Mapping[str, Any] | None) -> User | None:
    """The user of a verified peer certificate as `ssl` decodes it; None where it names nobody, or there is none."""
    subject = list(_attributes((certificate or {}).get("subject") or ()))
    names = [value for name, value in subject if name == "commonName"]
    groups = [value for name, value in subject if name == "organizationName"]
    if not names or not names[0]:
        return None
    return User(name=names[0], groups=(*groups, AUTHENTICATED_GROUP))


def may_do_anything(user: User) -> bool:
    """Whether the owner of a certificate is the API server, which has authorized already, or an administrator."""
    return user.name == API_SERVER_CLIENT_NAME or MASTERS_GROUP in user.groups


def _attributes(subject: Iterable[Iterable[tuple[str, str]]]) -> Iterable[tuple[str, str]]:
    for relative_name in subject:
        yield from relative_name
