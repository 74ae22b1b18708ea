"""Impersonate-* headers: acting as somebody else, for those who may (k8s.io/apiserver/pkg/endpoints/filters)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from control.api.errors import bad_request, quote
from control.api.exchange import User
from control.apiserver.request_context import ANONYMOUS, RequestContext
from control.auth.attributes import (
    AUTHENTICATED_GROUP,
    UNAUTHENTICATED_GROUP,
    Authorizer,
    RequestAttributes,
    forbidden_error,
    service_account_groups,
    split_service_account_name,
)

_USER = "impersonate-user"
_GROUP = "impersonate-group"
_UID = "impersonate-uid"
_EXTRA = "impersonate-extra-"

#: The HTTP shell joins the values of a repeated Impersonate header with this: groups may hold commas.
HEADER_SEPARATOR = "\n"


class ImpersonationFilter:
    """Replaces `context.user` by the one asked for."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def __call__(self, context: RequestContext) -> None:
        """Impersonate if the headers ask for it and the authorizer allows every part of it."""
        headers = context.request.headers
        if not any(name.startswith("impersonate-") for name in headers):
            return
        wanted = _read_headers(headers)
        if not wanted.name:
            raise bad_request(f"requested {_format_user(wanted)} without impersonating a user name")
        for attributes in _permissions_needed(wanted):
            decision = self._authorizer.authorize(context.user, attributes)
            if not decision.allowed:
                raise forbidden_error(context.user, attributes, decision.reason)
        context.user = _complete(wanted)


def _values(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    text = headers.get(name)
    return tuple(text.split(HEADER_SEPARATOR)) if text else ()


def _read_headers(headers: Mapping[str, str]) -> User:
    extra = {
        unquote(name[len(_EXTRA) :]): _values(headers, name) for name in sorted(headers) if name.startswith(_EXTRA)
    }
    return User(name=headers.get(_USER, ""), uid=headers.get(_UID, ""), groups=_values(headers, _GROUP), extra=extra)


def _permissions_needed(wanted: User) -> Iterator[RequestAttributes]:
    account = split_service_account_name(wanted.name)
    if account is not None:
        namespace, name = account
        yield _impersonate("serviceaccounts", name, namespace=namespace)
    else:
        yield _impersonate("users", wanted.name)
    for group in wanted.groups:
        yield _impersonate("groups", group)
    for key, values in wanted.extra.items():
        for value in values:
            yield _impersonate("userextras", value, group="authentication.k8s.io", subresource=key)
    if wanted.uid:
        yield _impersonate("uids", wanted.uid, group="authentication.k8s.io")


def _impersonate(
    resource: str, name: str, *, group: str = "", namespace: str = "", subresource: str = ""
) -> RequestAttributes:
    return RequestAttributes(
        verb="impersonate",
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _complete(wanted: User) -> User:
    groups = wanted.groups
    account = split_service_account_name(wanted.name)
    if account is not None and not groups:
        groups = service_account_groups(account[0])
    implied = UNAUTHENTICATED_GROUP if wanted.name == ANONYMOUS.name else AUTHENTICATED_GROUP
    if AUTHENTICATED_GROUP not in groups and implied not in groups:
        groups = (*groups, implied)
    return User(name=wanted.name, uid=wanted.uid, groups=groups, extra=wanted.extra)


def _format_user(user: User) -> str:
    """Go's %#v of a user.DefaultInfo."""
    groups = "{" + ", ".join(quote(group) for group in user.groups) + "}" if user.groups else "(nil)"
    return (
        f"&user.DefaultInfo{{Name:{quote(user.name)}, UID:{quote(user.uid)}, Groups:[]string{groups},"
        f" Extra:map[string][]string{_format_extra(user.extra)}}}"
    )


def _format_extra(extra: Mapping[str, tuple[str, ...]]) -> str:
    if not extra:
        return "(nil)"
    pairs = ", ".join(
        f"{quote(key)}:[]string{{{', '.join(quote(value) for value in values)}}}" for key, values in extra.items()
    )
    return "{" + pairs + "}"
