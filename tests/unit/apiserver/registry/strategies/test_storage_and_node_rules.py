"""Rules of storage.k8s.io, Nodes and ResourceQuotas beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import NODES
from control.api.kinds import Kind
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, change, created, served_kind, texts, updated

CLASSES = served_kind("storage.k8s.io", "storageclasses")
DRIVERS = served_kind("storage.k8s.io", "csidrivers")
CSI_NODES = served_kind("storage.k8s.io", "csinodes")
ATTACHMENTS = served_kind("storage.k8s.io", "volumeattachments")
ATTRIBUTES = served_kind("storage.k8s.io", "volumeattributesclasses")
QUOTAS = served_kind("", "resourcequotas")

CLASS: Object = {"metadata": {"name": "fast"}, "provisioner": "d.example/fast"}
DRIVER: Object = {"metadata": {"name": "d.example"}, "spec": {}}
CSI_NODE: Object = {"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d.example", "nodeID": "n"}]}}
ATTACHMENT: Object = {
    "metadata": {"name": "a"},
    "spec": {"attacher": "d.example", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
}
QUOTA: Object = {"metadata": {"name": "q"}, "spec": {"hard": {"services": "1"}}}
NODE: Object = {"metadata": {"name": "n"}, "spec": {}}


def zone(*values: str, key: str = "topology.kubernetes.io/zone") -> Object:
    return {"key": key, "values": list(values)}


def scopes(*requirements: Object) -> Object:
    return {"matchExpressions": list(requirements)}


SHOWN = '{"MatchExpressions":[{"ScopeName":"BestEffort","Operator":"Exists","Values":null}]}'
CREATES = [
    ("keys of topologies are named once", CLASSES, CLASS, "allowedTopologies",
     [{"matchLabelExpressions": [zone("a", "a"), zone("b")]}],
     ['allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"',
      'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "topology.kubernetes.io/zone"']),
    ("topologies differ", CLASSES, CLASS, "allowedTopologies", [{"matchLabelExpressions": [zone("a")]}] * 2,
     ['allowedTopologies[1].matchLabelExpressions: Duplicate value: ""']),
    ("tokens have audiences of their own and some life", DRIVERS, DRIVER, "spec.tokenRequests",
     [{"audience": "a", "expirationSeconds": 5}, {"audience": "a"}, {"audience": "b", "expirationSeconds": 2**33}],
     ["spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
      'spec.tokenRequests[1].audience: Duplicate value: "a"',
      f"spec.tokenRequests[2].expirationSeconds: Invalid value: {2**33}: may not specify a duration larger than 2^32 "
      "seconds"]),
    ("volumes are not counted all the time", DRIVERS, DRIVER, "spec.nodeAllocatableUpdatePeriodSeconds", 9,
     ["spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds"]),
    ("tokens in secrets are asked for", DRIVERS, DRIVER, "spec.serviceAccountTokenInSecrets", True,
     ["spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no "
      "tokenRequests are specified"]),
    ("keys of a node's driver are named once", CSI_NODES, CSI_NODE, "spec.drivers.0.topologyKeys", ["a", "a"],
     ['spec.drivers[0]: Duplicate value: "a"']),
    ("an attacher is needed twice", ATTACHMENTS, ATTACHMENT, "spec.attacher", "",
     ["spec.attacher: Required value"] * 2),
    ("parameters of attributes are needed", ATTRIBUTES, {"metadata": {"name": "a"}}, "driverName", "d.example",
     ["parameters: Required value: must contain at least one key/value pair"]),
    ("a scope fits what it bounds", QUOTAS, QUOTA, "spec.scopeSelector",
     scopes({"scopeName": "BestEffort", "operator": "Exists"}),
     [f"spec.scopeSelector.matchExpressions: Invalid value: {SHOWN}: unsupported scope applied to resource"]),
    ("scopes do not exclude each other", QUOTAS, change(QUOTA, "spec.hard", {"pods": "1"}), "spec.scopeSelector",
     scopes(*({"scopeName": name, "operator": "Exists"} for name in ("Terminating", "NotTerminating"))),
     ["spec.scopeSelector.matchExpressions: Invalid value: null: conflicting scopes"]),
    ("swap is some", NODES, NODE, "status", {"nodeInfo": {"swap": {"capacity": 0}}},
     ["metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "path", "value", "expected"), [pytest.param(*row[1:], id=row[0]) for row in CREATES]
)
def test_odd_objects_have_upstream_causes(kind: Kind, body: Object, path: str, value: Any, expected: list[str]) -> None:
    assert texts(created(kind, change(body, path, value))[1]) == expected


UPDATES = [
    ("how volumes are attached stays", DRIVERS, DRIVER, "spec.attachRequired", False,
     ["spec.attachedRequired: Invalid value: false: field is immutable"]),
    ("a driver's name of a node stays, its room may change", CSI_NODES, CSI_NODE, "spec.drivers.0.allocatable",
     {"count": 3}, []),
    ("the old name of a node stays", NODES, NODE, "spec.externalID", "x",
     ["spec.externalID: Forbidden: may not be updated"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "path", "value", "expected"), [pytest.param(*row[1:], id=row[0]) for row in UPDATES]
)
def test_odd_changes_have_upstream_causes(kind: Kind, body: Object, path: str, value: Any, expected: list[str]) -> None:
    old, _ = created(kind, body)

    assert texts(updated(kind, old, change(old, path, value))) == expected


def test_what_attachers_say_is_bounded() -> None:
    old, _ = created(ATTACHMENTS, ATTACHMENT)
    obj = copy_object(old)
    obj["status"] = {"attached": False, "attachError": {"message": "m" * 1025, "errorCode": -1}}

    assert texts(strategy_for(ATTACHMENTS).validate_status_update(CONTEXT, obj, old)) == [
        "status.attachError.message: Too long: may not be more than 262144 bytes",
        "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ]


def test_features_of_the_past_are_dropped_or_warned_of() -> None:
    spec = {"configSource": {"configMap": {"name": "c"}}, "externalID": "x", "podCIDRs": ["10.0.0.0/8", "fd00:0::/64"]}
    obj, _ = created(NODES, change(NODE, "spec", spec))

    assert "configSource" not in obj["spec"]
    assert strategy_for(NODES).warnings_on_create(CONTEXT, obj) == [
        "spec.externalID: this field is deprecated, and is unused by Kubernetes",
        'spec.podCIDRs[1]: IPv6 CIDR value "fd00:0::/64" should be in RFC 5952 canonical format ("fd00::/64")',
    ]


def test_old_node_labels_of_topologies_are_warned_of() -> None:
    term = {"matchLabelExpressions": [zone("a", key="failure-domain.beta.kubernetes.io/zone")]}
    obj, _ = created(CLASSES, change(CLASS, "allowedTopologies", [term]))

    assert strategy_for(CLASSES).warnings_on_create(CONTEXT, obj) == [
        "allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.17; use "
        '"topology.kubernetes.io/zone" instead'
    ]


def test_a_driver_counts_changes_the_kubelet_sees() -> None:
    old, _ = created(DRIVERS, DRIVER)
    newer = change(old, "spec.requiresRepublish", True)
    strategy_for(DRIVERS).prepare_for_update(CONTEXT, newer, old)

    assert newer["metadata"]["generation"] == 1
