"""Nobody hands on more rights than they hold: checked on every write of a role or binding.

Upstream does this in the storage of these kinds (pkg/registry/rbac/*/policybased); here it is one more validating
plugin, because it needs the authorizer.
"""

from __future__ import annotations

from collections.abc import Sequence

from control.api.builtin_kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from control.api.errors import forbidden, not_found
from control.api.objects import Object
from control.apiserver.admission.chain import Attributes, ObjectReader
from control.auth.attributes import MASTERS_GROUP, Authorizer, RequestAttributes
from control.auth.rbac import RbacAuthorizer, Rule, escalation_detail, uncovered_rules

_GROUP = CLUSTER_ROLES.group


class RbacEscalation:
    """Refuses roles and bindings that grant what their author does not hold."""

    name = "RBACEscalation"

    def __init__(self, reader: ObjectReader, authorizer: Authorizer) -> None:
        self._rbac = RbacAuthorizer(reader)
        self._authorizer = authorizer

    async def validate(self, attributes: Attributes) -> None:
        """Judge a create or update of a role or binding."""
        obj = attributes.object
        if attributes.kind.group != _GROUP or obj is None or MASTERS_GROUP in attributes.user.groups:
            return
        if attributes.kind in (ROLES, CLUSTER_ROLES):
            self._check_role(attributes, obj)
        elif attributes.kind in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            self._check_binding(attributes, obj)

    def _check_role(self, attributes: Attributes, role: Object) -> None:
        old = attributes.old_object
        if old is not None and old.get("rules") == role.get("rules"):
            return
        kind = attributes.kind
        if self._may(attributes, "escalate", kind.plural, attributes.name):
            return
        self._refuse_uncovered(attributes, role.get("rules") or ())

    def _check_binding(self, attributes: Attributes, binding: Object) -> None:
        old, reference = attributes.old_object, binding["roleRef"]
        if old is not None and old.get("roleRef") == reference and old.get("subjects") == binding.get("subjects"):
            return
        plural = ROLES.plural if reference["kind"] == "Role" else CLUSTER_ROLES.plural
        if self._may(attributes, "bind", plural, reference["name"]):
            return
        rules = self._rbac.role_rules(reference, attributes.namespace)
        if rules is None:
            raise not_found(_GROUP, attributes.kind.plural, reference["name"])
        self._refuse_uncovered(attributes, rules)

    def _may(self, attributes: Attributes, verb: str, plural: str, name: str) -> bool:
        asked = RequestAttributes(
            verb=verb, group=_GROUP, version="v1", resource=plural, namespace=attributes.namespace, name=name
        )
        return self._authorizer.authorize(attributes.user, asked).allowed

    def _refuse_uncovered(self, attributes: Attributes, wanted: Sequence[Rule]) -> None:
        held = self._rbac.rules_for(attributes.user, attributes.namespace)
        missing = uncovered_rules(held, wanted)
        if missing:
            detail = escalation_detail(attributes.user, missing)
            raise forbidden(_GROUP, attributes.kind.plural, attributes.name, detail)
