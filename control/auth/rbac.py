"""Role-based access control: rules, bindings, and who may hand them on. Pure.

`RbacAuthorizer` walks the bindings that name a user and asks each referenced role's rules, cluster-wide bindings
first, as upstream does (plugin/pkg/auth/authorizer/rbac); the first rule that allows gives the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from control.api.builtin_kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from control.api.errors import format_value
from control.api.exchange import User
from control.api.meta import labels_of
from control.api.objects import ReadOnlyObject
from control.api.selectors import selector_from_object
from control.auth.attributes import Decision, ObjectReader, RequestAttributes, service_account_name

Rule = Mapping[str, Any]


def rule_allows(rule: Rule, attributes: RequestAttributes) -> bool:
    """Whether one PolicyRule covers a request."""
    verbs = rule.get("verbs") or ()
    if attributes.verb not in verbs and "*" not in verbs:
        return False
    if not attributes.is_resource:
        return _url_matches(rule.get("nonResourceURLs") or (), attributes.path)
    groups = rule.get("apiGroups") or ()
    if attributes.group not in groups and "*" not in groups:
        return False
    if not _resource_matches(rule.get("resources") or (), attributes.full_resource, attributes.subresource):
        return False
    names = rule.get("resourceNames") or ()
    return not names or attributes.name in names


def rules_allow(rules: Iterable[Rule], attributes: RequestAttributes) -> bool:
    """Whether any rule covers a request."""
    return any(rule_allows(rule, attributes) for rule in rules)


def _resource_matches(resources: Sequence[str], full_resource: str, subresource: str) -> bool:
    if full_resource in resources or "*" in resources:
        return True
    return bool(subresource) and f"*/{subresource}" in resources


def _url_matches(urls: Sequence[str], path: str) -> bool:
    return any(url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*"))) for url in urls)


def find_subject(subjects: Iterable[Mapping[str, Any]] | None, user: User, namespace: str) -> Mapping[str, Any] | None:
    """Return the first subject of a binding that is this user; `namespace` is the binding's."""
    for subject in subjects or ():
        kind, name = subject.get("kind"), subject.get("name")
        if (
            (kind == "User" and name == user.name)
            or (kind == "Group" and name in user.groups)
            or (
                kind == "ServiceAccount"
                and user.name == service_account_name(subject.get("namespace") or namespace, str(name))
            )
        ):
            return subject
    return None


class RbacAuthorizer:
    """Evaluates the Roles, ClusterRoles and bindings that the reader shows at this moment."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    def authorize(self, user: User, attributes: RequestAttributes) -> Decision:
        """Allow with upstream's reason, or refuse; the reason of a refusal names roles that do not exist."""
        missing: list[str] = []
        for binding, subject in self._bindings(user, attributes.namespace):
            role = binding["roleRef"]
            rules = self._role_rules(role, binding["metadata"].get("namespace") or "")
            if rules is None:
                missing.append(f'{role["kind"].lower()}.rbac.authorization.k8s.io "{role["name"]}" not found')
            elif rules_allow(rules, attributes):
                return Decision(True, _allowed_reason(binding, subject))
        missing = list(dict.fromkeys(missing))
        if not missing:
            return Decision(False)
        return Decision(False, "RBAC: " + (missing[0] if len(missing) == 1 else "[" + ", ".join(missing) + "]"))

    def rules_for(self, user: User, namespace: str = "") -> list[Rule]:
        """All rules that apply to a user in a namespace (and cluster-wide)."""
        rules: list[Rule] = []
        for binding, _ in self._bindings(user, namespace):
            rules.extend(self._role_rules(binding["roleRef"], binding["metadata"].get("namespace") or "") or ())
        return rules

    def role_rules(self, role_ref: Mapping[str, Any], namespace: str) -> list[Rule] | None:
        """Rules of the role a binding refers to, or None when there is no such role."""
        return self._role_rules(role_ref, namespace)

    def _bindings(self, user: User, namespace: str) -> Iterator[tuple[ReadOnlyObject, Mapping[str, Any]]]:
        for binding in self._reader.list(CLUSTER_ROLE_BINDINGS):
            if (subject := find_subject(binding.get("subjects"), user, "")) is not None:
                yield binding, subject
        if namespace:
            for binding in self._reader.list(ROLE_BINDINGS, namespace):
                if (subject := find_subject(binding.get("subjects"), user, namespace)) is not None:
                    yield binding, subject

    def _role_rules(self, role_ref: Mapping[str, Any], namespace: str) -> list[Rule] | None:
        if role_ref["kind"] == "Role":
            role = self._reader.find(ROLES, namespace, role_ref["name"])
        else:
            role = self._reader.find(CLUSTER_ROLES, None, role_ref["name"])
        if role is None:
            return None
        rules = list(role.get("rules") or ())
        if role.get("aggregationRule"):
            collected = aggregate_rules(role, self._reader.list(CLUSTER_ROLES))
            rules += [rule for rule in collected if rule not in rules]
        return rules


