from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from control.api.exchange import User
from control.api.selectors import FieldRequirement
from control.auth.attributes import Decision, RequestAttributes, forbidden_detail
from control.auth.authorizer import make_authorizer
from control.auth.node_graph import references_of
from tests.unit.auth.reader import ListReader

NODE = User(name="system:node:n1", groups=("system:nodes", "system:authenticated"))


def make_pod_spec(**fields: Any) -> dict[str, Any]:
    return {"nodeName": "n1", "serviceAccountName": "robot", "containers": [{"name": "c"}], **fields}


def make_reader() -> ListReader:
    reader = ListReader()
    volumes = [
        {"name": "a", "secret": {"secretName": "s1"}},
        {"name": "b", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "c", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
    ]
    reader.add(PODS, "mine", "ns", spec=make_pod_spec(volumes=volumes))
    reader.add(PODS, "theirs", "ns", spec={**make_pod_spec(), "nodeName": "n2", "serviceAccountName": "other"})
    reader.add(PERSISTENT_VOLUME_CLAIMS, "claim", "ns", spec={"volumeName": "disk"})
    for name, secret in (("disk", "opens-disk"), ("other", "opens-another")):
        source = {"nodePublishSecretRef": {"namespace": "vault", "name": secret}}
        reader.add(PERSISTENT_VOLUMES, name, spec={"csi": source})
    return reader


def decide(user: User, verb: str, resource: str, **fields: Any) -> Decision:
    attributes = RequestAttributes(verb=verb, resource=resource, **fields)
    return make_authorizer(make_reader()).authorize(user, attributes)


@pytest.mark.parametrize(
    ("verb", "resource", "fields"),
    [
        ("get", "secrets", {"namespace": "ns", "name": "s1"}),
        ("get", "secrets", {"namespace": "vault", "name": "opens-disk"}),
        ("watch", "configmaps", {"namespace": "ns", "name": "kube-root-ca.crt"}),
        ("get", "pods", {"namespace": "ns", "name": "mine"}),
        ("get", "persistentvolumeclaims", {"namespace": "ns", "name": "claim"}),
        ("get", "persistentvolumes", {"name": "disk"}),
        ("create", "serviceaccounts", {"namespace": "ns", "name": "robot", "subresource": "token"}),
        ("update", "leases", {"group": "coordination.k8s.io", "namespace": "kube-node-lease", "name": "n1"}),
        ("create", "leases", {"group": "coordination.k8s.io", "namespace": "kube-node-lease"}),
        ("patch", "nodes", {"name": "n1", "subresource": "status"}),
        ("create", "nodes", {}),
        ("get", "nodes", {"name": "n1"}),
        ("patch", "pods", {"namespace": "ns", "name": "mine", "subresource": "status"}),
        ("watch", "pods", {"field_requirements": (FieldRequirement("spec.nodeName", "=", "n1"),)}),
        ("create", "events", {"namespace": "ns"}),
        ("watch", "services", {}),
        ("list", "runtimeclasses", {"group": "node.k8s.io"}),
        (
            "deletecollection",
            "resourceslices",
            {"group": "resource.k8s.io", "field_requirements": (FieldRequirement("spec.nodeName", "=", "n1"),)},
        ),
    ],
)
def test_node_may(verb: str, resource: str, fields: dict[str, Any]) -> None:
    assert decide(NODE, verb, resource, **fields).allowed


@pytest.mark.parametrize(
    ("verb", "resource", "fields", "reason"),
    [
        ("list", "secrets", {}, "can only read namespaced object of this type"),
        ("update", "secrets", {"namespace": "ns", "name": "s1"}, "can only read resources of this type"),
        (
            "get",
            "secrets",
            {"namespace": "ns", "name": "s2"},
            "no relationship found between node 'n1' and this object",
        ),
        (
            "get",
            "secrets",
            {"namespace": "vault", "name": "opens-another"},
            "no relationship found between node 'n1' and this object",
        ),
        ("list", "secrets", {"namespace": "ns"}, "No Object name found"),
        ("list", "pods", {}, "can only list/watch pods with spec.nodeName field selector"),
        (
            "list",
            "pods",
            {"field_requirements": (FieldRequirement("spec.nodeName", "!=", "n1"),)},
            "can only list/watch pods with spec.nodeName field selector",
        ),
        ("get", "nodes", {"name": "n2"}, "node 'n1' cannot read 'n2', only its own Node object"),
        ("list", "nodes", {}, "node 'n1' cannot read all nodes, only its own Node object"),
        (
            "get",
            "leases",
            {"group": "coordination.k8s.io", "namespace": "kube-node-lease", "name": "n2"},
            "can only access node lease with the same name as the requesting node",
        ),
        (
            "get",
            "leases",
            {"group": "coordination.k8s.io", "namespace": "ns", "name": "n1"},
            'can only access leases in the "kube-node-lease" system namespace',
        ),
        (
            "create",
            "serviceaccounts",
            {"namespace": "ns", "name": "other", "subresource": "token"},
            "no relationship found between node 'n1' and this object",
        ),
        (
            "list",
            "resourceslices",
            {"group": "resource.k8s.io"},
            "can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
        ("delete", "deployments", {"group": "apps", "namespace": "ns", "name": "x"}, ""),
        ("delete", "nodes", {"name": "n1"}, ""),
    ],
)
def test_node_may_not(verb: str, resource: str, fields: dict[str, Any], reason: str) -> None:
    assert decide(NODE, verb, resource, **fields) == Decision(False, reason)


def test_refused_node_reads_upstreams_sentence() -> None:
    attributes = RequestAttributes(verb="list", resource="secrets")
    decision = decide(NODE, "list", "secrets")
    assert forbidden_detail(NODE, attributes, decision.reason) == (
        'User "system:node:n1" cannot list resource "secrets" in API group "" at the cluster scope: can only read'
        " namespaced object of this type"
    )


def test_a_user_who_only_calls_himself_a_node_is_none() -> None:
    assert not decide(User(name="system:node:n1"), "get", "nodes", name="n1").allowed


@pytest.mark.parametrize(
    ("name", "verb", "resource", "fields", "expected"),
    [
        ("system:kube-scheduler", "create", "pods", {"subresource": "binding", "namespace": "n"}, True),
        ("system:kube-scheduler", "create", "pods", {"namespace": "n"}, False),
        ("system:serviceaccount:kube-system:replicaset-controller", "create", "pods", {"namespace": "n"}, True),
        ("system:serviceaccount:kube-system:replicaset-controller", "watch", "nodes", {}, True),
        ("system:serviceaccount:kube-system:replicaset-controller", "delete", "secrets", {"namespace": "n"}, False),
        (
            "system:serviceaccount:kube-system:deployment-controller",
            "patch",
            "deployments",
            {"group": "apps", "subresource": "status", "namespace": "n"},
            True,
        ),
        ("system:serviceaccount:default:replicaset-controller", "create", "pods", {"namespace": "n"}, False),
        ("system:serviceaccount:kube-system:unknown-controller", "create", "pods", {"namespace": "n"}, False),
        ("replicaset-controller", "create", "pods", {"namespace": "n"}, False),
    ],
)
def test_control_plane_users_have_fixed_rules(
    name: str, verb: str, resource: str, fields: dict[str, Any], expected: bool
) -> None:
    assert decide(User(name=name, groups=("system:authenticated",)), verb, resource, **fields).allowed is expected


def test_masters_may_everything() -> None:
    assert decide(User(name="x", groups=("system:masters",)), "delete", "anything", group="any") == Decision(True)


def test_references_of_a_pod() -> None:
    spec = make_pod_spec(
        imagePullSecrets=[{"name": "pull"}],
        initContainers=[{"name": "i", "envFrom": [{"configMapRef": {"name": "env"}}, {"secretRef": {"name": "envs"}}]}],
        containers=[
            {
                "name": "c",
                "env": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "k"}}},
                ],
            }
        ],
        volumes=[
            {"name": "e", "ephemeral": {}},
            {"name": "v", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "m", "configMap": {"name": "files"}},
            {"name": "p", "projected": {"sources": [{"secret": {"name": "proj"}}]}},
        ],
    )
    assert references_of({"metadata": {"name": "pod"}, "spec": spec}) == {
        ("serviceaccounts", "robot"),
        ("secrets", "pull"),
        ("configmaps", "env"),
        ("secrets", "envs"),
        ("secrets", "keys"),
        ("configmaps", "map"),
        ("persistentvolumeclaims", "pod-v"),
        ("configmaps", "files"),
        ("secrets", "proj"),
    }
