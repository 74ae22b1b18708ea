"""FlowSchemas and PriorityLevelConfigurations that every cluster has, with upstream's names and numbers.

Upstream: k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap. Clients and dashboards expect them; how many requests this
server lets in at once is decided in `filters/priority.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from control.api.builtin_kinds import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from control.api.kinds import Kind
from control.api.objects import Object

FIELD_MANAGER = "api-priority-and-fairness-config-producer-v1"

#: without these, requests could be neither exempt nor matched at all
_MANDATORY = ("exempt", "catch-all")
_EVERYBODY = ("system:unauthenticated", "system:authenticated")
_LEASE_VERBS = ("get", "create", "update")

#: name, nominal shares, lendable percent, then the queues: number, hand size and length
_QUEUED_LEVELS = (
    ("system", 30, 33, (64, 6, 50)),
    ("node-high", 40, 25, (64, 6, 50)),
    ("leader-election", 10, 0, (16, 4, 50)),
    ("workload-high", 40, 50, (128, 6, 50)),
    ("workload-low", 100, 90, (128, 6, 50)),
    ("global-default", 20, 50, (128, 6, 50)),
)


def flow_control_objects() -> Iterator[tuple[Kind, Object]]:
    """All of them, priority levels first."""
    for name, spec in _levels():
        yield PRIORITY_LEVEL_CONFIGURATIONS, _object(PRIORITY_LEVEL_CONFIGURATIONS, name, spec)
    for name, level, precedence, distinguisher, rule in _schemas():
        spec = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule]}
        if distinguisher:
            spec["distinguisherMethod"] = {"type": distinguisher}
        yield FLOW_SCHEMAS, _object(FLOW_SCHEMAS, name, spec)


def mandatory_spec(kind: str, name: str) -> Object | None:
    """The spec that an object of this kind (a kind's name) and name must have; None where it is free."""
    if name not in _MANDATORY:
        return None
    specs = (obj["spec"] for of, obj in flow_control_objects() if (of.kind, obj["metadata"]["name"]) == (kind, name))
    return next(specs, None)


def _object(kind: Kind, name: str, spec: Object) -> Object:
    metadata = {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


def _levels() -> Iterator[tuple[str, Object]]:
    yield "exempt", {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    rejecting = {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}}
    yield "catch-all", {"type": "Limited", "limited": rejecting}
    for name, shares, lendable, (queues, hand_size, length) in _QUEUED_LEVELS:
        queuing = {"queues": queues, "handSize": hand_size, "queueLengthLimit": length}
        limited = {
            "nominalConcurrencyShares": shares,
            "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": queuing},
        }
        yield name, {"type": "Limited", "limited": limited}


def _schemas() -> Iterator[tuple[str, str, int, str, Object]]:
    manager, scheduler = _users("system:kube-controller-manager"), _users("system:kube-scheduler")
    any_account, nodes = _accounts("*"), _groups("system:nodes")
    leases = _resource_rule(_LEASE_VERBS, "coordination.k8s.io", ("leases",))
    endpoints = _resource_rule(_LEASE_VERBS, "", ("endpoints",))
    endpoint_writers = [*manager, *_accounts("endpoint-controller", "endpointslicemirroring-controller")]
    node_rules = [_resource_rule(("*",), "", ("nodes", "nodes/status"), is_cluster_wide=True)]
    node_rules.append(_resource_rule(("*",), "coordination.k8s.io", ("leases",)))
    probes = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}
    yield "exempt", "exempt", 1, "", _everything(_groups("system:masters"))
    yield "probes", "exempt", 2, "", {"subjects": _groups(*_EVERYBODY), "nonResourceRules": [probes]}
    leaders = [*manager, *scheduler, *any_account]
    yield "system-leader-election", "leader-election", 100, "ByUser", _rule(leaders, leases)
    yield "endpoint-controller", "workload-high", 150, "ByUser", _rule(endpoint_writers, endpoints)
    yield "workload-leader-election", "leader-election", 200, "ByUser", _rule(any_account, leases)
    yield "system-node-high", "node-high", 400, "ByUser", _rule(nodes, *node_rules)
    yield "system-nodes", "system", 500, "ByUser", _everything(nodes)
    yield "kube-controller-manager", "workload-high", 800, "ByNamespace", _everything(manager)
    yield "kube-scheduler", "workload-high", 800, "ByNamespace", _everything(scheduler)
    yield "kube-system-service-accounts", "workload-high", 900, "ByNamespace", _everything(any_account)
    yield "service-accounts", "workload-low", 9000, "ByUser", _everything(_groups("system:serviceaccounts"))
    yield "global-default", "global-default", 9900, "ByUser", _everything(_groups(*_EVERYBODY))
    yield "catch-all", "catch-all", 10000, "ByUser", _everything(_groups(*_EVERYBODY))


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _accounts(*names: str) -> list[Object]:
    return [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}} for name in names]


def _rule(subjects: Sequence[Object], *resource_rules: Object) -> Object:
    return {"subjects": list(subjects), "resourceRules": list(resource_rules)}


def _resource_rule(
    verbs: Sequence[str], group: str, resources: Sequence[str], *, is_cluster_wide: bool = False
) -> Object:
    rule: Object = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources)}
    if is_cluster_wide:
        rule["clusterScope"] = True
    return {**rule, "namespaces": ["*"]}


def _everything(subjects: Sequence[Object]) -> Object:
    rule = _rule(subjects, _resource_rule(("*",), "*", ("*",), is_cluster_wide=True))
    return {**rule, "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}
