"""Kinds that are questions: TokenReview, the SubjectAccessReview family, SelfSubjectReview. Nothing is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from control.api.errors import FieldError, bad_request, invalid
from control.api.exchange import ApiResponse, User
from control.api.objects import Object
from control.api.timestamps import format_time
from control.apiserver.handlers.responding import write_request
from control.apiserver.handlers.review_rules import (
    local_review_errors,
    self_review_errors,
    subject_review_errors,
)
from control.apiserver.options import read_write_options
from control.apiserver.registry.field_managers import record_create
from control.apiserver.registry.metadata import set_request_namespace
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.subresources.binding import bindings
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.representation import value_response
from control.apiserver.request_body import parse_body
from control.apiserver.request_context import RequestContext
from control.auth.attributes import RequestAttributes
from control.auth.rbac import RbacAuthorizer

_GROUP = "authorization.k8s.io"

Review = Callable[[RequestContext, ServerParts, Object], None]


async def review(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Answer a question."""
    if store.kind.plural == "bindings":
        return await bindings(context, store, parts)
    options = read_write_options(context, "CreateOptions")
    parsed = parse_body(context, store.served.body_kind)
    obj = store.served.decode(parsed, field_validation=options.field_validation, warn=context.warn)
    set_request_namespace(store.kind, obj, context.info.namespace)
    record_create(store.served, write_request(context, options), obj)
    _REVIEWS[store.kind.kind](context, parts, obj)
    return value_response(context, obj, status=201)


def _self_subject_review(context: RequestContext, parts: ServerParts, obj: Object) -> None:
    obj["metadata"]["creationTimestamp"] = format_time(context.now)
    obj["status"] = {"userInfo": _user_info(context.user)}


def _user_info(user: User) -> Object:
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _token_review(context: RequestContext, parts: ServerParts, obj: Object) -> None:
    spec = obj.get("spec") or {}
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    verified = parts.authenticator.review_token(spec["token"], tuple(spec.get("audiences") or ()))
    if verified is None:
        obj["status"] = {"user": {}, "error": "invalid bearer token"}
        return
    status: Object = {"authenticated": True, "user": _user_info(verified.user)}
    if verified.audiences:
        status["audiences"] = list(verified.audiences)
    obj["status"] = status


def _subject_access_review(context: RequestContext, parts: ServerParts, obj: Object) -> None:
    _refuse(subject_review_errors(obj))
    obj["status"] = _judge(parts, _user_of(obj["spec"]), obj["spec"])


def _local_subject_access_review(context: RequestContext, parts: ServerParts, obj: Object) -> None:
    _refuse(local_review_errors(obj))
    obj["status"] = _judge(parts, _user_of(obj["spec"]), obj["spec"])


def _self_subject_access_review(context: RequestContext, parts: ServerParts, obj: Object) -> None:
    _refuse(self_review_errors(obj))
    obj["status"] = _judge(parts, context.user, obj["spec"])


def _self_subject_rules_review(context: RequestContext, parts: ServerParts, obj: Object) -> None:
    namespace = (obj.get("spec") or {}).get("namespace", "")
    if not namespace:
        raise bad_request("no namespace on request")
    resource_rules: list[Object] = []
    other_rules: list[Object] = []
    for rule in RbacAuthorizer(parts.registry).rules_for(context.user, namespace):
        fields = (
            ("verbs", "nonResourceURLs")
            if rule.get("nonResourceURLs")
            else (
                "verbs",
                "apiGroups",
                "resources",
                "resourceNames",
            )
        )
        shown = {name: rule[name] for name in fields if rule.get(name)}
        (other_rules if rule.get("nonResourceURLs") else resource_rules).append(shown)
    obj["metadata"] = {}
    obj["spec"] = {}
    obj["status"] = {
        "resourceRules": resource_rules,
        "nonResourceRules": other_rules,
        "incomplete": False,
    }


_REVIEWS: Mapping[str, Review] = {
    "LocalSubjectAccessReview": _local_subject_access_review,
    "SelfSubjectAccessReview": _self_subject_access_review,
    "SelfSubjectReview": _self_subject_review,
    "SelfSubjectRulesReview": _self_subject_rules_review,
    "SubjectAccessReview": _subject_access_review,
    "TokenReview": _token_review,
}


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise invalid(_GROUP, "", "", errors)


def _user_of(spec: Object) -> User:
    extra = {key.lower(): tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(name=spec.get("user", ""), groups=tuple(spec.get("groups") or ()), uid=spec.get("uid", ""), extra=extra)


def _judge(parts: ServerParts, user: User, spec: Object) -> Object:
    decision = parts.authorizer.authorize(user, _attributes(spec))
    status: Object = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return status


def _attributes(spec: Object) -> RequestAttributes:
    other = spec.get("nonResourceAttributes")
    if other is not None:
        return RequestAttributes(verb=other.get("verb", ""), is_resource=False, path=other.get("path", ""))
    resource = spec.get("resourceAttributes") or {}
    return RequestAttributes(
        verb=resource.get("verb", ""),
        group=resource.get("group", ""),
        version=resource.get("version", "") or "*",
        resource=resource.get("resource", ""),
        subresource=resource.get("subresource", ""),
        namespace=resource.get("namespace", ""),
        name=resource.get("name", ""),
    )
