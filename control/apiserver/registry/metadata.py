"""The rules of ObjectMeta, the same for every kind: what the server sets, keeps and refuses.

Used by `resource_store.py` around a kind's strategy. Texts and order are those of upstream's BeforeCreate and
BeforeUpdate (k8s.io/apiserver/pkg/registry/rest) and apimachinery/pkg/api/validation/objectmeta.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from control.api.errors import FieldError, bad_request, quote
from control.api.kinds import Kind
from control.api.names import (
    ANNOTATIONS_BYTES_MAX,
    annotations_size,
    dns1123_label_errors,
    finalizer_errors,
    label_value_errors,
    path_segment_name_errors,
    qualified_name_errors,
)
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time
from control.apiserver.options import parse_unsigned
from control.apiserver.patch.manager_names import managed_fields_errors
from control.apiserver.registry.strategy import Strategy

_SERVER_FIELDS = ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_IMMUTABLE_FIELDS = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def metadata_of(obj: Object) -> Object:
    """Return the metadata of an object, made if absent."""
    metadata: Object | None = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    return metadata


def set_request_namespace(kind: Kind, obj: Object, namespace: str) -> None:
    """Put the namespace of the URL into an object. Raises BadRequest if it names another."""
    metadata = metadata_of(obj)
    if not kind.namespaced:
        metadata.pop("namespace", None)
        return
    given = metadata.get("namespace")
    if not given:
        metadata["namespace"] = namespace
    elif given != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def check_name_parameter(name: str) -> None:
    """Refuse a name of the URL that no key can be made of."""
    if errors := path_segment_name_errors(name):
        raise bad_request(f"Name parameter invalid: {quote(name)}: {';'.join(errors)}")


def check_request_name(obj: Object, name: str) -> None:
    """Refuse a body whose name is not that of the URL."""
    given = metadata_of(obj).get("name")
    if not given:
        raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def given_revision(obj: ReadOnlyObject) -> int:
    """The resourceVersion a client gave; 0 if it gave none. Raises ValueError if it is no number."""
    return parse_unsigned(obj["metadata"].get("resourceVersion") or "0")


def wipe_server_fields(obj: Object) -> None:
    """Forget what only the server may say of a new object."""
    metadata = metadata_of(obj)
    for field in _SERVER_FIELDS:
        metadata.pop(field, None)


def fill_server_fields(obj: Object, *, uid: str, now: datetime) -> None:
    """Set uid and creation time of a new object."""
    metadata = metadata_of(obj)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = format_time(now)


def keep_server_fields(obj: Object, old: ReadOnlyObject) -> None:
    """Before an update: the server's fields stay what they were unless the client contradicts them knowingly.

    A missing uid is filled, another one is left for validation to refuse; times and generation are always restored.
    """
    metadata, old_metadata = metadata_of(obj), old["metadata"]
    metadata.pop("selfLink", None)
    if not metadata.get("uid"):
        metadata["uid"] = old_metadata["uid"]
    for field in ("generation", "creationTimestamp"):
        _restore(metadata, old_metadata, field)
    if "deletionTimestamp" in old_metadata:
        metadata["deletionTimestamp"] = old_metadata["deletionTimestamp"]
    if "deletionGracePeriodSeconds" in old_metadata and metadata.get("deletionGracePeriodSeconds") is None:
        metadata["deletionGracePeriodSeconds"] = old_metadata["deletionGracePeriodSeconds"]


def keep_metadata(obj: Object, old: ReadOnlyObject, fields: Sequence[str]) -> None:
    """Undo what an update changed of some fields of the metadata."""
    for field in fields:
        _restore(metadata_of(obj), old["metadata"], field)


def _restore(metadata: Object, old_metadata: Mapping[str, Any], field: str) -> None:
    if field in old_metadata:
        metadata[field] = old_metadata[field]
    else:
        metadata.pop(field, None)


def drop_repeated_owners(obj: Object, *, after_admission: bool = False) -> list[str]:
    """Keep one of every group of equal ownerReferences; returns the warning that this calls for, if any."""
    references = metadata_of(obj).get("ownerReferences") or []
    kept: list[Object] = []
    repeated = []
    for reference in references:
        if reference in kept:
            repeated.append(reference.get("uid") or "")
        else:
            kept.append(reference)
    if not repeated:
        return []
    obj["metadata"]["ownerReferences"] = kept
    moment = " after mutating admission happens" if after_admission else ""
    return [
        f".metadata.ownerReferences contains duplicate entries{moment}; API server dedups owner references in 1.20+,"
        " and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
        + ", ".join(repeated)
    ]


def validate_new_metadata(kind: Kind, strategy: Strategy, obj: ReadOnlyObject) -> list[FieldError]:
    """Judge the metadata of a new object."""
    metadata = obj["metadata"]
    errors: list[FieldError] = []
    if generate_name := metadata.get("generateName"):
        masked = generate_name[:-1] + "a" if generate_name.endswith("-") and len(generate_name) > 1 else generate_name
        errors += [
            FieldError.invalid("metadata.generateName", generate_name, text) for text in strategy.name_errors(masked)
        ]
    if name := metadata.get("name"):
        errors += [FieldError.invalid("metadata.name", name, text) for text in strategy.name_errors(name)]
    else:
        errors.append(FieldError.required("metadata.name", "name or generateName is required"))
    errors += _namespace_errors(kind, metadata)
    errors += _generation_errors(metadata)
    errors += _label_errors(metadata) + _annotation_errors(metadata)
    return errors + _owner_errors(metadata.get("ownerReferences") or ()) + _finalizer_and_manager_errors(metadata)


def validate_changed_metadata(kind: Kind, obj: ReadOnlyObject, old: ReadOnlyObject) -> list[FieldError]:
    """Judge the metadata of an update. Every update rule is reported twice, as upstream's two callers do."""
    metadata, old_metadata = obj["metadata"], old["metadata"]
    errors: list[FieldError] = []
    name = metadata.get("name") or ""
    errors += [FieldError.invalid("metadata.name", name, text) for text in path_segment_name_errors(name)]
    errors += _namespace_errors(kind, metadata) + _generation_errors(metadata)
    maps = _label_errors(metadata) + _annotation_errors(metadata)
    owners = _owner_errors(metadata.get("ownerReferences") or ())
    errors += maps + owners + _finalizer_and_manager_errors(metadata)
    changes = _update_errors(metadata, old_metadata) + maps + owners
    return errors + changes + changes


