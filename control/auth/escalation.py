"""Nobody hands on more than they hold: the check before a role or a binding is written.

Upstream's rules: system:masters may; who may `escalate` roles, or `bind` this role, may; everybody else must hold every
rule themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.builtin_kinds import CLUSTER_ROLES, ROLES
from control.api.errors import forbidden, not_found
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.objects import ReadOnlyObject
from control.auth.attributes import MASTERS_GROUP, Authorizer, ObjectReader, RequestAttributes
from control.auth.rbac import RbacAuthorizer, Rule, escalation_detail, uncovered_rules


class EscalationCheck:
    """Judges writes of Roles, ClusterRoles and their bindings. `authorizer` is the cluster's."""

    def __init__(self, authorizer: Authorizer, reader: ObjectReader) -> None:
        self._authorizer = authorizer
        self._rbac = RbacAuthorizer(reader)

    def check_role(self, user: User, kind: Kind, role: ReadOnlyObject) -> None:
        """Judge a new or changed Role or ClusterRole. Raises ApiError 403."""
        namespace, name = role["metadata"].get("namespace") or "", role["metadata"].get("name") or ""
        if MASTERS_GROUP in user.groups or self._may(user, "escalate", kind, namespace, name):
            return
        self._check_rules(user, kind, name, namespace, role.get("rules") or ())

    def check_binding(self, user: User, kind: Kind, binding: ReadOnlyObject) -> None:
        """Judge a new or changed binding. Raises ApiError 403, or 404 when its role does not exist."""
        namespace, name = binding["metadata"].get("namespace") or "", binding["metadata"].get("name") or ""
        reference: Mapping[str, Any] = binding["roleRef"]
        role_kind = ROLES if reference["kind"] == "Role" else CLUSTER_ROLES
        if MASTERS_GROUP in user.groups or self._may(user, "bind", role_kind, namespace, reference["name"]):
            return
        rules = self._rbac.role_rules(reference, namespace)
        if rules is None:
            raise not_found(kind.group, kind.plural, reference["name"])
        self._check_rules(user, kind, name, namespace, rules)

    def _check_rules(self, user: User, kind: Kind, name: str, namespace: str, rules: Sequence[Rule]) -> None:
        missing = uncovered_rules(self._rbac.rules_for(user, namespace), rules)
        if missing:
            raise forbidden(kind.group, kind.plural, name, escalation_detail(user, missing))

    def _may(self, user: User, verb: str, kind: Kind, namespace: str, name: str) -> bool:
        attributes = RequestAttributes(
            verb=verb, group=kind.group, version="*", resource=kind.plural, namespace=namespace, name=name
        )
        return self._authorizer.authorize(user, attributes).allowed
