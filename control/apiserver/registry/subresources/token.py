"""serviceaccounts/token: issues a signed token (TokenRequest)."""

from __future__ import annotations

import uuid
from datetime import timedelta

from control.api.builtin_kinds import NODES, PODS, SECRETS
from control.api.errors import FieldError, bad_request, conflict, invalid, not_found
from control.api.exchange import ApiResponse
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time
from control.apiserver.handlers.responding import write_request
from control.apiserver.options import read_write_options
from control.apiserver.patch.managed_fields import FieldWriter, record_update
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.representation import value_response
from control.apiserver.request_body import BodyKind, parse_body
from control.apiserver.request_context import RequestContext
from control.auth.tokens import BoundObject, TokenIssuer, TokenSubject
from control.schema.builtin import definition_schema
from control.schema.validate import decode_object, enforce_field_validation

_TOKEN_REQUEST = BodyKind(group="authentication.k8s.io", version="v1", kind="TokenRequest")
_DEFINITION = "io.k8s.api.authentication.v1.TokenRequest"
_KIND = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenRequest",
    plural="tokenrequests",
    singular="tokenrequest",
    namespaced=True,
)
DEFAULT_SECONDS = 3600
SECONDS_MIN = 600
SECONDS_MAX = 2**32
_BINDABLE = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}


async def token(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Issue a token for a ServiceAccount, bound to a Pod, Secret or Node if asked."""
    options = read_write_options(context, "CreateOptions")
    parsed = parse_body(context, _TOKEN_REQUEST)
    decoded = decode_object(parsed.object, definition_schema(_DEFINITION), kind=_KIND, body=parsed.json_text)
    for text in enforce_field_validation(decoded, options.field_validation, kind=_KIND):
        context.warn(text)
    request, issuer = decoded.object, parts.token_issuer
    if issuer is None:
        raise bad_request("this server issues no tokens")
    account = store.get(context.info.namespace, context.info.name).object
    _check_identity(context, request)
    spec = request.setdefault("spec", {})
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = DEFAULT_SECONDS
    _record_fields(context, request, options.field_manager, account)
    attributes = store.attributes(write_request(context, options), "CREATE", request, None)
    await store.admission.admit(attributes)
    await store.admission.validate(attributes)
    _check_spec(context, spec)
    audiences = spec.get("audiences") or [issuer.issuer]
    subject = _subject(parts, account, spec.get("boundObjectRef"))
    if not options.dry_run:
        _issue(context, request, issuer, subject, audiences)
    spec["audiences"] = audiences
    spec.setdefault("boundObjectRef", None)
    request["kind"], request["apiVersion"] = "TokenRequest", _KIND.api_version
    return value_response(context, request, status=201)


def _check_identity(context: RequestContext, request: Object) -> None:
    metadata = request.setdefault("metadata", {})
    if metadata.get("name") not in (context.info.name, None, ""):
        raise bad_request(
            f'name "{metadata["name"]}" in TokenRequest does not match the service account "{context.info.name}"'
        )
    if metadata.get("namespace") not in (context.info.namespace, None, ""):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def _record_fields(context: RequestContext, request: Object, manager: str, account: ReadOnlyObject) -> None:
    writer = FieldWriter(
        manager=manager, api_version=_KIND.api_version, subresource="token", time=format_time(context.now)
    )
    record_update(None, request, definition_schema(_DEFINITION), writer)
    managed = request["metadata"].get("managedFields")
    shown = {name: account["metadata"][name] for name in ("name", "namespace", "uid", "creationTimestamp")}
    request["metadata"] = {**request["metadata"], **shown}
    if managed:
        request["metadata"]["managedFields"] = managed


def _check_spec(context: RequestContext, spec: Object) -> None:
    seconds, errors = spec["expirationSeconds"], []
    if seconds < SECONDS_MIN:
        text = "may not specify a duration less than 10 minutes"
        errors.append(FieldError.invalid("spec.expirationSeconds", seconds, text))
    if seconds > SECONDS_MAX:
        text = "may not specify a duration larger than 2^32 seconds"
        errors.append(FieldError.invalid("spec.expirationSeconds", seconds, text))
    if errors:
        raise invalid("authentication.k8s.io", "TokenRequest", "", errors)


def _subject(parts: ServerParts, account: ReadOnlyObject, reference: Object | None) -> TokenSubject:
    metadata = account["metadata"]
    namespace = metadata["namespace"]
    if reference is None:
        return TokenSubject(namespace=namespace, name=metadata["name"], uid=metadata["uid"])
    api_version, kind_name, name = reference.get("apiVersion", ""), reference.get("kind", ""), reference.get("name", "")
    group, _, version = api_version.rpartition("/")
    kind = None if group else _BINDABLE.get(kind_name)
    if kind is None:
        raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind_name}")
    obj = parts.registry.find(kind, namespace if kind.namespaced else None, name)
    if obj is None:
        raise not_found(kind.group, kind.plural, name)
    uid = obj["metadata"]["uid"]
    if reference.get("uid") and reference["uid"] != uid:
        detail = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record."
        # Upstream names the kind where others name the resource.
        raise conflict(kind.group, kind.kind, name, f"{detail} The object might have been deleted and then recreated")
    node_name, node_uid = _node_of(parts, kind, obj, metadata["name"])
    return TokenSubject(
        namespace=namespace,
        name=metadata["name"],
        uid=metadata["uid"],
        bound=BoundObject(kind_name, name, uid),
        node_name=node_name,
        node_uid=node_uid,
    )


def _node_of(parts: ServerParts, kind: Kind, obj: ReadOnlyObject, account_name: str) -> tuple[str, str]:
    if kind is not PODS:
        return "", ""
    spec = obj.get("spec") or {}
    if spec.get("serviceAccountName", "") != account_name:
        raise bad_request(
            f'cannot bind token for serviceaccount "{account_name}" to pod running with different serviceaccount name.'
        )
    node_name = spec.get("nodeName") or ""
    node = parts.registry.find(NODES, None, node_name) if node_name else None
    return node_name, node["metadata"]["uid"] if node else ""


def _issue(
    context: RequestContext, request: Object, issuer: TokenIssuer, subject: TokenSubject, audiences: list[str]
) -> None:
    seconds = request["spec"]["expirationSeconds"]
    signed = issuer.issue(
        subject, audiences=audiences, expiration_seconds=seconds, token_id=str(uuid.uuid4()), now=context.now
    )
    expires = context.now + timedelta(seconds=seconds)
    request["status"] = {"token": signed, "expirationTimestamp": format_time(expires)}
