from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.builtin_kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from control.api.exchange import User
from control.auth.attributes import RequestAttributes, forbidden_error
from control.auth.bootstrap_policy import bootstrap_cluster_roles, bootstrap_objects
from control.auth.policy_rules import parse_rule
from control.auth.rbac import (
    RbacAuthorizer,
    aggregate_rules,
    escalation_detail,
    format_rule,
    rule_allows,
    uncovered_rules,
)
from tests.unit.auth.reader import ListReader

BOB = User(name="bob", groups=("dev", "system:authenticated"))


def ask(verb: str = "get", resource: str = "pods", **fields: Any) -> RequestAttributes:
    return RequestAttributes(verb=verb, resource=resource, **fields)


def url(path: str, verb: str = "get") -> RequestAttributes:
    return RequestAttributes(verb=verb, is_resource=False, path=path)


@pytest.mark.parametrize(
    ("rule", "attributes", "expected"),
    [
        ("get | core | pods", ask(), True),
        ("list | core | pods", ask(), False),
        ("* | * | *", ask("x", "y", group="z"), True),
        ("get | apps | pods", ask(), False),
        ("get | core | pods", ask(subresource="log"), False),
        ("get | core | pods/log", ask(subresource="log"), True),
        ("get | core | */log", ask(subresource="log"), True),
        ("get | core | */scale", ask(subresource="log"), False),
        ("get | core | pods | only", ask(name="only"), True),
        ("get | core | pods | only", ask(name="other"), False),
        ("list | core | pods | only", ask("list"), False),
        ("get | /healthz/*", url("/healthz/etcd"), True),
        ("get | /healthz", url("/healthz/etcd"), False),
        ("get | *", url("/anything"), True),
        ("* | * | *", url("/metrics"), False),
        ("get | /x", ask(), False),
    ],
)
def test_rule_allows(rule: str, attributes: RequestAttributes, expected: bool) -> None:
    assert rule_allows(parse_rule(rule), attributes) is expected


def bind(reader: ListReader, role: tuple[str, str], subject: dict[str, str], namespace: str = "") -> None:
    kind = ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS
    reference = {"kind": role[0], "name": role[1], "apiGroup": "rbac.authorization.k8s.io"}
    reader.add(kind, "b", namespace, roleRef=reference, subjects=[subject])


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ({"kind": "User", "name": "bob"}, 'User "bob"'),
        ({"kind": "Group", "name": "dev"}, 'Group "dev"'),
    ],
)
def test_role_binding_allows_in_its_namespace_with_upstreams_reason(subject: dict[str, str], text: str) -> None:
    reader = ListReader()
    reader.add(ROLES, "r", "ns", rules=[parse_rule("get | core | pods")])
    bind(reader, ("Role", "r"), subject, "ns")
    authorizer = RbacAuthorizer(reader)
    decision = authorizer.authorize(BOB, ask(namespace="ns"))
    assert decision.allowed
    assert decision.reason == f'RBAC: allowed by RoleBinding "b/ns" of Role "r" to {text}'
    assert not authorizer.authorize(BOB, ask(namespace="other")).allowed
    assert not authorizer.authorize(BOB, ask()).allowed


def test_service_account_subject_defaults_to_the_bindings_namespace() -> None:
    reader = ListReader()
    reader.add(CLUSTER_ROLES, "r", rules=[parse_rule("get | core | pods")])
    bind(reader, ("ClusterRole", "r"), {"kind": "ServiceAccount", "name": "sa"}, "ns")
    user = User(name="system:serviceaccount:ns:sa")
    decision = RbacAuthorizer(reader).authorize(user, ask(namespace="ns"))
    assert decision.reason == 'RBAC: allowed by RoleBinding "b/ns" of ClusterRole "r" to ServiceAccount "sa/ns"'


def test_missing_role_is_named_in_the_refusal() -> None:
    reader = ListReader()
    bind(reader, ("ClusterRole", "gone"), {"kind": "User", "name": "bob"})
    decision = RbacAuthorizer(reader).authorize(BOB, ask())
    assert decision.reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'