def _update_errors(metadata: Mapping[str, Any], old_metadata: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    if old_metadata.get("deletionTimestamp"):
        errors += _new_finalizer_errors(metadata.get("finalizers") or (), old_metadata.get("finalizers") or ())
    for field in _IMMUTABLE_FIELDS:
        value, old_value = metadata.get(field), old_metadata.get(field)
        if value != old_value and not (value in (None, "") and old_value in (None, "")):
            errors.append(FieldError.invalid(f"metadata.{field}", value, "field is immutable"))
    return errors


def _new_finalizer_errors(finalizers: Sequence[str], old_finalizers: Sequence[str]) -> list[FieldError]:
    added = sorted(set(finalizers) - set(old_finalizers))
    if not added:
        return []
    listing = ", ".join(f'"{item}"' for item in added)
    detail = (
        f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listing}}}"
    )
    return [FieldError.forbidden("metadata.finalizers", detail)]


def _namespace_errors(kind: Kind, metadata: Mapping[str, Any]) -> list[FieldError]:
    namespace = metadata.get("namespace") or ""
    if kind.namespaced:
        if not namespace:
            return [FieldError.required("metadata.namespace")]
        return [FieldError.invalid("metadata.namespace", namespace, text) for text in dns1123_label_errors(namespace)]
    return [FieldError.forbidden("metadata.namespace", "not allowed on this type")] if namespace else []


def _generation_errors(metadata: Mapping[str, Any]) -> list[FieldError]:
    generation = metadata.get("generation") or 0
    if generation >= 0:
        return []
    return [FieldError.invalid("metadata.generation", generation, "must be greater than or equal to 0")]


def _label_errors(metadata: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, value in sorted((metadata.get("labels") or {}).items()):
        errors += [FieldError.invalid("metadata.labels", key, text) for text in qualified_name_errors(key)]
        errors += [FieldError.invalid("metadata.labels", value, text) for text in label_value_errors(value or "")]
    return errors


def _annotation_errors(metadata: Mapping[str, Any]) -> list[FieldError]:
    annotations = metadata.get("annotations")
    if not annotations:
        return []
    errors: list[FieldError] = []
    for key in sorted(annotations):
        errors += [FieldError.invalid("metadata.annotations", key, text) for text in qualified_name_errors(key.lower())]
    if annotations_size(annotations) > ANNOTATIONS_BYTES_MAX:
        errors.append(FieldError.too_long("metadata.annotations", ANNOTATIONS_BYTES_MAX))
    return errors


def _finalizer_and_manager_errors(metadata: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    for finalizer in metadata.get("finalizers") or ():
        errors += [FieldError.invalid("metadata.finalizers", finalizer, text) for text in finalizer_errors(finalizer)]
    return errors + managed_fields_errors("metadata.managedFields", metadata.get("managedFields") or ())


def _owner_errors(references: Sequence[Mapping[str, Any]]) -> list[FieldError]:
    errors: list[FieldError] = []
    controller: Mapping[str, Any] | None = None
    for reference in references:
        errors += _owner_reference_errors(reference)
        if reference.get("controller"):
            if controller is not None:
                found = f"{_owner_text(controller)} and {_owner_text(reference)}"
                detail = f'Only one reference can have Controller set to true. Found "true" in references for {found}'
                errors.append(FieldError.invalid("metadata.ownerReferences", list(references), detail))
            else:
                controller = reference
    return errors


def _owner_text(reference: Mapping[str, Any]) -> str:
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _owner_reference_errors(reference: Mapping[str, Any]) -> list[FieldError]:
    field = "metadata.ownerReferences"
    api_version = reference.get("apiVersion") or ""
    errors = []
    if not api_version.rpartition("/")[2]:
        errors.append(FieldError.invalid(f"{field}.apiVersion", api_version, "version must not be empty"))
    errors += [
        FieldError.invalid(f"{field}.{name}", "", "must not be empty")
        for name in ("kind", "name", "uid")
        if not reference.get(name)
    ]
    if reference.get("kind") == "Event" and api_version in ("v1", "events.k8s.io/v1"):
        group, _, version = api_version.rpartition("/")
        detail = f"{group}/{version}, Kind=Event is disallowed from being an owner"
        errors.append(FieldError.invalid(field, dict(reference), detail))
    return errors
