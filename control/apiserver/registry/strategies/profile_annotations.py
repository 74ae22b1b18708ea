"""Annotations that named seccomp and AppArmor profiles before fields did: their forms, and that both say the same.

Upstream: ValidateSeccompPodAnnotations, ValidateAppArmorPodAnnotations, validateSeccompAnnotationsAndFields and
validateAppArmorAnnotationsAndFieldsMatchOnCreate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control.api.errors import FieldError, quote
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import Errors, descending_path

SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"

Spec = Mapping[str, Any]

_LISTS = ("initContainers", "containers", "ephemeralContainers")
_LOCALHOST = "localhost/"
#: the annotation values that mean what a profile type means
_SECCOMP_VALUES = {"Unconfined": ["unconfined"], "RuntimeDefault": ["runtime/default", "docker/default"]}
_APP_ARMOR_VALUES = {"Unconfined": ["unconfined"], "RuntimeDefault": ["runtime/default"]}


def annotated_profiles(path: str, annotations: Mapping[str, str], spec: Spec) -> Errors:
    """Every annotation names a profile of a known form, AppArmor's an existing container."""
    for key, profile in sorted(annotations.items()):
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            yield from _seccomp_value(f"{path}.{key}", profile)
    names = {container.get("name") or "" for _, container in _containers("", spec)}
    for key, profile in sorted(annotations.items()):
        if not key.startswith(APP_ARMOR_CONTAINER):
            continue
        name = key.removeprefix(APP_ARMOR_CONTAINER)
        if name not in names:
            yield FieldError.invalid(f"{path}[{key}]", name, "container not found")
        if profile not in ("", "runtime/default", "unconfined") and not profile.startswith(_LOCALHOST):
            yield FieldError.invalid(f"{path}[{key}]", profile, f"invalid AppArmor profile name: {quote(profile)}")


def adopt_annotated_profiles(pod: Object) -> None:
    """Write AppArmor's annotations of a new Pod into the fields that took their place in v1.30."""
    spec, annotations = pod["spec"], (pod.get("metadata") or {}).get("annotations") or {}
    if (spec.get("os") or {}).get("name") == "windows":
        return
    whole = (spec.get("securityContext") or {}).get("appArmorProfile")
    for _, container in _containers("", spec):
        profile = app_armor_profile(annotations.get(APP_ARMOR_CONTAINER + (container.get("name") or "")))
        context = container.get("securityContext") or {}
        if profile is not None and context.get("appArmorProfile") is None and profile != whole:
            container["securityContext"] = {**context, "appArmorProfile": profile}


def app_armor_profile(annotation: str | None) -> Object | None:
    """The profile that an annotation names; None where it names none that is valid."""
    for kind, [value] in _APP_ARMOR_VALUES.items():
        if annotation == value:
            return {"type": kind}
    name = (annotation or "").removeprefix(_LOCALHOST)
    if annotation is None or not annotation.startswith(_LOCALHOST) or not name or name != name.strip():
        return None
    return {"type": "Localhost", "localhostProfile": name}


def _seccomp_value(path: str, profile: str) -> Errors:
    if profile.startswith(_LOCALHOST):
        yield from descending_path(path, profile.removeprefix(_LOCALHOST))
    elif profile not in ("runtime/default", "docker/default", "unconfined"):
        yield FieldError.invalid(path, profile, "must be a valid seccomp profile")


def _containers(path: str, spec: Spec) -> Iterator[tuple[str, Any]]:
    for name in _LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            yield f"{path}.{name}[{index}]", container


def matching_profiles(path: str, annotations: Mapping[str, str], spec: Spec) -> Errors:
    """Where an annotation and a field name a profile, they name the same."""
    whole = spec.get("securityContext") or {}
    if SECCOMP_POD in annotations:
        where = f"{path}.securityContext.seccompProfile"
        yield from _same(where, whole.get("seccompProfile"), annotations[SECCOMP_POD], "seccomp", _SECCOMP_VALUES)
    for where, container in _containers(path, spec):
        key = SECCOMP_CONTAINER + (container.get("name") or "")
        if key in annotations:
            profile = (container.get("securityContext") or {}).get("seccompProfile")
            field = f"{where}.securityContext.seccompProfile"
            yield from _same(field, profile, annotations[key], "seccomp", _SECCOMP_VALUES)
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for where, container in _containers(path, spec):
        key = APP_ARMOR_CONTAINER + (container.get("name") or "")
        if key in annotations:
            own = (container.get("securityContext") or {}).get("appArmorProfile")
            profile = own if own is not None else whole.get("appArmorProfile")
            field = f"{where}.securityContext.appArmorProfile"
            yield from _same(field, profile, annotations[key], "apparmor", _APP_ARMOR_VALUES)


def _same(path: str, profile: Spec | None, value: str, system: str, values: Mapping[str, list[str]]) -> Errors:
    if profile is None:
        return
    kind = profile.get("type") or ""
    if kind in values:
        if value not in values[kind]:
            yield FieldError.forbidden(f"{path}.type", f"{system} type in annotation and field must match")
    elif kind == "Localhost":
        if not value.startswith(_LOCALHOST):
            yield FieldError.forbidden(f"{path}.type", f"{system} type in annotation and field must match")
        elif profile.get("localhostProfile") != value.removeprefix(_LOCALHOST):
            detail = f"{system} profile in annotation and field must match"
            yield FieldError.forbidden(f"{path}.localhostProfile", detail)
