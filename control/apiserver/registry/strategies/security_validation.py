"""Rules of security contexts of Pods and containers (upstream: ValidateSecurityContext and its Pod counterpart)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from control.api import names
from control.api.errors import FieldError
from control.api.sysctls import IPC_NAMESPACE, NET_NAMESPACE, namespace_of
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    descending_path,
    one_of,
    required_one_of,
)
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.windows_validation import windows_options

_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL_FORMAT = f"({_SYSCTL_SEGMENT}[\\./])*{_SYSCTL_SEGMENT}"
_SYSCTL = re.compile(_SYSCTL_FORMAT)
_SYSCTL_LENGTH_MAX = 253
_PROFILE_PATH_MAX = 4095
_WINDOWS = "cannot be set for a windows pod"


def container_security(path: str, context: Mapping[str, Any] | None, host_users: bool) -> Errors:
    """A container's securityContext."""
    if context is None:
        return
    yield from _user_and_group(path, context)
    proc_mount = context.get("procMount")
    if proc_mount is not None:
        yield from one_of(f"{path}.procMount", proc_mount, ("Default", "Unmasked"))
        if host_users and proc_mount == "Unmasked":
            yield FieldError.invalid(f"{path}.procMount", proc_mount, "`hostUsers` must be false to use `Unmasked`")
    yield from _seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        shown = internal_form("SecurityContext", context)
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield FieldError.invalid(path, shown, detail)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield FieldError.invalid(path, shown, detail)
    yield from windows_options(f"{path}.windowsOptions", context.get("windowsOptions"))
    yield from _app_armor(f"{path}.appArmorProfile", context.get("appArmorProfile"))


def _user_and_group(path: str, context: Mapping[str, Any]) -> Errors:
    for name in ("runAsUser", "runAsGroup"):
        if context.get(name) is not None:
            yield from _id(f"{path}.{name}", context[name])


def _id(path: str, value: int) -> Errors:
    for message in names.user_id_errors(value):
        yield FieldError.invalid(path, value, message)


def pod_security(path: str, context: Mapping[str, Any], spec: Mapping[str, Any]) -> Errors:
    """A Pod's securityContext."""
    if context.get("fsGroup") is not None:
        yield from _id(f"{path}.fsGroup", context["fsGroup"])
    yield from _user_and_group(path, context)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _id(f"{path}.supplementalGroups[{index}]", group)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield FieldError.invalid(f"{path}.shareProcessNamespace", True, detail)
    yield from _sysctls(f"{path}.sysctls", context, spec)
    if context.get("fsGroupChangePolicy") is not None:
        yield from one_of(f"{path}.fsGroupChangePolicy", context["fsGroupChangePolicy"], ("Always", "OnRootMismatch"))
    yield from _seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    yield from windows_options(f"{path}.windowsOptions", context.get("windowsOptions"))
    yield from _app_armor(f"{path}.appArmorProfile", context.get("appArmorProfile"))
    for name, supported in (
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("MountOption", "Recursive")),
    ):
        if context.get(name) is not None:
            yield from one_of(f"{path}.{name}", context[name], supported)


