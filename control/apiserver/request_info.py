"""What a request is about, read from its method and URL alone: verb, group, version, namespace, resource, name.

The rules are those of upstream's RequestInfoFactory (k8s.io/apiserver/pkg/endpoints/request/requestinfo.go). Everything
after this, authorization first, works on the record and never looks at the URL again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from control.api.records import record

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

#: Subresources of a namespace; anything else after `namespaces/<name>/` is a resource in it.
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})

#: Verbs that streams use; they never count against the limit of requests in flight.
LONG_RUNNING_VERBS = frozenset({"watch", "proxy"})
LONG_RUNNING_SUBRESOURCES = frozenset({"attach", "exec", "proxy", "log", "portforward"})


@record(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """A parsed request. For a path that is no resource only `path` and `verb` (the lower-case method) mean anything.

    `name` is also set by `fieldSelector=metadata.name=...` on a list or watch, so that a rule for one name applies;
    `has_name_in_path` tells the two apart. `rest` is what follows a subresource (the path of a proxy request).
    `is_watch_path` marks the old form of a watch, `/api/v1/watch/...`.
    """

    is_resource: bool
    path: str
    verb: str
    method: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    has_name_in_path: bool = False
    rest: str = ""
    is_watch_path: bool = False

    @property
    def is_long_running(self) -> bool:
        """Whether the request may stay open for as long as its client wishes."""
        return self.verb in LONG_RUNNING_VERBS or (self.is_resource and self.subresource in LONG_RUNNING_SUBRESOURCES)


def parse_request_info(method: str, path: str, query: Sequence[tuple[str, str]]) -> RequestInfo:
    """Parse a request line. Never fails: what is no resource path is a non-resource request."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(is_resource=False, path=path, verb=method.lower(), method=method)
    verb = _VERBS.get(method, "")
    if rest[0] == "watch" and len(rest) > 1:
        return replace(_parse_resource(method, path, query, "watch", group, version, rest[1:]), is_watch_path=True)
    return _parse_resource(method, path, query, verb, group, version, rest)


def _parse_resource(
    method: str, path: str, query: Sequence[tuple[str, str]], verb: str, group: str, version: str, rest: list[str]
) -> RequestInfo:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    has_name = bool(name)
    if not has_name and verb in ("get", "delete"):
        verb = _collection_verb(verb, query)
    if not has_name and verb in ("list", "watch", "deletecollection"):
        name = _name_of_field_selector(query)
    return RequestInfo(
        is_resource=True,
        path=path,
        verb=verb,
        method=method,
        group=group,
        version=version,
        namespace=namespace,
        resource=resource,
        subresource=subresource,
        name=name,
        has_name_in_path=has_name,
        rest="/".join(rest[3:]),
    )


def _collection_verb(verb: str, query: Sequence[tuple[str, str]]) -> str:
    if verb == "delete":
        return "deletecollection"
    return "watch" if _wants_watch(query) else "list"


def is_true(text: str) -> bool:
    """Read a boolean query parameter as upstream does: present and neither `false` nor `0` (case-insensitive)."""
    return text.lower() not in ("false", "0")


def _wants_watch(query: Sequence[tuple[str, str]]) -> bool:
    return any(key == "watch" and is_true(value) for key, value in query)


def _name_of_field_selector(query: Sequence[tuple[str, str]]) -> str:
    for key, value in query:
        if key == "fieldSelector":
            for term in value.split(","):
                field, equals, name = term.partition("=")
                if equals and field.strip() == "metadata.name" and not field.endswith("!"):
                    return name.lstrip("=").strip()
    return ""
