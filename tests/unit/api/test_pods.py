from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from control.api import pods
from control.api.affinity import matches_node, node_requirements, preferred_terms
from control.api.fit import (
    AdmissionFailure,
    HostPort,
    allocatable_of,
    has_port_conflict,
    host_ports_of,
    insufficient_resources,
    node_admission_failure,
)
from control.api.taints import eviction_delay_seconds, find_untolerated_taint, format_taint, tolerates


def container(name: str = "c", *, requests: Any = None, limits: Any = None, **fields: Any) -> dict[str, Any]:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return {"name": name, "resources": resources, **fields}


def make_pod(*containers: dict[str, Any], status: Any = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": list(containers) or [container()], **spec},
        "status": status or {},
    }


def make_node(name: str = "n1", *, labels: Any = None, taints: Any = None, **allocatable: str) -> dict[str, Any]:
    amounts = {
        "cpu": "4",
        "memory": "8Gi",
        "pods": "110",
        **{key.replace("_", "-"): v for key, v in allocatable.items()},
    }
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": taints or []},
        "status": {"allocatable": amounts},
    }


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(make_pod(container(), container()), {}, id="no requests are nothing"),
        pytest.param(
            make_pod(container(requests={"cpu": "100m", "memory": "1Mi"}), container(requests={"cpu": "0.5"})),
            {"cpu": 600, "memory": 2**20},
            id="containers add up",
        ),
        pytest.param(
            make_pod(container(requests={"cpu": "100m"}), initContainers=[container("i", requests={"cpu": "1"})]),
            {"cpu": 1000},
            id="an init container raises the maximum",
        ),
        pytest.param(
            make_pod(
                container(requests={"cpu": "100m"}),
                initContainers=[
                    container("s", requests={"cpu": "200m"}, restartPolicy="Always"),
                    container("i", requests={"cpu": "250m"}),
                ],
            ),
            {"cpu": 450},
            id="a sidecar counts beside a later init container",
        ),
        pytest.param(
            make_pod(
                container(requests={"cpu": "300m"}),
                initContainers=[
                    container("i", requests={"cpu": "250m"}),
                    container("s", requests={"cpu": "200m"}, restartPolicy="Always"),
                ],
            ),
            {"cpu": 500},
            id="a sidecar adds to the containers",
        ),
        pytest.param(
            make_pod(container(requests={"cpu": "1"}), overhead={"cpu": "250m", "memory": "10Mi"}),
            {"cpu": 1250, "memory": 10 * 2**20},
            id="overhead comes on top",
        ),
        pytest.param(
            make_pod(
                container(requests={"cpu": "1", "x.y/z": "2"}), resources={"requests": {"cpu": "2", "x.y/z": "9"}}
            ),
            {"cpu": 2000, "x.y/z": 2},
            id="pod-level cpu replaces the sum",
        ),
    ],
)
def test_pod_requests(pod: dict[str, Any], expected: dict[str, int]) -> None:
    assert pods.pod_requests(pod) == expected


def test_assumed_requests_stand_in_for_missing_ones_only() -> None:
    pod = make_pod(container(requests={"cpu": "0"}), container())
    assert pods.pod_requests(pod, assumed=pods.ASSUMED_REQUESTS) == {"cpu": 100, "memory": 400 * 2**20}


