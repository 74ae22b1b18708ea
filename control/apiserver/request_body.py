"""Request bodies: from bytes in JSON, YAML or protobuf to an object of the kind the URL names.

Refusals are worded as upstream's decoders do; the rules of types and fields are those of `control.schema.validate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.errors import ApiError, bad_request
from control.api.kinds import Kind
from control.api.objects import Object, copy_object
from control.api.records import record
from control.apiserver.go_json import GoJsonError, json_kind, parse_json
from control.apiserver.negotiation import JSON, PROTOBUF, YAML
from control.apiserver.request_context import RequestContext
from control.schema.builtin import definition_schema
from control.schema.validate import decode_object, enforce_field_validation

BODY_BYTES_MAX = 3 * 1024 * 1024

#: Group versions that are no longer served but whose kinds upstream still knows by name.
_RETIRED_VERSIONS = {
    "extensions/v1beta1": frozenset({"DaemonSet", "Deployment", "Ingress", "NetworkPolicy", "ReplicaSet", "Scale"}),
    "apps/v1beta1": frozenset({"ControllerRevision", "Deployment", "Scale", "StatefulSet"}),
    "apps/v1beta2": frozenset({"ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "Scale", "StatefulSet"}),
    "batch/v1beta1": frozenset({"CronJob"}),
    "networking.k8s.io/v1beta1": frozenset({"Ingress", "IngressClass", "IPAddress", "ServiceCIDR"}),
    "policy/v1beta1": frozenset({"Eviction", "PodDisruptionBudget"}),
    "rbac.authorization.k8s.io/v1beta1": frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}),
}
_SERVED_KINDS = frozenset((kind.api_version, kind.kind) for kind in BUILTIN_KINDS)
_LEGACY_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_META_SCHEME = "pkg/apis/meta/internalversion/scheme/register.go:27"
_TYPE_META = (
    'Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\"";'
    ' Kind string "json:\\"kind,omitempty\\"" }'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyKind:
    """What a body must be: the kind of the URL, or that of a subresource (`Scale` of autoscaling/v1)."""

    group: str
    version: str
    kind: str
    is_custom: bool = False

    @classmethod
    def of(cls, kind: Kind, *, is_custom: bool = False) -> BodyKind:
        """The body of a create or update of the kind itself."""
        return cls(group=kind.group, version=kind.version, kind=kind.kind, is_custom=is_custom)

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version


def decode_body(context: RequestContext, kind: Kind, definition: str, *, field_validation: str = "Warn") -> Object:
    """Parse and decode a body whose kind is not stored: a Scale, an Eviction, a Binding."""
    parsed = parse_body(context, BodyKind.of(kind))
    decoded = decode_object(parsed.object, definition_schema(definition), kind=kind, body=parsed.json_text)
    for text in enforce_field_validation(decoded, field_validation, kind=kind):
        context.warn(text)
    return decoded.object


@record(frozen=True, slots=True)
class ParsedBody:
    """A parsed body and, for JSON, the text it came from (duplicate fields show only there)."""

    object: Object
    json_text: bytes = b""
    duplicates: tuple[str, ...] = ()


def parse_body(context: RequestContext, expected: BodyKind) -> ParsedBody:
    """Parse a body and check that it says it is what it must be. apiVersion and kind may be left out."""
    body = context.request.body
    # In process the body is an object; the decoder copies what it keeps.
    parsed = ParsedBody(dict(body)) if isinstance(body, dict) else _parse_bytes(context, body, expected)
    _check_kind(parsed.object, expected)
    return parsed


def _parse_bytes(context: RequestContext, body: bytes, expected: BodyKind) -> ParsedBody:
    media_type = context.request.headers.get("content-type", "").partition(";")[0].strip().lower() or JSON
    if media_type == JSON:
        return _parse_json(body, expected)
    if media_type == YAML:
        return _parse_yaml(body, expected)
    if media_type == PROTOBUF and not expected.is_custom:
        return ParsedBody(_parse_protobuf(body, expected))
    raise unsupported_media_type([JSON, YAML] if expected.is_custom else [JSON, YAML, PROTOBUF])


def unsupported_media_type(accepted: list[str]) -> ApiError:
    """415 in the words of upstream's negotiator."""
    listing = ", ".join(accepted)
    return ApiError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {listing}",
    )


def _parse_json(body: bytes, expected: BodyKind) -> ParsedBody:
    try:
        value, text = parse_json(body)
    except GoJsonError as error:
        problem = f"couldn't get version/kind; json parse error: {error}"
        raise _unrecognized(expected, problem, body) from None
    return ParsedBody(_require_object(value, body, expected), text)


