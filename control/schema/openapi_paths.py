"""The operations of the API as OpenAPI lists them: which paths and methods a kind has, with their models.

Derived from the `Kind` records; both versions of OpenAPI are written from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from control.api.kinds import Kind, Subresource

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_MODELS_OF_SUBRESOURCE_KINDS = {
    "Binding": "io.k8s.api.core.v1.Binding",
    "Eviction": "io.k8s.api.policy.v1.Eviction",
    "Scale": "io.k8s.api.autoscaling.v1.Scale",
    "TokenRequest": "io.k8s.api.authentication.v1.TokenRequest",
}
_CONNECT_METHODS = {"get": ("get", "head", "options"), "create": ("post",), "delete": ("delete",), "update": ("put",)}
_CONNECT_METHODS["patch"] = ("patch",)
_CREATED_CODES = {
    "post": ("200", "201", "202"),
    "put": ("200", "201"),
    "patch": ("200", "201"),
    "delete": ("200", "202"),
}


def _query(name: str, type: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "type": type}


_PRETTY = _query("pretty", "string", "Set to `true` for indented output.")
_DRY_RUN = _query("dryRun", "string", "`All` runs every stage of the request but stores nothing.")
_FIELD_MANAGER = _query("fieldManager", "string", "Name of the actor that makes the change, at most 128 characters.")
_FIELD_VALIDATION = _query(
    "fieldValidation", "string", "What to do with unknown and duplicate fields: Ignore, Warn (default) or Strict."
)
_FORCE = _query("force", "boolean", "Take over fields that other managers own; only for apply patches.")
_DELETE_PARAMETERS = (
    _DRY_RUN,
    _query("gracePeriodSeconds", "integer", "Seconds the object may take to end; zero deletes at once."),
    _query("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Delete objects that cannot be decoded."),
    _query("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    _query("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
)
_LIST_PARAMETERS = (
    _query("allowWatchBookmarks", "boolean", "Ask for BOOKMARK events."),
    _query("continue", "string", "Token of the previous page."),
    _query("fieldSelector", "string", "Restrict by fields."),
    _query("labelSelector", "string", "Restrict by labels."),
    _query("limit", "integer", "Most objects of one page."),
    _query("resourceVersion", "string", "Version to read at."),
    _query("resourceVersionMatch", "string", "How resourceVersion is meant."),
    _query("sendInitialEvents", "boolean", "Begin a watch with what exists."),
    _query("timeoutSeconds", "integer", "Most seconds the request may take."),
    _query("watch", "boolean", "Send changes instead of a list."),
)
_WRITE_PARAMETERS = (_DRY_RUN, _FIELD_MANAGER, _FIELD_VALIDATION)
_NAME = {"name": "name", "in": "path", "description": "name of the object", "required": True, "type": "string"}
_NAMESPACE = {"name": "namespace", "in": "path", "description": "namespace", "required": True, "type": "string"}
_PATH = {"name": "path", "in": "path", "description": "path behind the proxy", "required": True, "type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `action` is upstream's x-kubernetes-action."""

    method: str
    operation_id: str
    tag: str
    action: str = ""
    group_version_kind: tuple[str, str, str] | None = None
    request_model: str = ""
    response_model: str = ""
    is_text: bool = False
    path_parameters: tuple[Mapping[str, Any], ...] = ()
    query_parameters: tuple[Mapping[str, Any], ...] = ()
    description: str = ""
    extra_models: tuple[str, ...] = field(default=())

    @property
    def models(self) -> tuple[str, ...]:
        """Definitions the operation names."""
        return tuple(name for name in (self.request_model, self.response_model, *self.extra_models) if name)

    @property
    def success_codes(self) -> tuple[str, ...]:
        """Status codes of success."""
        return _CREATED_CODES.get(self.method, ("200",)) if self.action in _CREATING_ACTIONS else ("200",)

    @property
    def extensions(self) -> dict[str, Any]:
        """The extensions by which kubectl finds an operation's kind."""
        result: dict[str, Any] = {}
        if self.action:
            result["x-kubernetes-action"] = self.action
        if self.group_version_kind:
            group, version, kind = self.group_version_kind
            result["x-kubernetes-group-version-kind"] = {"group": group, "version": version, "kind": kind}
        return result


_CREATING_ACTIONS = frozenset({"post", "put", "patch", "delete"})


