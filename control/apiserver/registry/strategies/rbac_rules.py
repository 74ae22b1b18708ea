"""Strategies of Roles and RoleBindings (upstream: pkg/apis/rbac/{v1/defaults,validation/validation}.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.api.names import dns1123_subdomain_errors, path_segment_name_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import Errors, judged, label_selector
from control.apiserver.registry.strategy import Strategy, WriteContext

RBAC_GROUP = "rbac.authorization.k8s.io"


class _RbacStrategy(Strategy):
    """Names of RBAC objects need only be usable in a URL."""

    has_generation = False
    allow_create_on_update = True

    def name_errors(self, name: str) -> list[str]:
        """One path segment."""
        return path_segment_name_errors(name)


class RoleStrategy(_RbacStrategy):
    """Rules of Roles."""

    is_namespaced = True

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the rules."""
        return list(_rules(obj.get("rules") or (), is_namespaced=self.is_namespaced))


class ClusterRoleStrategy(RoleStrategy):
    """Rules of ClusterRoles, which may be put together from others."""

    is_namespaced = False

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the rules and the aggregation."""
        errors = super().validate(context, obj)
        aggregation = obj.get("aggregationRule")
        if aggregation is not None:
            selectors = aggregation.get("clusterRoleSelectors") or ()
            if not selectors:
                detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
                errors.append(FieldError.required("aggregationRule.clusterRoleSelectors", detail))
            for index, selector in enumerate(selectors):
                errors.extend(label_selector(f"aggregationRule.clusterRoleSelectors[{index}]", selector))
        return errors


def _rules(rules: Sequence[Mapping[str, Any]], *, is_namespaced: bool) -> Errors:
    for index, rule in enumerate(rules):
        path = f"rules[{index}]"
        urls, groups, resources = (rule.get(name) or [] for name in ("nonResourceURLs", "apiGroups", "resources"))
        if not rule.get("verbs"):
            yield FieldError.required(f"{path}.verbs", "verbs must contain at least one value")
        if urls:
            if is_namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                yield FieldError.invalid(f"{path}.nonResourceURLs", urls, detail)
            if groups or resources or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                yield FieldError.invalid(f"{path}.nonResourceURLs", urls, detail)
            continue
        if not groups:
            yield FieldError.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not resources:
            yield FieldError.required(f"{path}.resources", "resource rules must supply at least one resource")


class RoleBindingStrategy(_RbacStrategy):
    """Rules of RoleBindings: a binding never changes its role."""

    role_kinds: tuple[str, ...] = ("Role", "ClusterRole")
    is_namespaced = True

    def default(self, obj: Object) -> None:
        """Fill the API groups of role and subjects."""
        role = obj.setdefault("roleRef", {})
        if not role.get("apiGroup"):
            role["apiGroup"] = RBAC_GROUP
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = RBAC_GROUP

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge role and subjects."""
        return list(self._binding(obj))

    def _binding(self, obj: Object) -> Errors:
        role = obj["roleRef"]
        if role.get("apiGroup") != RBAC_GROUP:
            yield FieldError.not_supported("roleRef.apiGroup", role.get("apiGroup"), (RBAC_GROUP,))
        if role.get("kind") not in self.role_kinds:
            yield FieldError.not_supported("roleRef.kind", role.get("kind") or "", self.role_kinds)
        if not role.get("name"):
            yield FieldError.required("roleRef.name")
        else:
            yield from judged("roleRef.name", role["name"], path_segment_name_errors)
        for index, subject in enumerate(obj.get("subjects") or ()):
            yield from _subject(f"subjects[{index}]", subject, is_namespaced=self.is_namespaced)

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change."""
        errors = self.validate(context, obj)
        if obj["roleRef"] != old.get("roleRef"):
            role = {name: obj["roleRef"].get(name) or "" for name in ("apiGroup", "kind", "name")}
            shown = {"APIGroup": role["apiGroup"], "Kind": role["kind"], "Name": role["name"]}
            errors.append(FieldError.invalid("roleRef", shown, "cannot change roleRef"))
        return errors


def _subject(path: str, subject: Mapping[str, Any], *, is_namespaced: bool) -> Errors:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    if not name:
        yield FieldError.required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            yield from judged(f"{path}.name", name, dns1123_subdomain_errors)
        if group:
            yield FieldError.not_supported(f"{path}.apiGroup", group, ("",))
        if not is_namespaced and not subject.get("namespace"):
            yield FieldError.required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != RBAC_GROUP:
            yield FieldError.not_supported(f"{path}.apiGroup", group, (RBAC_GROUP,))
    else:
        yield FieldError.not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


class ClusterRoleBindingStrategy(RoleBindingStrategy):
    """Rules of ClusterRoleBindings."""

    role_kinds = ("ClusterRole",)
    is_namespaced = False