def _require_object(value: object, body: bytes, expected: BodyKind) -> Object:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _unrecognized(expected, _not_an_object(value), body)
    if problem := _type_problem(value):
        raise _unrecognized(expected, problem, body)
    return value


def _not_an_object(value: object) -> str:
    return f"couldn't get version/kind; json parse error: json: cannot unmarshal {json_kind(value)} into {_TYPE_META}"


def _type_problem(obj: Object) -> str:
    """Say that apiVersion or kind is no text; empty if they may be."""
    for field in ("apiVersion", "kind"):
        given = obj.get(field)
        if given is not None and not isinstance(given, str):
            return (
                f"couldn't get version/kind; json parse error: json: cannot unmarshal {json_kind(given)}"
                f" into Go struct field .{field} of type string"
            )
    return ""


def _parse_yaml(body: bytes, expected: BodyKind) -> ParsedBody:
    from control.apiserver.yaml_encoding import YamlError, load_yaml  # PyYAML is loaded when first needed

    try:
        value, duplicates = load_yaml(body)
    except YamlError as error:
        raise _unrecognized(expected, f"yaml: {error}", body) from None
    found = tuple(f'line {line}: key "{key}" already set in map' for line, key in duplicates)
    return ParsedBody(_require_object(value, body, expected), duplicates=found)


def _parse_protobuf(body: bytes, expected: BodyKind) -> Object:
    from control.schema.protobuf import decode_protobuf  # message types are built when first needed

    try:
        return decode_protobuf(body)
    except ValueError as error:
        raise _unrecognized(expected, str(error), body) from None


def _unrecognized(expected: BodyKind, problem: str, body: bytes) -> ApiError:
    return bad_request(
        f"the object provided is unrecognized (must be of type {expected.kind}): {problem} ({_summary(body)})"
    )


def _summary(body: bytes, length_max: int = 30) -> str:
    if not body:
        return "<empty>"
    shown, rest = body[:length_max], " ..." if len(body) > length_max else ""
    if body[:1] == b"{":
        return shown.decode(errors="replace") + rest
    return shown.hex() + rest


def _check_kind(obj: Object, expected: BodyKind) -> None:
    api_version = obj.get("apiVersion") or expected.api_version
    kind = obj.get("kind") or expected.kind
    obj["apiVersion"], obj["kind"] = api_version, kind
    if api_version == expected.api_version and kind == expected.kind:
        return
    if expected.is_custom:
        raise _custom_mismatch(api_version, kind, expected)
    if problem := kind_mismatch(obj, expected):
        version = api_version.rpartition("/")[2]
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {expected.kind}: {problem}')
    raise version_mismatch(api_version, expected.api_version)


def kind_mismatch(obj: Any, expected: BodyKind) -> str:
    """Say as upstream's decoder why a value is no object of the built-in kind it must be; empty if it may be."""
    if not isinstance(obj, dict):
        return _not_an_object(obj)
    if problem := _type_problem(obj):
        return problem
    api_version, kind = obj.get("apiVersion") or expected.api_version, obj.get("kind") or expected.kind
    version = api_version.rpartition("/")[2]
    if (api_version, kind) == (expected.api_version, expected.kind) or expected.is_custom:
        return ""
    if (api_version, kind) not in _SERVED_KINDS and kind not in _RETIRED_VERSIONS.get(api_version, ()):
        return f'no kind "{kind}" is registered for version "{api_version}" in scheme "{_LEGACY_SCHEME}"'
    if kind != expected.kind:
        return f"converting ({version}.{kind}) to ({expected.version}.{expected.kind}): unknown conversion"
    return ""


def version_mismatch(given: str, expected: str) -> ApiError:
    """400: the body is of another group or version than the URL."""
    return bad_request(f"the API version in the data ({given}) does not match the expected API version ({expected})")


def _custom_mismatch(api_version: str, kind: str, expected: BodyKind) -> ApiError:
    if api_version != expected.api_version:
        return version_mismatch(api_version, expected.api_version)
    return bad_request(f"the kind in the data ({kind}) does not match the expected kind ({expected.kind})")


def parse_delete_options(context: RequestContext) -> Object | None:
    """Parse the body of a DELETE: DeleteOptions, or nothing."""
    body = context.request.body
    if not body:
        return None
    if isinstance(body, dict):
        options: Object = copy_object(body)
    else:
        expected = BodyKind(group="meta.k8s.io", version="v1", kind="DeleteOptions")
        options = _parse_bytes(context, body, expected).object
    kind = options.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        api_version = options.get("apiVersion") or "v1"
        raise bad_request(f'no kind "{kind}" is registered for version "{api_version}" in scheme "{_META_SCHEME}"')
    return options