def fixed_paths() -> dict[str, dict[str, list[Operation]]]:
    """Return the documents that do not depend on kinds, by their key in the index."""
    return {
        ".well-known/openid-configuration": _information("/.well-known/openid-configuration/", "WellKnown", ""),
        "api": _information("/api/", "Core", META + "APIVersions"),
        "apis": _information("/apis/", "Apis", META + "APIGroupList"),
        "openid/v1/jwks": _information("/openid/v1/jwks/", "Openid", ""),
        "version": _information("/version/", "Version", "io.k8s.apimachinery.pkg.version.Info"),
    }


def group_paths(key: str) -> dict[str, list[Operation]]:
    """Return the one path of a group document, whose key is `apis/GROUP`."""
    return _information(f"/{key}/", _camel(key.removeprefix("apis/")), META + "APIGroup")


def group_version_paths(key: str, kinds: Iterable[Kind]) -> dict[str, list[Operation]]:
    """Return all paths of a group version, whose key is `api/v1` or `apis/GROUP/VERSION`."""
    result = _information(f"/{key}/", _camel(key.partition("/")[2]), META + "APIResourceList")
    for kind in kinds:
        result.update(_kind_paths(kind))
    return result


def _information(path: str, tag: str, model: str) -> dict[str, list[Operation]]:
    operation = Operation(
        method="get", operation_id=f"get{tag}", tag=tag.lower(), response_model=model, is_text=not model
    )
    return {path: [operation]}


def _camel(text: str) -> str:
    """`apps/v1` -> `AppsV1`, `rbac.authorization.k8s.io/v1` -> `RbacAuthorizationV1`."""
    words = text.replace(".k8s.io", "").replace("/", ".").split(".")
    return "".join(word[:1].upper() + word[1:] for word in words)


def _kind_paths(kind: Kind) -> dict[str, list[Operation]]:
    base = kind.base_path
    scope = "/namespaces/{namespace}" if kind.namespaced else ""
    paths: dict[str, list[Operation]] = {}
    parameters = (_NAMESPACE,) if kind.namespaced else ()
    if kind.namespaced and "list" in kind.verbs:
        paths[f"{base}/{kind.plural}"] = [_operation(kind, "list", suffix="ForAllNamespaces")]
    collection = [
        _operation(kind, verb, parameters=parameters)
        for verb in ("list", "create", "deletecollection")
        if verb in kind.verbs
    ]
    paths[f"{base}{scope}/{kind.plural}"] = collection
    one = [_operation(kind, verb, parameters=(_NAME, *parameters)) for verb in _OBJECT_VERBS if verb in kind.verbs]
    if one:
        paths[f"{base}{scope}/{kind.plural}/{{name}}"] = one
    if "watch" in kind.verbs:
        paths.update(_watch_paths(kind, base, scope, parameters))
    for subresource in kind.subresources:
        paths.update(
            _subresource_paths(kind, subresource, f"{base}{scope}/{kind.plural}/{{name}}", (_NAME, *parameters))
        )
    return paths


_OBJECT_VERBS = ("get", "update", "patch", "delete")
_METHODS = {
    "list": "get",
    "create": "post",
    "deletecollection": "delete",
    "get": "get",
    "update": "put",
    "patch": "patch",
    "delete": "delete",
    "watch": "get",
    "watchlist": "get",
}
_WORDS = {"get": "read", "update": "replace", "deletecollection": "deleteCollection", "watchlist": "watch"}
_ACTIONS = {"create": "post", "update": "put"}


def _operation(kind: Kind, verb: str, *, parameters: tuple[Mapping[str, Any], ...] = (), suffix: str = "") -> Operation:
    scope = "Namespaced" if kind.namespaced and not suffix else ""
    group = _camel(f"{kind.group or 'core'}/{kind.version}")
    list_suffix = "List" if verb == "watchlist" else ""
    request, response = _models(kind, verb)
    return Operation(
        method=_METHODS[verb],
        operation_id=f"{_WORDS.get(verb, verb)}{group}{scope}{kind.kind}{list_suffix}{suffix}",
        tag=group[:1].lower() + group[1:],
        action=_ACTIONS.get(verb, verb),
        group_version_kind=(kind.group, kind.version, kind.kind),
        request_model=request,
        response_model=response,
        path_parameters=parameters,
        query_parameters=(_PRETTY, *_query_parameters(verb)),
        description=f"{_WORDS.get(verb, verb)} {kind.kind}",
        extra_models=(META + "WatchEvent",) if "watch" in kind.verbs else (),
    )