def _allowed_reason(binding: ReadOnlyObject, subject: Mapping[str, Any]) -> str:
    metadata, role = binding["metadata"], binding["roleRef"]
    namespace = metadata.get("namespace")
    kind, name = (
        ("RoleBinding", f"{metadata['name']}/{namespace}")
        if namespace
        else (
            "ClusterRoleBinding",
            metadata["name"],
        )
    )
    subject_name = subject["name"]
    if subject["kind"] == "ServiceAccount":
        subject_name = f"{subject_name}/{subject.get('namespace') or namespace}"
    return f'RBAC: allowed by {kind} "{name}" of {role["kind"]} "{role["name"]}" to {subject["kind"]} "{subject_name}"'


def aggregate_rules(role: ReadOnlyObject, cluster_roles: Iterable[ReadOnlyObject]) -> list[Rule]:
    """Rules of an aggregated ClusterRole: those of the roles its selectors choose, in name order, each rule once."""
    selectors = [
        selector_from_object(item) for item in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    ]
    rules: list[Rule] = []
    for other in sorted(cluster_roles, key=lambda item: str(item["metadata"]["name"])):
        if other["metadata"]["name"] == role["metadata"]["name"]:
            continue
        if any(selector.matches(labels_of(other)) for selector in selectors):
            rules.extend(rule for rule in other.get("rules") or () if rule not in rules)
    return rules


def uncovered_rules(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The part of the wanted rules that the held ones do not grant, split by verb and resource, then merged by verb."""
    missing = [part for rule in wanted for part in _split(rule) if not any(_covers(own, part) for own in held)]
    merged: dict[tuple[tuple[str, ...], ...], dict[str, list[str]]] = {}
    for part in missing:
        urls = tuple(part.get("nonResourceURLs") or ())
        names = tuple(part.get("resourceNames") or ())
        # Upstream merges the verbs of plain resource rules only.
        verb_key = tuple(part["verbs"]) if urls or names else ()
        key = (tuple(part.get("apiGroups") or ()), tuple(part.get("resources") or ()), names, urls, verb_key)
        target = merged.setdefault(key, {**part, "verbs": []})
        target["verbs"].extend(verb for verb in part["verbs"] if verb not in target["verbs"])
    return sorted(merged.values(), key=format_rule)


def _split(rule: Rule) -> Iterator[dict[str, list[str]]]:
    verbs: Sequence[str] = rule.get("verbs") or ()
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in verbs:
                part = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names: Sequence[str] = rule.get("resourceNames") or ()
                if not names:
                    yield part
                for name in names:
                    yield {**part, "resourceNames": [name]}
    for url in rule.get("nonResourceURLs") or ():
        for verb in verbs:
            yield {"nonResourceURLs": [url], "verbs": [verb]}


def _covers(own: Rule, part: Rule) -> bool:
    verbs: Sequence[str] = own.get("verbs") or ()
    if "*" not in verbs and part["verbs"][0] not in verbs:
        return False
    if "nonResourceURLs" in part:
        return _url_matches(own.get("nonResourceURLs") or (), part["nonResourceURLs"][0])
    groups = own.get("apiGroups") or ()
    if "*" not in groups and part["apiGroups"][0] not in groups:
        return False
    resource = part["resources"][0]
    if not _resource_matches(own.get("resources") or (), resource, resource.partition("/")[2]):
        return False
    names = own.get("resourceNames") or ()
    return not names or (part.get("resourceNames") or [None])[0] in names


def format_rule(rule: Rule) -> str:
    """Upstream's short form: `{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`."""
    labels = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("ResourceNames", "resourceNames"),
        ("Verbs", "verbs"),
    )
    parts = [f"{label}:{_format_list(rule[field])}" for label, field in labels if rule.get(field)]
    return "{" + ", ".join(parts) + "}"


def _format_list(items: Iterable[str]) -> str:
    return "[" + " ".join(format_value(item) for item in items) + "]"


def escalation_detail(user: User, missing: Iterable[Rule]) -> str:
    """Upstream's sentence for a user who hands on more than they hold."""
    listing = "\n".join(format_rule(rule) for rule in missing)
    return (
        f"user {format_value(user.name)} (groups={_format_list(user.groups)}) is attempting to grant RBAC permissions"
        f" not currently held:\n{listing}"
    )
