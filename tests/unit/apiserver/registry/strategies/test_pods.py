"""Pods: one base object, one mutation per sentence."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PODS
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from control.apiserver.registry.strategies.pod_defaults import default_pod_template
from control.apiserver.registry.strategies.pods import PodStrategy
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, REMOVED, change, created, texts, updated

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {
        "serviceAccountName": "default",
        "volumes": [{"name": "work", "emptyDir": {}}],
        "containers": [
            {
                "name": "nginx",
                "image": "nginx:1.27",
                "ports": [{"name": "http", "containerPort": 80}],
                "volumeMounts": [{"name": "work", "mountPath": "/work"}],
            }
        ],
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
    },
}


def test_the_base_pod_is_valid_and_defaulted() -> None:
    pod, errors = created(PODS, POD)
    assert texts(errors) == []
    container = pod["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["ports"] == [{"name": "http", "containerPort": 80, "protocol": "TCP"}]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


CONTAINER = "spec.containers.0"


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        pytest.param("spec.containers", [], "spec.containers: Required value", id="a pod needs a container"),
        pytest.param(
            f"{CONTAINER}.image", REMOVED, "spec.containers[0].image: Required value", id="a container needs an image"
        ),
        pytest.param(
            f"{CONTAINER}.volumeMounts.0.name",
            "other",
            'spec.containers[0].volumeMounts[0].name: Not found: "other"',
            id="a mount names a volume of the pod",
        ),
        pytest.param(
            f"{CONTAINER}.ports.0.containerPort",
            70000,
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            id="a port is below 65536",
        ),
        pytest.param(
            f"{CONTAINER}.resources",
            {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}},
            'spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit '
            "of 1Gi",
            id="a request stays below its limit",
        ),
        pytest.param(
            f"{CONTAINER}.livenessProbe",
            {"exec": {"command": ["true"]}, "successThreshold": 2},
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            id="a liveness probe succeeds at once",
        ),
        pytest.param(
            f"{CONTAINER}.lifecycle",
            {"preStop": {"sleep": {"seconds": 60}}},
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 60: must be non-negative and less than "
            "terminationGracePeriodSeconds (30)",
            id="a hook sleeps no longer than the grace period",
        ),
        pytest.param(
            "spec.initContainers",
            [{"name": "init", "image": "i", "readinessProbe": {"exec": {"command": ["true"]}}}],
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
            "restartPolicy=Always",
            id="only sidecars among the init containers have probes",
        ),
        pytest.param(
            "spec.initContainers",
            [{"name": "nginx", "image": "i"}],
            'spec.initContainers[0].name: Duplicate value: "nginx"',
            id="init containers and containers share their names",
        ),
        pytest.param(
            "spec.volumes.0",
            {"name": "work", "emptyDir": {}, "hostPath": {"path": "/x"}},
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            id="a volume has one source",
        ),
        pytest.param(
            "spec.volumes.0.hostPath",
            {"path": "/a/../b"},
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            id="the source that comes second is the one too many",
        ),
        pytest.param(
            "spec.shareProcessNamespace",
            True,
            None,
            id="sharing processes is allowed",
        ),
        pytest.param(
            "spec.securityContext",
            {"fsGroup": -1},
            "spec.securityContext.fsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            id="group ids are not negative",
        ),
        pytest.param(
            "spec.hostNetwork",
            True,
            None,
            id="host ports follow from container ports in the host's network",
        ),
        pytest.param(
            "spec.overhead",
            {"cpu": "-1"},
            'spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
            id="overhead is not negative",
        ),
    ],
)
def test_a_changed_pod_is_judged(path: str, value: Any, cause: str | None) -> None:
    _, errors = created(PODS, change(POD, path, value))
    found = texts(errors)
    assert (cause in found) if cause else (found == [])


def _running() -> Object:
    pod, _ = created(PODS, POD)
    pod["spec"]["nodeName"] = "node-1"
    return pod


@pytest.mark.parametrize(
    ("path", "value", "start"),
    [
        pytest.param(f"{CONTAINER}.image", "nginx:1.28", None, id="an image may change"),
        pytest.param("spec.activeDeadlineSeconds", 10, None, id="a deadline may be set"),
        pytest.param("spec.tolerations.0.tolerationSeconds", 9, None, id="a toleration may last longer"),
        pytest.param("metadata.labels", {"a": "b"}, None, id="labels may change"),
        pytest.param("spec.nodeName", "node-2", "spec: Forbidden: pod updates may not change", id="the node is fixed"),
        pytest.param(
            f"{CONTAINER}.env", [{"name": "A"}], "spec: Forbidden: pod updates may not change", id="env is fixed"
        ),
        pytest.param(
            "spec.tolerations", [], "spec.tolerations: Forbidden: existing toleration", id="tolerations only grow"
        ),
    ],
)
def test_an_update_changes_almost_nothing(path: str, value: Any, start: str | None) -> None:
    old = _running()
    found = texts(updated(PODS, old, change(old, path, value)))
    if start is None:
        assert found == []
    else:
        assert [text for text in found if text.startswith(start)]


def test_a_refused_update_shows_the_difference_of_the_internal_form() -> None:
    old = _running()
    (text,) = texts(updated(PODS, old, change(old, "spec.hostname", "other")))
    assert '\n- "Hostname": "",\n+ "Hostname": "other",\n' in text


@pytest.mark.parametrize(
    ("changes", "requested", "seconds"),
    [
        pytest.param({}, None, 30, id="the pod's own grace period is the default"),
        pytest.param({}, 5, 5, id="a request overrides it"),
        pytest.param({}, 0, 0, id="zero deletes at once"),
        pytest.param({}, -3, 1, id="a negative request means one second"),
        pytest.param({"spec.nodeName": ""}, 30, 0, id="a pod on no node goes at once"),
        pytest.param({"status.phase": "Succeeded"}, None, 0, id="a finished pod goes at once"),
        pytest.param(
            {"metadata.deletionTimestamp": "2026-01-01T00:00:20Z", "metadata.deletionGracePeriodSeconds": 20},
            30,
            20,
            id="a later request never lengthens the grace period",
        ),
        pytest.param(
            {"metadata.deletionTimestamp": "2026-01-01T00:00:20Z", "metadata.deletionGracePeriodSeconds": 20},
            3,
            3,
            id="a later request may shorten the grace period",
        ),
    ],
)
def test_grace_period(changes: dict[str, Any], requested: int | None, seconds: int) -> None:
    pod = _running()
    for path, value in changes.items():
        pod = change(pod, path, value)
    assert PodStrategy().begin_graceful_delete(CONTEXT, pod, requested) == seconds


def test_a_negative_grace_period_is_one_second_but_in_templates() -> None:
    pod = copy_object(POD)
    pod["spec"]["terminationGracePeriodSeconds"] = -1
    strategy_for(PODS).default(pod)
    assert pod["spec"]["terminationGracePeriodSeconds"] == 1
    template: Object = {"template": {"spec": {"terminationGracePeriodSeconds": -1}}}
    default_pod_template(template)
    assert template["template"]["spec"]["terminationGracePeriodSeconds"] == -1


def test_defaults_are_the_same_when_applied_twice() -> None:
    pod, _ = created(PODS, change(POD, f"{CONTAINER}.resources", {"limits": {"cpu": "1000m", "memory": "1024Mi"}}))
    again = copy_object(pod)
    strategy_for(PODS).default(again)
    assert again == pod
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}


def test_the_writer_of_a_status_cannot_bring_a_container_back() -> None:
    old = change(_running(), "spec.restartPolicy", "Never")
    ended = {"name": "nginx", "state": {"terminated": {"exitCode": 1}}}
    old["status"]["containerStatuses"] = [ended]
    new = copy_object(old)
    new["status"]["containerStatuses"] = [{"name": "nginx", "state": {"running": {}}}]
    assert texts(PodStrategy().validate_status_update(CONTEXT, new, old)) == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]
