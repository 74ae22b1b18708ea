"""What is asked of the authorizer, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from control.api.errors import ApiError, forbidden, format_value
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.objects import ReadOnlyObject
from control.api.records import record
from control.api.selectors import FieldRequirement

MASTERS_GROUP = "system:masters"
NODES_GROUP = "system:nodes"
AUTHENTICATED_GROUP = "system:authenticated"
UNAUTHENTICATED_GROUP = "system:unauthenticated"
SERVICE_ACCOUNTS_GROUP = "system:serviceaccounts"
ANONYMOUS_NAME = "system:anonymous"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
NODE_PREFIX = "system:node:"


@record(frozen=True, slots=True, kw_only=True)
class RequestAttributes:
    """One request as the authorizer sees it.

    A request for no resource has `path` and a lower-case method as `verb`. `name` is also set for a list or watch of
    one name. `field_requirements` are those of the request's field selector.
    """

    verb: str
    is_resource: bool = True
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_requirements: Sequence[FieldRequirement] = ()

    @property
    def full_resource(self) -> str:
        """`pods` or `pods/log`, as rules name them."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the request may go on. `reason` explains either answer and may be empty."""

    allowed: bool
    reason: str = ""


NO_OPINION = Decision(False)


class Authorizer(Protocol):
    """Decides. A refusal means "no rule of mine allows it": the next authorizer may still allow."""

    def authorize(self, user: User, attributes: RequestAttributes) -> Decision:
        """Judge one request."""
        ...


class ObjectReader(Protocol):
    """The API server's own state, read without a network."""

    def find(self, kind: Kind, namespace: str | None, name: str) -> ReadOnlyObject | None:
        """Return the current object (read-only), or None."""
        ...

    def list(self, kind: Kind, namespace: str | None = None) -> list[ReadOnlyObject]:
        """Return the current objects of a kind, of one namespace or all."""
        ...


def forbidden_detail(user: User, attributes: RequestAttributes, reason: str = "") -> str:
    """Upstream's sentence for a refusal: `User "x" cannot list resource "pods" in API group "" ...`."""
    subject = f"User {format_value(user.name)} cannot"
    if not attributes.is_resource:
        text = f'{subject} {attributes.verb} path "{attributes.path}"'
    else:
        scope = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
        text = (
            f'{subject} {attributes.verb} resource "{attributes.full_resource}" in API group "{attributes.group}"'
            f" {scope}"
        )
    return f"{text}: {reason}" if reason else text


def forbidden_error(user: User, attributes: RequestAttributes, reason: str = "") -> ApiError:
    """The 403 a refused request is answered with."""
    detail = forbidden_detail(user, attributes, reason)
    if not attributes.is_resource:
        return ApiError(403, "Forbidden", f"forbidden: {detail}", details={})
    return forbidden(attributes.group, attributes.resource, attributes.name, detail)


def service_account_name(namespace: str, name: str) -> str:
    """User name of a ServiceAccount."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """Groups every ServiceAccount of a namespace belongs to."""
    return (SERVICE_ACCOUNTS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{namespace}")


def split_service_account_name(user_name: str) -> tuple[str, str] | None:
    """Return (namespace, name) of a ServiceAccount's user name, or None for another user."""
    if not user_name.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, colon, name = user_name[len(SERVICE_ACCOUNT_PREFIX) :].partition(":")
    return (namespace, name) if colon and namespace and name and ":" not in name else None


def node_name_of_user(user: User) -> str | None:
    """Name of the node a user is; empty for a member of system:nodes with no node's name, None for anybody else."""
    if NODES_GROUP not in user.groups or not user.name.startswith(NODE_PREFIX):
        return None
    return user.name[len(NODE_PREFIX) :]
