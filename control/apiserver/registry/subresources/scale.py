"""/scale: the replica count of a workload as an autoscaling/v1 Scale, whatever kind the workload is."""

from __future__ import annotations

from collections.abc import Callable

from control.api.errors import MODIFIED_DETAIL, FieldError, bad_request, conflict, invalid
from control.api.exchange import ApiResponse
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.api.selectors import selector_from_labels, selector_from_object
from control.api.timestamps import format_time
from control.apiserver.handlers.patch import (
    APPLY_PATCH,
    decode_patched,
    patch_type_of,
    read_configuration,
    read_request_patch,
)
from control.apiserver.handlers.responding import write_request
from control.apiserver.options import WriteOptions, read_write_options
from control.apiserver.patch.managed_fields import FieldWriter, adopt_scale_entries, record_scale, scale_entries
from control.apiserver.patch.server_side_apply import apply_configuration
from control.apiserver.registry.resource_store import Change, ResourceStore
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.representation import transform_object, value_response
from control.apiserver.request_body import BodyKind, parse_body
from control.apiserver.request_context import RequestContext
from control.schema.builtin import definition_schema
from control.schema.validate import decode_object, enforce_field_validation

_SCALE = BodyKind(group="autoscaling", version="v1", kind="Scale")
_DEFINITION = "io.k8s.api.autoscaling.v1.Scale"
_KIND = Kind(group="autoscaling", version="v1", kind="Scale", plural="scales", singular="scale", namespaced=True)


async def scale(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Read or write the replica count."""
    if context.info.verb == "get":
        return _answer(context, store.get(context.info.namespace, context.info.name).object)
    is_update = context.info.verb == "update"
    is_apply = not is_update and patch_type_of(context) == APPLY_PATCH
    options = read_write_options(context, "UpdateOptions" if is_update else "PatchOptions", is_apply=is_apply)
    if is_apply:
        make_scale = _applied(context, options)
    else:
        make_scale = _replacement(context, options) if is_update else _patched(context, options)

    def produce(live: Object | None) -> Object:
        if live is None:
            raise store.served.not_found(context.info.name)
        wanted = make_scale(_scale_with_owners(live))
        _check(context, store, wanted, live)
        _set_owners(store, live, wanted, options, is_apply=is_apply)
        live.setdefault("spec", {})["replicas"] = _replicas(wanted)
        return live

    written = await store.update(write_request(context, options), Change(produce, records_fields=False))
    return _answer(context, written.cached.object if written.cached is not None else written.object or {})


def _answer(context: RequestContext, obj: ReadOnlyObject) -> ApiResponse:
    shown = _scale_of(obj)
    if context.media.transformation:
        shown = transform_object(context, _KIND, shown)
    return value_response(context, shown)


def _scale_of(obj: ReadOnlyObject) -> Object:
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    shown = {
        name: metadata[name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if name in metadata
    }
    replicas = spec.get("replicas", 1)
    scale_status: Object = {"replicas": status.get("replicas", 0)}
    if selector := _selector_text(obj):
        scale_status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": {"replicas": replicas} if replicas else {},
        "status": scale_status,
    }


def _scale_with_owners(live: Object) -> Object:
    """The scale as a patch sees it: with the managedFields of whoever set the replica count."""
    shown = _scale_of(live)
    if entries := scale_entries(live["metadata"].get("managedFields") or []):
        shown["metadata"]["managedFields"] = entries
    return shown


def _selector_text(obj: ReadOnlyObject) -> str:
    selector = (obj.get("spec") or {}).get("selector")
    if obj["kind"] == "ReplicationController":
        return str(selector_from_labels(selector))
    return str(selector_from_object(selector))


def _replacement(context: RequestContext, options: WriteOptions) -> Callable[[Object], Object]:
    parsed = parse_body(context, _SCALE)
    decoded = decode_object(parsed.object, definition_schema(_DEFINITION), kind=_KIND, body=parsed.json_text)
    for text in enforce_field_validation(decoded, options.field_validation, kind=_KIND):
        context.warn(text)
    return lambda current: decoded.object


def _patched(context: RequestContext, options: WriteOptions) -> Callable[[Object], Object]:
    schema = definition_schema(_DEFINITION)
    body = read_request_patch(context, options)
    return lambda current: decode_patched(context, options, body, body.apply(current, schema), schema, _SCALE)


def _applied(context: RequestContext, options: WriteOptions) -> Callable[[Object], Object]:
    configuration = read_configuration(context).object
    schema = definition_schema(_DEFINITION)
    writer = FieldWriter(
        manager=options.field_manager,
        api_version=_KIND.api_version,
        subresource="scale",
        time=format_time(context.now),
    )

    def apply(current: Object) -> Object:
        return apply_configuration(current, configuration, schema, writer, kind=_KIND.kind, force=options.is_forced)

    return apply


def _check(context: RequestContext, store: ResourceStore, wanted: Object, live: Object) -> None:
    metadata = wanted.get("metadata") or {}
    name = context.info.name
    if metadata.get("name", "") != name:
        raise bad_request(
            f"the name of the object ({metadata.get('name', '')}) does not match the name on the URL ({name})"
        )
    replicas = _replicas(wanted)
    if replicas < 0:
        error = FieldError.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", name, [error])
    version = metadata.get("resourceVersion")
    if version and version != live["metadata"]["resourceVersion"]:
        raise conflict(store.kind.group, store.kind.plural, name, MODIFIED_DETAIL)
    uid, live_uid = metadata.get("uid"), live["metadata"]["uid"]
    if uid and uid != live_uid:
        detail = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {live_uid}"
        raise conflict(store.kind.group, store.kind.plural, name, detail)


def _replicas(scale: Object) -> int:
    return int((scale.get("spec") or {}).get("replicas") or 0)


def _set_owners(store: ResourceStore, live: Object, wanted: Object, options: WriteOptions, *, is_apply: bool) -> None:
    api_version, entries = store.kind.api_version, live["metadata"].get("managedFields") or []
    if is_apply:
        entries = adopt_scale_entries(entries, wanted["metadata"].get("managedFields") or [], api_version=api_version)
    elif (live.get("spec") or {}).get("replicas", 1) != _replicas(wanted):
        entries = record_scale(entries, manager=options.field_manager, api_version=api_version)
    if entries:
        live["metadata"]["managedFields"] = entries
    else:
        live["metadata"].pop("managedFields", None)
