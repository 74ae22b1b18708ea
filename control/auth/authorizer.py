"""The authorizers in their order, as one: the first that allows decides, the other reasons are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control.api.exchange import User
from control.api.objects import Object
from control.auth.attributes import (
    MASTERS_GROUP,
    NO_OPINION,
    Authorizer,
    Decision,
    ObjectReader,
    RequestAttributes,
    split_service_account_name,
)
from control.auth.bootstrap_policy import CONTROLLER_MANAGER_RULES, SCHEDULER_RULES
from control.auth.controller_policy import CONTROLLER_RULES
from control.auth.node_authorizer import NodeAuthorizer
from control.auth.node_graph import ReaderNodeGraph
from control.auth.policy_rules import parse_rule, parse_rules
from control.auth.rbac import RbacAuthorizer, rules_allow

_ALLOW = Decision(True)

#: the informers of all controllers in one process are shared, so each may read
_SHARED_READ = parse_rule("get list watch | * | *")


class MastersAuthorizer:
    """Allows members of system:masters everything, whatever the stored policy says: nobody locks themselves out."""

    def authorize(self, user: User, attributes: RequestAttributes) -> Decision:
        """Allow a member of the group."""
        return _ALLOW if MASTERS_GROUP in user.groups else NO_OPINION


class ControlPlaneAuthorizer:
    """Fixed rules for the scheduler and for each controller's ServiceAccount, so that the control plane starts without
    stored policy and keeps working when somebody deletes it.

    A controller gets its upstream role, may patch what that role lets it update, and may read.
    """

    def __init__(self) -> None:
        self._users: dict[str, Sequence[Object]] = {
            "system:kube-scheduler": SCHEDULER_RULES,
            "system:kube-controller-manager": CONTROLLER_MANAGER_RULES,
        }
        self._controllers: dict[str, Sequence[Object]] = {}

    def authorize(self, user: User, attributes: RequestAttributes) -> Decision:
        """Allow what the fixed rules of this user cover."""
        if not user.name.startswith("system:"):
            return NO_OPINION
        rules = self._users.get(user.name) or self._controller_rules(user.name)
        return _ALLOW if rules and rules_allow(rules, attributes) else NO_OPINION

    def _controller_rules(self, user_name: str) -> Sequence[Object]:
        account = split_service_account_name(user_name)
        if account is None or account[0] != "kube-system" or account[1] not in CONTROLLER_RULES:
            return ()
        rules = self._controllers.get(account[1])
        if rules is None:
            rules = [_with_patch(rule) for rule in parse_rules(CONTROLLER_RULES[account[1]])]
            self._controllers[account[1]] = rules = [_SHARED_READ, *rules]
        return rules


def _with_patch(rule: Mapping[str, list[str]]) -> Object:
    verbs = rule["verbs"]
    return {**rule, "verbs": [*verbs, "patch"]} if "update" in verbs and "patch" not in verbs else dict(rule)


class UnionAuthorizer:
    """Asks each authorizer in order."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def authorize(self, user: User, attributes: RequestAttributes) -> Decision:
        """Return the first allowance, or a refusal with all reasons, one a line."""
        reasons = []
        for authorizer in self._authorizers:
            decision = authorizer.authorize(user, attributes)
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "\n".join(reasons))


def make_authorizer(reader: ObjectReader) -> UnionAuthorizer:
    """The cluster's authorizer, in upstream's order (Node before RBAC)."""
    return UnionAuthorizer(
        (
            MastersAuthorizer(),
            ControlPlaneAuthorizer(),
            NodeAuthorizer(ReaderNodeGraph(reader)),
            RbacAuthorizer(reader),
        )
    )