def test_bootstrap_policy_lets_authenticated_users_discover_and_nobody_more() -> None:
    authorizer = RbacAuthorizer(ListReader(bootstrap_objects()))
    decision = authorizer.authorize(BOB, url("/api"))
    assert decision.reason == (
        'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery"'
        ' to Group "system:authenticated"'
    )
    assert not authorizer.authorize(BOB, ask(namespace="default")).allowed
    anonymous = User(name="system:anonymous", groups=("system:unauthenticated",))
    assert not authorizer.authorize(anonymous, url("/api")).allowed
    assert authorizer.authorize(anonymous, url("/healthz")).allowed
    assert authorizer.authorize(User(name="root", groups=("system:masters",)), ask("delete", "x")).allowed


def test_bootstrap_roles_that_collect_hold_what_the_aggregation_gives() -> None:
    roles = {role["metadata"]["name"]: role for role in bootstrap_cluster_roles()}
    for name in ("view", "edit", "admin"):
        collected = aggregate_rules(roles[name], roles.values())
        assert all(rule in roles[name]["rules"] for rule in collected)
        assert all(rule in collected for rule in roles[name]["rules"])
    assert uncovered_rules(roles["admin"]["rules"], roles["view"]["rules"]) == []
    assert uncovered_rules(roles["view"]["rules"], roles["edit"]["rules"]) != []


def test_a_role_labelled_for_another_counts_in_it_at_once() -> None:
    objects = [(kind, obj) for kind, obj in bootstrap_objects() if obj["metadata"].get("namespace") is None]
    rule = {"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    added = {"metadata": {"name": "things-viewer", "labels": labels}, "rules": [rule]}
    authorizer = RbacAuthorizer(ListReader([*objects, (CLUSTER_ROLES, added)]))
    view = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    assert rule in (authorizer.role_rules(view, "") or [])


def test_bootstrap_bindings_refer_to_roles_that_exist() -> None:
    objects = bootstrap_objects()
    names = {(kind.kind, obj["metadata"].get("namespace"), obj["metadata"]["name"]) for kind, obj in objects}
    assert len(names) == len(objects)
    for _, obj in objects:
        if "roleRef" in obj:
            reference = obj["roleRef"]
            namespace = obj["metadata"].get("namespace") if reference["kind"] == "Role" else None
            assert (reference["kind"], namespace, reference["name"]) in names


def test_escalation_names_what_is_not_held() -> None:
    held = [parse_rule("create get | rbac.authorization.k8s.io | roles")]
    wanted: list[dict[str, Any]] = [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["get"]},
    ]
    user = User(name="carl", groups=("system:authenticated",))
    assert escalation_detail(user, uncovered_rules(held, wanted)) == (
        'user "carl" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}\n'
        '{APIGroups:["apps"], Resources:["*"], Verbs:["*"]}'
    )


def test_format_rule_of_urls_and_names() -> None:
    assert format_rule(parse_rule("get | /x")) == '{NonResourceURLs:["/x"], Verbs:["get"]}'
    assert format_rule(parse_rule("get | core | pods | a")) == (
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}'
    )


words = st.sampled_from(["a", "b", "*"])
rules = st.fixed_dictionaries(
    {
        "apiGroups": st.lists(words, min_size=1, max_size=2),
        "resources": st.lists(words, min_size=1, max_size=2),
        "verbs": st.lists(words, min_size=1, max_size=2),
    }
)
requests = st.builds(ask, st.sampled_from("ab"), st.sampled_from("ab"), group=st.sampled_from("ab"))


@given(st.lists(rules, max_size=3), st.lists(rules, max_size=3), requests)
def test_who_hands_on_nothing_uncovered_allows_nothing_new(
    held: list[dict[str, Any]], wanted: list[dict[str, Any]], request: RequestAttributes
) -> None:
    if not uncovered_rules(held, wanted) and any(rule_allows(rule, request) for rule in wanted):
        assert any(rule_allows(rule, request) for rule in held)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            ask("list", namespace="default"),
            'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"',
        ),
        (
            ask("get", "deployments", group="apps", subresource="scale", name="x", namespace="d"),
            'deployments.apps "x" is forbidden: User "bob" cannot get resource "deployments/scale" in API group "apps"'
            ' in the namespace "d"',
        ),
        (
            ask("list", "nodes"),
            'nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        (url("/api"), 'forbidden: User "bob" cannot get path "/api"'),
    ],
)
def test_forbidden_error_has_upstreams_text(attributes: RequestAttributes, message: str) -> None:
    error = forbidden_error(BOB, attributes)
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)
