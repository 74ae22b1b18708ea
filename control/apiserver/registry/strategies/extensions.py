"""Strategies of CustomResourceDefinitions, APIServices and ControllerRevisions."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.api.names import dns1035_label_errors, dns1123_subdomain_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    Errors,
    dns_subdomain,
    judged,
    nonnegative,
    one_of,
)
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import OWN_METADATA, Strategy, WriteContext

Item = Mapping[str, Any]

_APPROVAL_ANNOTATION = "api-approved.kubernetes.io"
_APPROVAL_LINK = "https://github.com/kubernetes/enhancements/pull/1111"


class CustomResourceDefinitionStrategy(StatusStrategy):
    """Upstream: k8s.io/apiextensions-apiserver/pkg/{apis,registry}."""

    allow_unconditional_update = False

    def default(self, obj: Object) -> None:
        """Names follow from the kind; there is no conversion unless told."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        names = spec.setdefault("names", {})
        kind = names.get("kind") or ""
        if not names.get("singular") and kind:
            names["singular"] = kind.lower()
        if not names.get("listKind") and kind:
            names["listKind"] = f"{kind}List"
        if spec.get("conversion") is None:
            spec["conversion"] = {"strategy": "None"}
        service = ((spec["conversion"].get("webhook") or {}).get("clientConfig") or {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """Names are accepted by a controller; the storage version is stored from the first object on."""
        stored = [item.get("name") for item in obj["spec"].get("versions") or () if item.get("storage")]
        obj["status"] = {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": stored[:1] or None,
        }

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """Keep the status; a new storage version joins the stored ones."""
        super().prepare_for_update(context, obj, old)
        status = obj["status"] = {**obj["status"]}
        stored = list(status.get("storedVersions") or [])
        for item in obj["spec"].get("versions") or ():
            if item.get("storage") and item.get("name") not in stored:
                status["storedVersions"] = [*stored, item["name"]]

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a definition."""
        return list(_definition(obj))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: what addresses objects is fixed once the names were accepted."""
        errors = self.validate(context, obj)
        conditions = (old.get("status") or {}).get("conditions") or ()
        is_established = any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
        fixed = (("scope",), ("group",), ("names", "kind"), ("names", "plural")) if is_established else (("group",),)
        for path in fixed:
            value, previous = obj["spec"], old["spec"]
            for name in path:
                value, previous = value.get(name), previous.get(name)
            if value != previous:
                errors.append(FieldError.invalid(f"spec.{'.'.join(path)}", value, IMMUTABLE))
        return errors


def _definition(obj: Object) -> Errors:
    spec, name = obj["spec"], obj["metadata"].get("name") or ""
    names, group = spec.get("names") or {}, spec.get("group") or ""
    versions = spec.get("versions") or ()
    if name != f"{names.get('plural') or ''}.{group}":
        yield FieldError.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    yield from _approval(obj, group)
    if not group:
        yield FieldError.required("spec.group")
    else:
        yield from judged("spec.group", group, dns1123_subdomain_errors)
        if len(group.split(".")) < 2:
            yield FieldError.invalid("spec.group", group, "should be a domain with at least one dot")
    if not spec.get("scope"):
        yield FieldError.required("spec.scope")
    else:
        yield from one_of("spec.scope", spec["scope"], ("Cluster", "Namespaced"))
    yield from _versions(versions)
    yield from _names("spec.names", names)
    yield from _stored_versions(obj, versions)


def _approval(obj: Object, group: str) -> Errors:
    if not any(group == domain or group.endswith(f".{domain}") for domain in ("k8s.io", "kubernetes.io")):
        return
    path = f"metadata.annotations[{_APPROVAL_ANNOTATION}]"
    value = (obj["metadata"].get("annotations") or {}).get(_APPROVAL_ANNOTATION, "")
    if not value:
        detail = f'protected groups must have approval annotation "{_APPROVAL_ANNOTATION}", see '
        yield FieldError.required(path, detail + _APPROVAL_LINK)
    elif not value.startswith(("unapproved", "https://", "http://")):
        detail = f'protected groups must have approval annotation "{_APPROVAL_ANNOTATION}" with either a URL or a '
        yield FieldError.invalid(path, value, f'{detail}reason starting with "unapproved", see {_APPROVAL_LINK}')


def _versions(versions: Sequence[Item]) -> Errors:
    stored = 0
    seen: set[str] = set()
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        stored += bool(version.get("storage"))
        if name in seen:
            detail = "must contain unique version names"
            yield FieldError.invalid("spec.versions", _shown_versions(versions), detail)
        seen.add(name)
        yield from judged(f"{path}.name", name, dns1035_label_errors)
        if (version.get("schema") or {}).get("openAPIV3Schema") is None and stored < 2:
            yield FieldError.required(f"{path}.schema.openAPIV3Schema")
    if stored != 1:
        detail = "must have exactly one version marked as storage version"
        yield FieldError.invalid("spec.versions", _shown_versions(versions), detail)


def _shown_versions(versions: Sequence[Item]) -> list[dict[str, Any]]:
    shown = [internal_form("CustomResourceDefinitionVersion", version) for version in versions]
    schemas = [item.get("Schema") for item in shown]
    # The internal type keeps one schema for all versions where they are equal.
    if all(schema == schemas[0] for schema in schemas):
        for item in shown:
            item["Schema"] = None
    return shown


def _names(path: str, names: Item) -> Errors:
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field) or ""
        if not value:
            if field in ("plural", "kind"):
                yield FieldError.required(f"{path}.{field}")
        elif field in ("plural", "singular"):
            yield from judged(f"{path}.{field}", value, dns1035_label_errors)
        else:
            for message in dns1035_label_errors(value.lower()):
                detail = f"may have mixed case, but should otherwise match: {message}"
                yield FieldError.invalid(f"{path}.{field}", value, detail)
    for field in ("shortNames", "categories"):
        for index, value in enumerate(names.get(field) or ()):
            yield from judged(f"{path}.{field}[{index}]", value, dns1035_label_errors)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield FieldError.invalid(f"{path}.listKind", names["listKind"], "kind and listKind may not be the same")


def _stored_versions(obj: Object, versions: Sequence[Item]) -> Errors:
    stored = (obj.get("status") or {}).get("storedVersions") or []
    if not stored:
        yield FieldError.invalid("status.storedVersions", None, "must have at least one stored version")
        return
    storage = [item.get("name") for item in versions if item.get("storage")]
    for name in storage:
        if name not in stored:
            yield FieldError.invalid("status.storedVersions", stored, f"must have the storage version {name}")
    known = {item.get("name") for item in versions}
    for index, name in enumerate(stored):
        if name not in known:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                "spec.versions until a storage migration ensures no data remains persisted in this version and "
                "removes it from status.storedVersions"
            )
            yield FieldError.invalid(f"status.storedVersions[{index}]", name, detail)


