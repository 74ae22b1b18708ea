from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from control.api.errors import ApiError
from control.api.exchange import User
from control.auth.authorizer import make_authorizer
from control.auth.escalation import EscalationCheck
from control.auth.policy_rules import parse_rule
from tests.unit.auth.reader import ListReader

CARL = User(name="carl", groups=("system:authenticated",))
ROOT = User(name="root", groups=("system:masters",))
SECRETS = parse_rule("get list | core | secrets")


def make_check(*rules: str) -> EscalationCheck:
    reader = ListReader()
    reader.add(ROLES, "held", "ns", rules=[parse_rule(rule) for rule in rules])
    reader.add(CLUSTER_ROLES, "secret-reader", rules=[SECRETS])
    reader.add(
        ROLE_BINDINGS,
        "held",
        "ns",
        roleRef={"kind": "Role", "name": "held"},
        subjects=[{"kind": "User", "name": "carl"}],
    )
    return EscalationCheck(make_authorizer(reader), reader)


def role(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "up", "namespace": "ns"}, "rules": list(rules)}


def binding(name: str) -> dict[str, Any]:
    return {"metadata": {"name": "up", "namespace": "ns"}, "roleRef": {"kind": "ClusterRole", "name": name}}


def test_a_role_with_more_rights_is_refused_with_upstreams_text() -> None:
    with pytest.raises(ApiError) as caught:
        make_check("create | rbac.authorization.k8s.io | roles").check_role(CARL, ROLES, role(SECRETS))
    assert caught.value.code == 403
    assert caught.value.message == (
        'roles.rbac.authorization.k8s.io "up" is forbidden: user "carl" (groups=["system:authenticated"]) is attempting'
        ' to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    )


@pytest.mark.parametrize(
    ("user", "held"),
    [
        (CARL, "get list | core | secrets"),
        (CARL, "* | * | *"),
        (CARL, "escalate | rbac.authorization.k8s.io | roles"),
        (ROOT, "get | core | pods"),
    ],
)
def test_a_role_may_be_written_by_who_holds_it_or_may_escalate(user: User, held: str) -> None:
    make_check(held).check_role(user, ROLES, role(SECRETS))


@pytest.mark.parametrize(
    ("held", "code"),
    [
        ("get list | core | secrets", None),
        ("bind | rbac.authorization.k8s.io | clusterroles | secret-reader", None),
        ("bind | rbac.authorization.k8s.io | clusterroles | other", 403),
        ("get | core | secrets", 403),
    ],
)
def test_a_binding_may_be_written_by_who_holds_the_role_or_may_bind_it(held: str, code: int | None) -> None:
    check = make_check(held)
    if code is None:
        check.check_binding(CARL, ROLE_BINDINGS, binding("secret-reader"))
        return
    with pytest.raises(ApiError) as caught:
        check.check_binding(CARL, ROLE_BINDINGS, binding("secret-reader"))
    assert caught.value.code == code


def test_a_binding_to_a_role_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(ApiError) as caught:
        make_check("get | core | pods").check_binding(CARL, ROLE_BINDINGS, binding("gone"))
    assert (caught.value.code, caught.value.message) == (
        404,
        'rolebindings.rbac.authorization.k8s.io "gone" not found',
    )
