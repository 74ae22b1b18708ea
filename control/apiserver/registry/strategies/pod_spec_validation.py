"""Rules of a Pod spec, in Pods and in templates, in upstream's order (upstream: ValidatePodSpec)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api import names
from control.api.errors import FieldError
from control.apiserver.registry.strategies.container_validation import (
    PodFacts,
    containers,
    ephemeral_containers,
    init_containers,
)
from control.apiserver.registry.strategies.field_rules import (
    INT32_MAX,
    Errors,
    annotation_keys,
    dns_label,
    dns_subdomain,
    in_range,
    ip_address,
    judged,
    label_values,
    qualified_name,
    required_one_of,
)
from control.apiserver.registry.strategies.pod_resource_validation import pod_level_resources
from control.apiserver.registry.strategies.profile_annotations import annotated_profiles, matching_profiles
from control.apiserver.registry.strategies.resource_lists import requirements
from control.apiserver.registry.strategies.scheduling_validation import (
    affinity,
    scheduling_gates,
    spread_constraints,
    tolerations,
)
from control.apiserver.registry.strategies.security_validation import (
    host_users,
    operating_system,
    pod_security,
    windows_host_process,
)
from control.apiserver.registry.strategies.volume_validation import volumes

Spec = Mapping[str, Any]

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
DELETION_COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"

_HOSTNAME_MAX = 64
_NAMESERVERS_MAX = 3
_SEARCH_PATHS_MAX = 32
_SEARCH_CHARACTERS_MAX = 2048


def pod_spec(path: str, spec: Spec, *, is_pod: bool, pod_name: str = "", is_static: bool = False) -> Errors:
    """A Pod spec. `pod_name` lets ephemeral volumes be judged by the claims they will make."""
    if spec.get("terminationGracePeriodSeconds") is None:
        yield FieldError.required(f"{path}.terminationGracePeriodSeconds")
    found, broken = volumes(f"{path}.volumes", spec.get("volumes") or (), pod_name, is_pod=is_pod)
    yield from broken
    claims = spec.get("resourceClaims") or ()
    facts = PodFacts(
        volumes=found,
        claim_names=frozenset(claim["name"] for claim in claims if claim.get("name")),
        grace_seconds=spec.get("terminationGracePeriodSeconds"),
        restart_policy=spec.get("restartPolicy") or "",
        host_users=spec.get("hostUsers") is not False,
    )
    main = spec.get("containers") or ()
    yield from _resource_claims(f"{path}.resourceClaims", claims, is_static=is_static)
    yield from containers(f"{path}.containers", main, facts)
    yield from init_containers(f"{path}.initContainers", spec.get("initContainers") or (), main, facts)
    yield from ephemeral_containers(f"{path}.ephemeralContainers", spec, facts)
    yield from pod_level_resources(f"{path}.resources", spec)
    yield from _host_network_ports(f"{path}.containers", spec, is_pod=is_pod)
    yield from _behaviour(path, spec)
    yield from _placement(path, spec)
    yield from _identity(path, spec)
    if spec.get("overhead") is not None:
        yield from requirements(f"{path}.overhead", {"limits": spec["overhead"]}, frozenset())
    yield from operating_system(path, spec)
    yield from _file_key_volumes(path, spec)


def _behaviour(path: str, spec: Spec) -> Errors:
    yield from required_one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never"))
    policies = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
    yield from required_one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), policies)
    yield from label_values(f"{path}.nodeSelector", spec.get("nodeSelector"))
    if spec.get("securityContext") is not None:
        yield from pod_security(f"{path}.securityContext", spec["securityContext"], spec)


def _placement(path: str, spec: Spec) -> Errors:
    yield from affinity(f"{path}.affinity", spec.get("affinity"))
    yield from _dns_config(f"{path}.dnsConfig", spec.get("dnsConfig"), spec.get("dnsPolicy"))
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        yield from qualified_name(f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType", ""))
    yield from scheduling_gates(f"{path}.schedulingGates", spec.get("schedulingGates") or ())
    yield from spread_constraints(f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or ())
    yield from windows_host_process(path, spec)
    yield from host_users(path, spec)
    yield from _hostname_override(f"{path}.hostnameOverride", spec)


def _hostname_override(path: str, spec: Spec) -> Errors:
    name = spec.get("hostnameOverride")
    if name is None:
        return
    for field in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(field):
            yield FieldError.forbidden(path, f"may not be specified when {field} is true")
    if len(name.encode()) > _HOSTNAME_MAX:
        yield FieldError.too_long(path, _HOSTNAME_MAX)
    yield from dns_subdomain(path, name)


def _file_key_volumes(path: str, spec: Spec) -> Errors:
    sources = {volume.get("name") or "": volume for volume in spec.get("volumes") or ()}
    for name in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(name) or ()):
            for env_index, variable in enumerate(container.get("env") or ()):
                reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
                if reference is None:
                    continue
                where = f"{path}.{name}[{index}].env[{env_index}].valueFrom.fileKeyRef.volumeName"
                volume = reference.get("volumeName") or ""
                if volume not in sources:
                    yield FieldError.not_found(where, volume)
                elif sources[volume].get("emptyDir") is None:
                    yield FieldError.invalid(where, volume, "referenced volume must be of type emptyDir")


def _identity(path: str, spec: Spec) -> Errors:
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            yield from dns_subdomain(f"{path}.{field}", spec[field])
    if spec.get("activeDeadlineSeconds") is not None:
        yield from in_range(f"{path}.activeDeadlineSeconds", spec["activeDeadlineSeconds"], 1, INT32_MAX)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            yield from dns_label(f"{path}.{field}", spec[field])
    yield from tolerations(f"{path}.tolerations", spec.get("tolerations") or ())
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from ip_address(f"{path}.hostAliases[{index}].ip", alias.get("ip") or "")
        for name_index, name in enumerate(alias.get("hostnames") or ()):
            yield from dns_subdomain(f"{path}.hostAliases[{index}].hostnames[{name_index}]", name)
    if spec.get("priorityClassName"):
        yield from dns_subdomain(f"{path}.priorityClassName", spec["priorityClassName"])
    if spec.get("runtimeClassName") is not None:
        yield from dns_subdomain(f"{path}.runtimeClassName", spec["runtimeClassName"])
    if spec.get("preemptionPolicy") is not None:
        supported = ("PreemptLowerPriority", "Never")
        yield from required_one_of(f"{path}.preemptionPolicy", spec["preemptionPolicy"], supported)


def _resource_claims(path: str, claims: Any, *, is_static: bool) -> Errors:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        if is_static:
            yield FieldError.forbidden("[]", "static pods do not support resource claims")
            continue
        item, name = f"{path}[{index}]", claim.get("name", "")
        if not name:
            yield FieldError.required(f"{item}.name")
        elif name in seen:
            yield FieldError.duplicate(f"{item}.name", name)
        else:
            yield from dns_label(f"{item}.name", name)
        seen.add(name)
        sources = ("resourceClaimName", "resourceClaimTemplateName")
        given = [field for field in sources if claim.get(field) is not None]
        shown = {
            "Name": name,
            "ResourceClaimName": claim.get(sources[0]),
            "ResourceClaimTemplateName": claim.get(sources[1]),
        }
        if len(given) > 1:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield FieldError.invalid(item, shown, detail)
        if not given:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield FieldError.invalid(item, shown, detail)
        for field in given:
            yield from dns_subdomain(f"{item}.{field}", claim[field])


def _host_network_ports(path: str, spec: Spec, *, is_pod: bool) -> Errors:
    if not spec.get("hostNetwork"):
        return
    for index, container in enumerate(spec.get("containers") or ()):
        for port_index, port in enumerate(container.get("ports") or ()):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or host) and host != own:
                detail = "must match `containerPort` when `hostNetwork` is true"
                yield FieldError.invalid(f"{path}[{index}].ports[{port_index}].hostPort", host, detail)


def _dns_config(path: str, config: Spec | None, policy: str | None) -> Errors:
    if policy == "None":
        if config is None:
            yield FieldError.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield FieldError.required(f"{path}.nameservers", detail)
            return
    if config is None:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _NAMESERVERS_MAX:
        detail = f"must not have more than {_NAMESERVERS_MAX} nameservers"
        yield FieldError.invalid(f"{path}.nameservers", servers, detail)
    for index, server in enumerate(servers):
        yield from ip_address(f"{path}.nameservers[{index}]", server)
    if len(searches) > _SEARCH_PATHS_MAX:
        detail = f"must not have more than {_SEARCH_PATHS_MAX} search paths"
        yield FieldError.invalid(f"{path}.searches", searches, detail)
    if len(" ".join(searches)) > _SEARCH_CHARACTERS_MAX:
        detail = f"must not have more than {_SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        yield FieldError.invalid(f"{path}.searches", searches, detail)
    for index, search in enumerate(searches):
        if search != ".":
            rule = names.dns1123_subdomain_with_underscore_errors
            yield from judged(f"{path}.searches[{index}]", search.removesuffix("."), rule)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield FieldError.required(f"{path}.options[{index}]", "must not be empty")


def pod_annotations(path: str, values: Mapping[str, str] | None, spec: Spec) -> Errors:
    """Annotations that mean something on a Pod."""
    values = values or {}
    if MIRROR_ANNOTATION in values and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        yield FieldError.invalid(f"{path}[{MIRROR_ANNOTATION}]", values[MIRROR_ANNOTATION], detail)
    cost = values.get(DELETION_COST_ANNOTATION)
    if cost is not None and not _is_int32(cost):
        yield FieldError.invalid(f"{path}[{DELETION_COST_ANNOTATION}]", cost, "must be a 32bit integer")
    yield from annotated_profiles(path, values, spec)


def _is_int32(text: str) -> bool:
    digits = text[1:] if text[:1] == "-" else text
    if not digits.isascii() or not digits.isdigit() or (digits[0] == "0" and text != "0") or len(digits) > 10:
        return False
    return -INT32_MAX - 1 <= int(text) <= INT32_MAX


def pod_template(path: str, template: Spec) -> Errors:
    """A PodTemplateSpec of a workload."""
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    yield from label_values(f"{path}.labels", metadata.get("labels"))
    yield from annotation_keys(f"{path}.annotations", metadata.get("annotations"))
    yield from pod_annotations(f"{path}.annotations", metadata.get("annotations"), spec)
    yield from pod_spec(f"{path}.spec", spec, is_pod=False)
    yield from matching_profiles(f"{path}.spec", metadata.get("annotations") or {}, spec)
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        yield FieldError.forbidden(f"{path}.spec.ephemeralContainers", detail)
