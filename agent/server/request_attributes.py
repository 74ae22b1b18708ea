"""What a request to the node API is to the authorizer: a verb on subresources of the Node, one of which has to be
allowed. Pure. Upstream: pkg/kubelet/server/auth.go, v1.36.
"""

from __future__ import annotations

_VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# What used to need the right to everything (nodes/proxy), which still does.
_FINE_GRAINED = {"/pods": "pods", "/healthz": "healthz", "/configz": "configz", "/runningpods": "pods"}
_SEPARATE = {"/stats": "stats", "/metrics": "metrics", "/logs": "log", "/checkpoint": "checkpoint"}


def api_verb(method: str) -> str:
    """The API's word for an HTTP method; empty for methods that no rule can allow but `*`."""
    return _VERBS.get(method, "")


def node_subresources(path: str) -> list[str]:
    """The subresources that let somebody use a path, the narrowest first."""
    for prefix, subresource in _SEPARATE.items():
        if _is_below(path, prefix):
            return [subresource]
    return [*(name for prefix, name in _FINE_GRAINED.items() if _is_below(path, prefix)), "proxy"]


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