def _models(kind: Kind, verb: str) -> tuple[str, str]:
    list_model = f"{kind.definition.rpartition('.')[0]}.{kind.list_kind}"
    match verb:
        case "list":
            return "", list_model
        case "create" | "update":
            return kind.definition, kind.definition
        case "patch":
            return META + "Patch", kind.definition
        case "delete" | "deletecollection":
            return META + "DeleteOptions", META + "Status"
        case "watch" | "watchlist":
            return "", META + "WatchEvent"
    return "", kind.definition


def _query_parameters(verb: str) -> tuple[dict[str, Any], ...]:
    match verb:
        case "list" | "watch" | "watchlist":
            return _LIST_PARAMETERS
        case "create" | "update":
            return _WRITE_PARAMETERS
        case "patch":
            return (*_WRITE_PARAMETERS, _FORCE)
        case "delete":
            return _DELETE_PARAMETERS
        case "deletecollection":
            return (*_DELETE_PARAMETERS, *_LIST_PARAMETERS[1:8])
    return ()


def _watch_paths(
    kind: Kind, base: str, scope: str, parameters: tuple[Mapping[str, Any], ...]
) -> dict[str, list[Operation]]:
    paths = {
        f"{base}/watch{scope}/{kind.plural}": [_operation(kind, "watchlist", parameters=parameters)],
        f"{base}/watch{scope}/{kind.plural}/{{name}}": [_operation(kind, "watch", parameters=(_NAME, *parameters))],
    }
    if kind.namespaced:
        paths[f"{base}/watch/{kind.plural}"] = [_operation(kind, "watchlist", suffix="ForAllNamespaces")]
    return paths


def _subresource_paths(
    kind: Kind, subresource: Subresource, path: str, parameters: tuple[Mapping[str, Any], ...]
) -> dict[str, list[Operation]]:
    model = _MODELS_OF_SUBRESOURCE_KINDS.get(subresource.kind, "")
    if subresource.kind.endswith("Options"):
        found = {f"{path}/{subresource.name}": _connect_operations(kind, subresource, parameters)}
        if subresource.name == "proxy":
            found[f"{path}/proxy/{{path}}"] = _connect_operations(kind, subresource, (*parameters, _PATH))
        return found
    if subresource.name == "log":
        operation = _subresource_operation(kind, subresource, "get", "", parameters)
        return {f"{path}/log": [operation]}
    model = model or kind.definition
    operations = [
        _subresource_operation(kind, subresource, verb, model, parameters)
        for verb in ("get", "update", "patch", "create")
        if verb in subresource.verbs
    ]
    return {f"{path}/{subresource.name}": operations}


def _subresource_operation(
    kind: Kind, subresource: Subresource, verb: str, model: str, parameters: tuple[Mapping[str, Any], ...]
) -> Operation:
    group = _camel(f"{kind.group or 'core'}/{kind.version}")
    scope = "Namespaced" if kind.namespaced else ""
    word = subresource.name[:1].upper() + subresource.name[1:]
    request = {"get": "", "patch": META + "Patch"}.get(verb, model)
    return Operation(
        method=_METHODS[verb],
        operation_id=f"{_WORDS.get(verb, verb)}{group}{scope}{kind.kind}{word}",
        tag=group[:1].lower() + group[1:],
        action=_ACTIONS.get(verb, verb),
        group_version_kind=(
            subresource.group or kind.group,
            subresource.version or kind.version,
            subresource.kind,
        ),
        request_model=request,
        response_model=model,
        is_text=not model,
        path_parameters=parameters,
        query_parameters=(_PRETTY, *_query_parameters(verb)),
    )


def _connect_operations(
    kind: Kind, subresource: Subresource, parameters: tuple[Mapping[str, Any], ...]
) -> list[Operation]:
    group = _camel(f"{kind.group or 'core'}/{kind.version}")
    scope = "Namespaced" if kind.namespaced else ""
    word = subresource.name[:1].upper() + subresource.name[1:]
    suffix = "WithPath" if _PATH in parameters else ""
    verbs = [verb for verb in ("get", "create", "delete", "update", "patch") if verb in subresource.verbs]
    methods = [method for verb in verbs for method in _CONNECT_METHODS[verb]]
    if subresource.name != "proxy":
        methods = [method for method in methods if method in ("get", "post")]
    return [
        Operation(
            method=method,
            operation_id=f"connect{group}{method.capitalize()}{scope}{kind.kind}{word}{suffix}",
            tag=group[:1].lower() + group[1:],
            action="connect",
            group_version_kind=(kind.group, kind.version, subresource.kind),
            is_text=True,
            path_parameters=parameters,
        )
        for method in methods
    ]