def test_requests_by_status_hold_what_a_resize_still_occupies() -> None:
    status = {"containerStatuses": [{"name": "c", "allocatedResources": {"cpu": "2"}}]}
    pod = make_pod(container(requests={"cpu": "1"}), status=status)
    assert pods.pod_requests(pod)["cpu"] == 1000
    assert pods.pod_requests(pod, use_status=True)["cpu"] == 2000


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({}, 1000, id="wanted"),
        pytest.param({"allocatedResources": {"cpu": "2"}}, 2000, id="allocated"),
        pytest.param(
            {"allocatedResources": {"cpu": "500m"}, "resources": {"requests": {"cpu": "3"}}}, 3000, id="actual"
        ),
        pytest.param(
            {
                "allocatedResources": {"cpu": "500m"},
                "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
            },
            500,
            id="what was refused does not count",
        ),
    ],
)
def test_requests_by_status_of_a_pod_with_resources_of_its_own(status: dict[str, Any], expected: int) -> None:
    pod = make_pod(container(requests={"cpu": "100m"}), resources={"requests": {"cpu": "1"}}, status=status)
    assert pods.pod_requests(pod, use_status=True)["cpu"] == expected


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (make_pod(container()), "BestEffort"),
        (make_pod(container(requests={"x.y/z": "1"})), "BestEffort"),
        (make_pod(container(requests={"cpu": "1"})), "Burstable"),
        (
            make_pod(container(limits={"cpu": "1", "memory": "1Gi"}, requests={"cpu": "1", "memory": "1Gi"})),
            "Guaranteed",
        ),
        (make_pod(container(limits={"cpu": "1", "memory": "1Gi"}, requests={"cpu": "1"})), "Burstable"),
        (
            make_pod(
                container(limits={"cpu": "1", "memory": "1Gi"}, requests={"cpu": "1", "memory": "1Gi"}), container()
            ),
            "Burstable",
        ),
        (
            make_pod(
                container(), resources={"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}}
            ),
            "Guaranteed",
        ),
    ],
)
def test_qos_class(pod: dict[str, Any], expected: str) -> None:
    assert pods.qos_class(pod) == expected


def test_available_after_min_ready_seconds() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    pod = make_pod(status=ready)
    assert pods.is_pod_ready(pod)
    assert not pods.is_pod_available(pod, 10, datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC))
    assert pods.is_pod_available(pod, 10, datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC))


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerates(toleration: dict[str, str], expected: bool) -> None:
    assert tolerates(toleration, {"key": "k", "value": "v", "effect": "NoSchedule"}) is expected


def test_untolerated_taint_ignores_preferences() -> None:
    taints = [{"key": "a", "effect": "PreferNoSchedule"}, {"key": "b", "value": "1", "effect": "NoExecute"}]
    found = find_untolerated_taint(taints, [])
    assert found is taints[1]
    assert format_taint(taints[1]) == "b=1:NoExecute"


def test_eviction_delay_is_the_shortest_toleration() -> None:
    taints = [{"key": "a", "effect": "NoExecute"}]
    assert eviction_delay_seconds(taints, []) == 0
    assert eviction_delay_seconds(taints, [{"key": "a", "operator": "Exists"}]) is None
    tolerations = [
        {"operator": "Exists", "tolerationSeconds": 9},
        {"key": "a", "operator": "Exists", "tolerationSeconds": 3},
    ]
    assert eviction_delay_seconds(taints, tolerations) == 3
    assert eviction_delay_seconds([{"key": "a", "effect": "NoSchedule"}], []) is None


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, True),
        ({"nodeSelector": {"zone": "a"}}, True),
        ({"nodeSelector": {"zone": "b"}}, False),
        ({"affinity": affinity({"matchExpressions": [expression("zone", "In", "a", "b")]})}, True),
        ({"affinity": affinity({"matchExpressions": [expression("zone", "NotIn", "a")]})}, False),
        ({"affinity": affinity({"matchExpressions": [expression("cores", "Gt", "7")]})}, True),
        ({"affinity": affinity({"matchExpressions": [expression("cores", "Lt", "8")]})}, False),
        ({"affinity": affinity({"matchExpressions": [expression("cores", "Gt", "x")]})}, False),
        ({"affinity": affinity({"matchExpressions": [expression("gone", "DoesNotExist")]})}, True),
        ({"affinity": affinity({"matchFields": [expression("metadata.name", "In", "n1")]})}, True),
        ({"affinity": affinity({"matchFields": [expression("metadata.name", "In", "n2")]})}, False),
        ({"affinity": affinity({})}, False),
        ({"affinity": affinity({}, {"matchExpressions": [expression("zone", "Exists")]})}, True),
        ({"affinity": affinity(), "nodeSelector": {"zone": "a"}}, False),
    ],
)
def test_matches_node(spec: dict[str, Any], expected: bool) -> None:
    assert matches_node(make_pod(**spec), make_node(labels={"zone": "a", "cores": "8"})) is expected


