"""Rules of admissionregistration and flowcontrol beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.kinds import Kind
from control.api.objects import Object
from control.apiserver.flow_control_objects import mandatory_spec
from tests.unit.apiserver.registry.strategies.writes import change, created, served_kind, texts, updated

ADMISSION, FLOW = "admissionregistration.k8s.io", "flowcontrol.apiserver.k8s.io"
WEBHOOKS = served_kind(ADMISSION, "validatingwebhookconfigurations")
POLICIES = served_kind(ADMISSION, "validatingadmissionpolicies")
MUTATIONS = served_kind(ADMISSION, "mutatingadmissionpolicies")
BINDINGS = served_kind(ADMISSION, "validatingadmissionpolicybindings")
SCHEMAS = served_kind(FLOW, "flowschemas")
LEVELS = served_kind(FLOW, "prioritylevelconfigurations")

RULE: Object = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
HOOK: Object = {
    "name": "a.b.c",
    "clientConfig": {"url": "https://a/b"},
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
    "rules": [RULE],
}
HOOKS: Object = {"metadata": {"name": "h"}, "webhooks": [HOOK]}
POLICY: Object = {
    "metadata": {"name": "p"},
    "spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]},
}
BINDING: Object = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}}
SUBJECT: Object = {"kind": "User", "user": {"name": "u"}}
RESOURCE_RULE: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
SCHEMA: Object = {
    "metadata": {"name": "s"},
    "spec": {
        "priorityLevelConfiguration": {"name": "l"},
        "rules": [{"subjects": [SUBJECT], "resourceRules": [RESOURCE_RULE]}],
    },
}
LEVEL: Object = {"metadata": {"name": "l"}, "spec": {"type": "Limited", "limited": {}}}
QUEUING: Object = {"type": "Queue", "queuing": {"queues": 1000000, "handSize": 50}}
EMPTY = "validations or auditAnnotations must contain at least one item"

CREATES: list[tuple[str, Kind, Object, str, Any, list[str]]] = [
    ("webhooks have names of their own", WEBHOOKS, HOOKS, "webhooks", [HOOK, HOOK],
     ['webhooks[1].name: Duplicate value: "a.b.c"']),
    ("wildcards hide other resources", WEBHOOKS, HOOKS, "webhooks.0.rules.0.resources",
     ["pods/*", "pods/log", "*/scale", "deployments/scale", "*", "pods"],
     ["webhooks[0].rules[0].resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify "
      "pods/log",
      "webhooks[0].rules[0].resources[3]: Invalid value: \"deployments/scale\": if '*/scale' is present, must not "
      "specify deployments/scale",
      'webhooks[0].rules[0].resources: Invalid value: ["pods/*","pods/log","*/scale","deployments/scale","*","pods"]: '
      "if '*' is present, must not specify other resources without subresources"]),
    ("a service has a port and a path of names", WEBHOOKS, HOOKS, "webhooks.0.clientConfig",
     {"service": {"name": "s", "namespace": "n", "port": 70000, "path": "/a//"}},
     ["webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, "
      "inclusive",
      'webhooks[0].clientConfig.service.path: Invalid value: "/a//": segment[1] may not be empty']),
    ("conditions have names and expressions", WEBHOOKS, HOOKS, "webhooks.0.matchConditions",
     [{"name": "a", "expression": " "}, {"name": "a", "expression": "true"}, {"name": "", "expression": "true"}],
     ["webhooks[0].matchConditions[0].expression: Required value",
      'webhooks[0].matchConditions[1].name: Duplicate value: "a"',
      "webhooks[0].matchConditions[2].name: Required value"]),
    ("a policy does something", POLICIES, POLICY, "spec.validations", [],
     [f"spec.validations: Required value: {EMPTY}", f"spec.auditAnnotations: Required value: {EMPTY}"]),
    ("validations say why", POLICIES, POLICY, "spec.validations",
     [{"expression": "true", "message": "a\nb", "messageExpression": " ", "reason": "Odd"}],
     ['spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
      'spec.validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
      'spec.validations[0].reason: Unsupported value: "Odd": supported values: "Forbidden", "Invalid", '
      '"RequestEntityTooLarge"']),
    ("variables are identifiers", POLICIES, POLICY, "spec.variables", [{"name": "a-b", "expression": ""}],
     ['spec.variables[0].name: Invalid value: "a-b": name is not a valid CEL identifier',
      "spec.variables[0].expression: Required value: expression is not specified"]),
    ("parameters have a kind", POLICIES, POLICY, "spec.paramKind", {"apiVersion": "a/b/c", "kind": "1"},
     ['spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
      "spec.paramKind.kind: Invalid value: \"1\": may have mixed case, but should otherwise match: a DNS-1035 label "
      "must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
      "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
      "'[a-z]([-a-z0-9]*[a-z0-9])?')"]),
    ("mutations say how", MUTATIONS, change(POLICY, "spec.validations", []), "spec.mutations",
     [{"patchType": "JSONPatch"}],
     ["spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch"]),
    ("parameters are named or selected", BINDINGS, BINDING, "spec.paramRef", {"name": "a", "selector": {}},
     ["spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
      "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive"]),
    ("only the exempt schema comes first", SCHEMAS, SCHEMA, "spec.matchingPrecedence", 1,
     ["spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"]),
    ("verbs are known", SCHEMAS, SCHEMA, "spec.rules.0.resourceRules.0.verbs", ["fly"],
     ['spec.rules[0].resourceRules[0].verbs: Unsupported value: ["fly"]: supported values: "create", "delete", '
      '"deletecollection", "get", "list", "patch", "proxy", "update", "watch"']),
    ("paths begin with a slash", SCHEMAS, SCHEMA, "spec.rules.0.nonResourceRules",
     [{"verbs": ["get"], "nonResourceURLs": ["a", "/a*"]}],
     ['spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "a": must start with slash',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*": wildcard can only do suffix '
      "matching"]),
    ("only the exempt level is exempt", LEVELS, LEVEL, "spec", {"type": "Exempt"},
     ["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"]),
    ("hands are dealt from few bits", LEVELS, LEVEL, "spec.limited.limitResponse", QUEUING,
     ["spec.limited.limitResponse.queuing.handSize: Invalid value: 50: required entropy bits of deckSize 1000000 and "
      "handSize 50 should not be greater than 60"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "path", "value", "expected"), [pytest.param(*row[1:], id=row[0]) for row in CREATES]
)
def test_odd_objects_have_upstream_causes(kind: Kind, body: Object, path: str, value: Any, expected: list[str]) -> None:
    assert texts(created(kind, change(body, path, value))[1]) == expected


def test_webhooks_that_were_stored_odd_may_stay_so() -> None:
    odd = {**HOOK, "sideEffects": "Some", "admissionReviewVersions": ["v9"]}
    body: Object = {"metadata": {"name": "h"}, "webhooks": [odd, odd]}
    old, broken = created(WEBHOOKS, body)

    assert len(broken) == 5
    assert updated(WEBHOOKS, old, body) == []


def test_missing_parameters_deny_unless_told() -> None:
    obj, broken = created(BINDINGS, change(BINDING, "spec.paramRef", {"name": "a"}))

    assert (obj["spec"]["paramRef"], broken) == ({"name": "a", "parameterNotFoundAction": "Deny"}, [])


@pytest.mark.parametrize("name", ["exempt", "catch-all"])
@pytest.mark.parametrize("kind", [SCHEMAS, LEVELS])
def test_what_every_cluster_has_is_good_as_it_is(kind: Kind, name: str) -> None:
    body = {"metadata": {"name": name}, "spec": mandatory_spec(kind.kind, name)}
    old, broken = created(kind, body)

    assert broken == []
    assert updated(kind, old, body) == []


FIXED: list[tuple[str, Kind, str, str, Any, list[str]]] = [
    ("the last schema matches last", SCHEMAS, "catch-all", "spec", {**SCHEMA["spec"], "matchingPrecedence": 7},
     ['spec: Invalid value: {"PriorityLevelConfiguration":{"Name":"l"},"MatchingPrecedence":7,"DistinguisherMethod":'
      'null,"Rules":[{"Subjects":[{"Kind":"User","User":{"Name":"u"},"Group":null,"ServiceAccount":null}],'
      '"ResourceRules":[{"Verbs":["*"],"APIGroups":["*"],"Resources":["*"],"ClusterScope":false,"Namespaces":["*"]}],'
      "\"NonResourceRules\":null}]}: spec of 'catch-all' must equal the fixed value"]),
    ("the last level has few shares", LEVELS, "catch-all", "spec.limited.nominalConcurrencyShares", 6,
     ['spec: Invalid value: {"Type":"Limited","Limited":{"NominalConcurrencyShares":6,"LimitResponse":{"Type":"Reject",'
      '"Queuing":null},"LendablePercent":0,"BorrowingLimitPercent":null},"Exempt":null}: spec of \'catch-all\' must '
      "equal the fixed value"]),
    ("the exempt level lends what it likes", LEVELS, "exempt", "spec.exempt.lendablePercent", 50, []),
    ("the exempt level has no limits", LEVELS, "exempt", "spec.limited", {"nominalConcurrencyShares": 1},
     ["spec.limited: Forbidden: must be nil if the type is not Limited",
      'spec: Invalid value: {"Type":"Exempt","Limited":{"NominalConcurrencyShares":1,"LimitResponse":{"Type":"Reject",'
      '"Queuing":null},"LendablePercent":0,"BorrowingLimitPercent":null},"Exempt":{"NominalConcurrencyShares":0,'
      "\"LendablePercent\":0}}: spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "expected"), [pytest.param(*row[1:], id=row[0]) for row in FIXED]
)
def test_what_every_cluster_has_stays(kind: Kind, name: str, path: str, value: Any, expected: list[str]) -> None:
    body = {"metadata": {"name": name}, "spec": mandatory_spec(kind.kind, name)}

    assert texts(updated(kind, created(kind, body)[0], change(body, path, value))) == expected