def _sysctls(path: str, context: Mapping[str, Any], spec: Mapping[str, Any]) -> Errors:
    seen: set[str] = set()
    for index, sysctl in enumerate(context.get("sysctls") or ()):
        field, name = f"{path}[{index}].name", sysctl.get("name", "")
        if not name:
            yield FieldError.required(field)
        elif len(name) > _SYSCTL_LENGTH_MAX or not _SYSCTL.fullmatch(name):
            detail = f"must have at most {_SYSCTL_LENGTH_MAX} characters and match regex ^{_SYSCTL_FORMAT}$"
            yield FieldError.invalid(field, name, detail)
        elif name in seen:
            yield FieldError.duplicate(field, name)
        namespace = namespace_of(name)
        if spec.get("hostNetwork") and namespace == NET_NAMESPACE:
            yield FieldError.invalid(field, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and namespace == IPC_NAMESPACE:
            yield FieldError.invalid(field, name, "may not be specified when 'hostIPC' is true")
        seen.add(name)


_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")


def _seccomp(path: str, profile: Mapping[str, Any] | None) -> Errors:
    if profile is None:
        return
    local = profile.get("localhostProfile")
    if not profile.get("type"):
        yield FieldError.required(f"{path}.type", "type is required when seccompProfile is set")
    else:
        yield from one_of(f"{path}.type", profile["type"], _PROFILE_TYPES)
    if profile.get("type") == "Localhost":
        if local is None:
            yield FieldError.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            yield from descending_path(f"{path}.localhostProfile", local)
    elif local is not None:
        shown = internal_form("SeccompProfile", profile)
        detail = "can only be set when seccomp type is Localhost"
        yield FieldError.invalid(f"{path}.localhostProfile", shown, detail)


def _app_armor(path: str, profile: Mapping[str, Any] | None) -> Errors:
    if profile is None:
        return
    kind, local, field = profile.get("type"), profile.get("localhostProfile"), f"{path}.localhostProfile"
    if kind == "Localhost":
        if local is None:
            yield FieldError.required(field, "must be set when AppArmor type is Localhost")
            return
        if local != local.strip():
            yield FieldError.invalid(field, local, "must not be padded with whitespace")
        elif not local:
            yield FieldError.required(field, "must be set when AppArmor type is Localhost")
        if len(local) > _PROFILE_PATH_MAX:
            yield FieldError.too_long(field, _PROFILE_PATH_MAX)
    elif kind in ("RuntimeDefault", "Unconfined"):
        if local is not None:
            yield FieldError.invalid(field, local, "can only be set when AppArmor type is Localhost")
    elif not kind:
        yield FieldError.required(f"{path}.type", "type is required when appArmorProfile is set")
    else:
        yield from one_of(f"{path}.type", kind, _PROFILE_TYPES)


def host_users(path: str, spec: Mapping[str, Any]) -> Errors:
    """A Pod with a user namespace of its own shares no other namespace with the host."""
    if spec.get("hostUsers") is False:
        for field, name in (("hostNetwork", "hostNetwork"), ("HostPID", "hostPID"), ("HostIPC", "hostIPC")):
            if spec.get(name):
                yield FieldError.forbidden(f"{path}.{field}", "when `hostUsers` is false")
        for name in ("initContainers", "containers", "ephemeralContainers"):
            for index, container in enumerate(spec.get(name) or ()):
                if container.get("volumeDevices"):
                    yield FieldError.forbidden(f"{path}.{name}[{index}].volumeDevices", "when `hostUsers` is false")


def operating_system(path: str, spec: Mapping[str, Any]) -> Errors:
    """`spec.os` and what the other operating system's fields may not say."""
    system = spec.get("os")
    if system is None:
        return
    name = system.get("name", "")
    if not name:
        yield FieldError.required(f"{path}.os.name")
    elif name not in ("linux", "windows"):
        yield from required_one_of(f"{path}.os", name, ("linux", "windows"))
    elif name == "linux":
        yield from _linux_fields(path, spec)
    else:
        yield from _windows_fields(path, spec)


def _contexts(path: str, spec: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (f"{path}.{name}[{index}].securityContext", container["securityContext"])
        for name in ("initContainers", "containers", "ephemeralContainers")
        for index, container in enumerate(spec.get(name) or ())
        if container.get("securityContext") is not None
    ]


def _linux_fields(path: str, spec: Mapping[str, Any]) -> Errors:
    own = (f"{path}.securityContext", spec.get("securityContext") or {})
    for where, context in (own, *_contexts(path, spec)):
        if context.get("windowsOptions") is not None:
            yield FieldError.forbidden(f"{where}.windowsOptions", "windows options cannot be set for a linux pod")


_POD_LINUX_FIELDS = (
    ("securityContext", "appArmorProfile"),
    ("securityContext", "seLinuxOptions"),
    ("", "hostUsers"),
    ("", "hostPID"),
    ("", "hostIPC"),
    ("securityContext", "seccompProfile"),
    ("securityContext", "fsGroup"),
    ("securityContext", "fsGroupChangePolicy"),
    ("securityContext", "sysctls"),
    ("", "shareProcessNamespace"),
    ("securityContext", "runAsUser"),
    ("securityContext", "runAsGroup"),
    ("securityContext", "supplementalGroups"),
    ("securityContext", "supplementalGroupsPolicy"),
    ("securityContext", "seLinuxChangePolicy"),
)
_CONTAINER_LINUX_FIELDS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def _windows_fields(path: str, spec: Mapping[str, Any]) -> Errors:
    for parent, name in _POD_LINUX_FIELDS:
        value = (spec.get(parent) or {}).get(name) if parent else spec.get(name)
        if value is not None and not (name in ("hostPID", "hostIPC", "sysctls") and not value):
            yield FieldError.forbidden(f"{path}.{parent}.{name}" if parent else f"{path}.{name}", _WINDOWS)
    for where, context in _contexts(path, spec):
        for name in _CONTAINER_LINUX_FIELDS:
            if context.get(name) is not None:
                yield FieldError.forbidden(f"{where}.{name}", _WINDOWS)


def windows_host_process(path: str, spec: Mapping[str, Any]) -> Errors:
    """HostProcess containers come all or none, and only with the host's network."""
    options = (spec.get("securityContext") or {}).get("windowsOptions") or {}
    whole = options.get("hostProcess")
    wanted: list[bool] = []
    for name in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(name) or ()):
            own = ((container.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
            if whole is not None and own is not None and own != whole:
                shown = "true" if whole else "false"
                detail = f"pod hostProcess value must be identical if both are specified, was {shown}"
                where = f"{path}.{name}[{index}].securityContext.windowsOptions.hostProcess"
                yield FieldError.invalid(where, own, detail)
            wanted.append(bool(whole if own is None else own))
    if any(wanted):
        if not all(wanted):
            detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
            yield FieldError.invalid(path, "", detail)
        if not spec.get("hostNetwork"):
            detail = "hostNetwork must be true if pod contains any hostProcess containers"
            yield FieldError.invalid(f"{path}.hostNetwork", False, detail)