def test_node_names_of_pods_tied_to_nodes() -> None:
    tied = make_pod(affinity=affinity({"matchFields": [expression("metadata.name", "In", "n2")]}))
    assert node_requirements(tied).node_names == {"n2"}
    assert node_requirements(make_pod()).node_names is None


def test_preferred_terms_skip_what_has_no_weight() -> None:
    term = {"matchExpressions": [expression("zone", "In", "a")]}
    preferred = [{"weight": 5, "preference": term}, {"weight": 0, "preference": term}, {"weight": 1, "preference": {}}]
    pod = make_pod(
        affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}},
    )
    assert [weight for weight, _ in preferred_terms(pod)] == [5]


def test_host_ports_conflict_by_address_and_protocol() -> None:
    used = [HostPort("10.0.0.1", "TCP", 80)]
    assert has_port_conflict([HostPort("0.0.0.0", "TCP", 80)], used)
    assert has_port_conflict([HostPort("10.0.0.1", "TCP", 80)], used)
    assert not has_port_conflict([HostPort("10.0.0.2", "TCP", 80)], used)
    assert not has_port_conflict([HostPort("0.0.0.0", "UDP", 80)], used)
    pod = make_pod(container(ports=[{"containerPort": 1}, {"containerPort": 2, "hostPort": 2}]))
    assert host_ports_of(pod) == (HostPort("0.0.0.0", "TCP", 2),)


def test_insufficient_resources_are_in_upstreams_order_and_words() -> None:
    lacking = insufficient_resources(
        {"x.y/z": 1, "memory": 10, "cpu": 500},
        allocatable={"cpu": 1000, "memory": 5},
        used={"cpu": 600},
        pod_count=3,
        pod_count_max=3,
    )
    assert [item.reason for item in lacking] == [
        "Too many pods",
        "Insufficient cpu",
        "Insufficient memory",
        "Insufficient x.y/z",
    ]
    assert [item.is_unresolvable for item in lacking] == [False, False, True, True]


@pytest.mark.parametrize(
    ("pod", "reason", "message"),
    [
        (make_pod(container(requests={"cpu": "1"})), None, None),
        (
            make_pod(container(requests={"cpu": "4"})),
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 4000, used: 500, capacity: 4000",
        ),
        (
            make_pod(nodeSelector={"zone": "b"}),
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            make_pod(container(ports=[{"containerPort": 1, "hostPort": 80}])),
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ),
        (
            make_pod(nodeName="other"),
            "NodeName",
            "Predicate NodeName failed: node(s) didn't match the requested node name",
        ),
        (make_pod(os={"name": "linux"}), None, None),
        (
            make_pod(os={"name": "windows"}),
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS",
        ),
        (
            make_pod() | {"metadata": {"name": "p", "labels": {"kubernetes.io/os": "windows"}}},
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        ),
        (make_pod(container(requests={"example.com/card": "1"})), None, None),
        (
            make_pod(container(requests={"hugepages-16Gi": "16Gi"})),
            "OutOfhugepages-16Gi",
            "Node didn't have enough resource: hugepages-16Gi, requested: 17179869184, used: 0, capacity: 0",
        ),
    ],
)
def test_node_admission(pod: dict[str, Any], reason: str | None, message: str | None) -> None:
    running = make_pod(container(requests={"cpu": "500m"}, ports=[{"containerPort": 1, "hostPort": 80}]))
    failure = node_admission_failure(pod, make_node(labels={"zone": "a"}), [running])
    assert (failure and failure.reason, failure and failure.message) == (reason, message)


def test_a_node_refuses_a_taint_that_a_pod_does_not_tolerate_unless_it_is_static() -> None:
    node = make_node(taints=[{"key": "x", "effect": "NoExecute"}])
    failure = node_admission_failure(make_pod(), node, [])
    message = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
    assert failure == AdmissionFailure("TaintToleration", message)
    static = make_pod()
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert node_admission_failure(static, node, []) is None


def test_allocatable_falls_back_to_capacity() -> None:
    assert allocatable_of({"status": {"capacity": {"cpu": "2", "pods": "5"}}}) == {"cpu": 2000, "pods": 5}
