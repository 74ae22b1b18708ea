"""From a manifest to a static Pod."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pods.pod_spec import grace_period_seconds
from agent.static_pods.manifest import ManifestError, is_same_pod, read_manifest

FIELDS = [
    "name", "namespace", "uid", "annotations", "labels", "containers", "initContainers", "volumes", "tolerations",
    "image",
    "ports", "env", "envFrom", "volumeMounts", "restartPolicy", "priorityClassName", "hostNetwork", "securityContext",
    "ephemeralContainers", "configMap", "valueFrom", "terminationGracePeriodSeconds",
]  # fmt: skip
NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)


def manifest(name: str = "web", metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "web", "image": "web:1"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **(metadata or {})}, "spec": spec}


def read(body: Any, **options: Any) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return dict(read_manifest(content, "/manifests/web.yaml", "Node-1", NOW, **options))


def test_the_pod_is_named_after_its_node_and_marked_with_where_it_comes_from() -> None:
    pod = read(manifest(metadata={"annotations": {"mine": "x"}}))
    uid = pod["metadata"]["uid"]
    assert len(uid) == 32
    assert pod["metadata"] == {
        "name": "web-node-1",
        "namespace": "default",
        "uid": uid,
        "annotations": {
            "mine": "x",
            "kubernetes.io/config.hash": uid,
            "kubernetes.io/config.seen": "2026-01-01T12:00:00.123456Z",
            "kubernetes.io/config.source": "file",
        },
    }
    assert pod["spec"]["nodeName"] == "Node-1"
    assert pod["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert pod["status"] == {"phase": "Pending"}


def test_yaml_and_json_mean_the_same() -> None:
    text = b"apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: web, image: 'web:1'}\n"
    assert read(text) == read(manifest())


def test_a_changed_file_is_another_pod_and_the_same_file_read_later_is_not() -> None:
    one = read(manifest())
    later = read_manifest(json.dumps(manifest()).encode(), "/manifests/web.yaml", "Node-1", NOW + timedelta(hours=1))
    assert one != later
    assert is_same_pod(one, later)
    assert read(manifest(restartPolicy="Never"))["metadata"]["uid"] != one["metadata"]["uid"]


def test_a_uid_of_the_file_stays() -> None:
    pod = read(manifest(metadata={"uid": "u1"}))
    assert pod["metadata"]["uid"] == pod["metadata"]["annotations"]["kubernetes.io/config.hash"] == "u1"


def test_processes_are_shared_where_the_profile_says_so() -> None:
    assert read(manifest(), shares_processes=True)["spec"]["shareProcessNamespace"] is True
    assert read(manifest(shareProcessNamespace=False), shares_processes=True)["spec"]["shareProcessNamespace"] is False
    assert "shareProcessNamespace" not in read(manifest(hostPID=True), shares_processes=True)["spec"]
    assert "shareProcessNamespace" not in read(manifest())["spec"]


def test_ports_of_a_pod_in_the_hosts_network_are_the_hosts() -> None:
    container = {"name": "web", "image": "web", "ports": [{"containerPort": 80}]}
    made = read(manifest(hostNetwork=True, containers=[container], priorityClassName="system-node-critical"))["spec"]
    assert made["containers"][0]["ports"] == [{"protocol": "TCP", "hostPort": 80, "containerPort": 80}]
    assert made["containers"][0]["imagePullPolicy"] == "Always"
    assert made["priority"] == 2000001000


CONTAINER = {"name": "web", "image": "web:1"}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param(b"a: [", "cannot be read as YAML or JSON", id="no YAML"),
        pytest.param(b"", "it is no Pod of v1", id="nothing"),
        pytest.param({"apiVersion": "v1", "kind": "ConfigMap"}, "it is no Pod of v1", id="another kind"),
        pytest.param({"apiVersion": "v1", "kind": "Pod", "metadata": {}}, "spec is no object", id="no spec"),
        pytest.param({**manifest(), "metadata": {}}, "metadata.name is missing", id="no name"),
        pytest.param(manifest("Web"), 'metadata.name: Invalid value: "Web-node-1"', id="a name that cannot be"),
        pytest.param(manifest(containers=[]), "spec.containers: Required value", id="no containers"),
        pytest.param(manifest(containers="x"), "spec.containers is no list", id="containers that are none"),
        pytest.param(manifest(containers=[{"name": "a"}]), "containers[0].image: Required value", id="no image"),
        pytest.param(
            manifest(containers=[CONTAINER, CONTAINER]), 'spec.containers[1].name: Duplicate value: "web"', id="twice"
        ),
        pytest.param(
            manifest(containers=[{**CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]),
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
            id="a volume that is not there",
        ),
        pytest.param(manifest(restartPolicy="Maybe"), "spec.restartPolicy: Unsupported value", id="a policy"),
        pytest.param(
            manifest(ephemeralContainers=[CONTAINER]), "spec.ephemeralContainers: Forbidden", id="ephemeral containers"
        ),
        pytest.param(
            manifest(serviceAccountName="a"), "static pods may not reference serviceaccounts", id="a ServiceAccount"
        ),
        pytest.param(
            manifest(volumes=[{"name": "v", "configMap": {"name": "c"}}]),
            "static pods may not reference configmaps",
            id="a ConfigMap",
        ),
        pytest.param(
            manifest(volumes=[{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]),
            "static pods may not reference secrets",
            id="a Secret among others",
        ),
        pytest.param(
            manifest(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
            "static pods may not reference persistentvolumeclaims",
            id="a claim",
        ),
        pytest.param(
            manifest(containers=[{**CONTAINER, "envFrom": [{"secretRef": {"name": "s"}}]}]),
            "static pods may not reference secrets",
            id="a Secret as environment",
        ),
        pytest.param(
            manifest(
                containers=[{**CONTAINER, "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"key": "k"}}}]}]
            ),
            "static pods may not reference configmaps",
            id="a key as environment",
        ),
        pytest.param(
            manifest(resourceClaims=[{"name": "r"}]), "static pods may not reference resourceclaims", id="devices"
        ),
    ],
)
def test_a_file_that_means_no_static_pod_is_refused(body: Any, problem: str) -> None:
    with pytest.raises(ManifestError) as refusal:
        read(body)
    assert problem in str(refusal.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(ANYTHING, st.sampled_from(["spec", "metadata", "container"]), st.sampled_from(FIELDS))
def test_no_field_of_whatever_type_raises_anything_else(value: Any, place: str, field: str) -> None:
    body = manifest()
    target = body["spec"]["containers"][0] if place == "container" else body[place]
    target[field] = value
    with contextlib.suppress(ManifestError):
        pod = read(body)
        json.dumps(pod)
        assert grace_period_seconds(pod) >= 0
        assert isinstance(pod["metadata"]["uid"], str)