class ApiServiceStrategy(StatusStrategy):
    """Upstream: k8s.io/kube-aggregator/pkg/apis/apiregistration."""

    has_generation = False
    allow_unconditional_update = False
    kept_by_status = OWN_METADATA

    def default(self, obj: Object) -> None:
        """The Service is asked on port 443 unless told."""
        super().default(obj)
        service = obj.setdefault("spec", {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge name, version and priorities."""
        return list(_api_service(obj))

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the conditions."""
        return [
            error
            for index, condition in enumerate((obj.get("status") or {}).get("conditions") or ())
            for error in one_of(
                f"status.conditions[{index}].status", condition.get("status") or "", ("True", "False", "Unknown")
            )
        ]


def _api_service(obj: Object) -> Errors:
    spec, name = obj["spec"], obj["metadata"].get("name") or ""
    version, group = spec.get("version") or "", spec.get("group") or ""
    required = f"{version}.{group}"
    if name != required:
        yield FieldError.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{required}"')
    if group:
        yield from dns_subdomain("spec.group", group)
    elif version != "v1":
        yield FieldError.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    yield from judged("spec.version", version, dns1035_label_errors)
    for field, maximum in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        priority = spec.get(field) or 0
        if not 0 < priority <= maximum:
            yield FieldError.invalid(f"spec.{field}", priority, f"must be positive and less than {maximum}")
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            size = f"{len(b64decode(spec['caBundle']))} bytes"
            yield FieldError.invalid("spec.caBundle", size, "local APIServices may not have a caBundle")
        if spec.get("insecureSkipTLSVerify"):
            detail = "local APIServices may not have insecureSkipTLSVerify"
            yield FieldError.invalid("spec.insecureSkipTLSVerify", True, detail)
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            yield FieldError.required(f"spec.service.{field}")
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        detail = "may not be true if caBundle is present"
        yield FieldError.invalid("spec.insecureSkipTLSVerify", True, detail)


class ControllerRevisionStrategy(Strategy):
    """Upstream: pkg/apis/apps/validation. The data of a revision is fixed."""

    has_generation = False

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """A revision has data and counts up from 0."""
        errors = [] if obj.get("data") is not None else [FieldError.required("data", "data is mandatory")]
        return errors + list(nonnegative("revision", obj.get("revision")))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change."""
        errors = self.validate(context, obj)
        if obj.get("data") != old.get("data"):
            errors.append(FieldError.invalid("data", obj.get("data"), IMMUTABLE))
        return errors
