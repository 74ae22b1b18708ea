"""Environment variables, expansion and their refusals."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from agent.pods.environment import (
    ConfigurationError,
    EnvironmentInputs,
    FileReference,
    Reference,
    environment_references,
    expand,
    expand_static,
    make_environment,
)
from agent.pods.field_reference import NodeFacts
from tests.fakes.agent_node import make_pod

SETTINGS = {"data": {"color": "red", "size": "xl"}}
SECRET = {"data": {"password": b64encode(b"geheim").decode()}}


def from_file(key: str, path: str = "a.env", **fields: Any) -> dict[str, Any]:
    return {"fileKeyRef": {"volumeName": "v", "path": path, "key": key, **fields}}


INPUTS = EnvironmentInputs(
    objects={
        Reference(kind="configmap", name="settings"): SETTINGS,
        Reference(kind="secret", name="login"): SECRET,
        Reference(kind="configmap", name="none"): None,
    },
    files={
        FileReference(volume="v", path="a.env"): "a='1'\nEMPTY=''\n",
        FileReference(volume="v", path="bad.env"): "a=1",
    },
    pod_ip="10.244.0.2",
    host_ip="10.244.0.1",
    node=NodeFacts.of({"status": {"allocatable": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Ki"}}}),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)/$(B)", "1/two"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("cost: 5$", "cost: 5$"),
        ("$(A", "$(A"),
        ("$(NO$(B)) $(B)", "$(NO$(B)) two"),
        ("$((A)", "$((A)"),
        ("$)$(A)", "$)1"),
        ("$A", "$A"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}, {"A": "other", "B": "two"}) == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}]}, {"A": "1", "B": "12"},
                     id="a variable sees those before it"),
        pytest.param({"env": [{"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}]}, {"B": "$(A)", "A": "1"},
                     id="and not those after it"),
        pytest.param({"env": [{"name": "EMPTY"}]}, {"EMPTY": ""}, id="a variable without a value is empty"),
        pytest.param({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}]},
                     {"P_color": "red", "P_size": "xl"}, id="envFrom with a prefix"),
        pytest.param({"envFrom": [{"configMapRef": {"name": "settings"}}], "env": [{"name": "color", "value": "blue"}]},
                     {"color": "blue", "size": "xl"}, id="env wins over envFrom"),
        pytest.param({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}],
                      "env": [{"name": "P_color", "value": "dark-$(P_color)"}, {"name": "B", "value": "$(P_color)"}]},
                     {"P_color": "dark-red", "P_size": "xl", "B": "dark-red"}, id="a variable sees those of envFrom"),
        pytest.param({"env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.host"}}}]},
                     {"N": "n1"}, id="the node's old name"),
        pytest.param({"envFrom": [{"configMapRef": {"name": "none", "optional": True}}]}, {},
                     id="an optional object may be missing"),
        pytest.param({"env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}]},
                     {"P": "geheim"}, id="secrets are decoded"),
        pytest.param({"env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
                     {"IP": "10.244.0.2"}, id="the pod's address"),
        pytest.param({"env": [{"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}]},
                     {"L": "shop"}, id="a label"),
        pytest.param({"env": [{"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory",
                                                                               "divisor": "1Mi"}}}],
                      "resources": {"limits": {"memory": "64Mi"}}}, {"M": "64"}, id="a limit by its divisor"),
        pytest.param({"env": [{"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]},
                     {"C": "4"}, id="a missing limit is the node's"),
        pytest.param({"env": [{"name": "S", "valueFrom": {"resourceFieldRef": {"resource": "limits.ephemeral-storage",
                      "divisor": "1Ki"}}}]}, {"S": "100"}, id="a limit that is unset is what the node has"),
        pytest.param({"env": [{"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}}],
                      "resources": {"requests": {"cpu": "1500m"}}}, {"C": "2"}, id="values are rounded up"),
    ],
)  # fmt: skip
def test_variables(container: dict[str, Any], expected: dict[str, str]) -> None:
    pod = make_pod(nodeName="n1")
    pod["metadata"]["labels"] = {"app": "shop"}
    assert make_environment(pod, {"name": "web", **container}, INPUTS) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "a"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "gone", "key": "a"}}, 'secret "gone" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "a"}}, "couldn't find key a in ConfigMap default/settings"),
        ({"secretKeyRef": {"name": "login", "key": "a"}}, "couldn't find key a in Secret default/login"),
        (from_file("b"), 'environment variable key "b" not found in file "a.env"'),
        (from_file("EMPTY"), 'environment variable key "EMPTY" not found in file "a.env"'),
        (from_file("a", path="gone.env"), "couldn't parse env file"),
        (from_file("a", path="gone.env", optional=True), "couldn't parse env file"),
        (from_file("a", path="bad.env"), "couldn't parse env file"),
        (from_file("a", path="bad.env", optional=True), "couldn't parse env file"),
    ],
)
def test_refusals_are_the_kubelets(source: dict[str, Any], message: str) -> None:
    container = {"name": "web", "env": [{"name": "A", "valueFrom": source}]}
    with pytest.raises(ConfigurationError, match="^" + message.replace("(", r"\(") + "$"):
        make_environment(make_pod(), container, INPUTS)


@pytest.mark.parametrize("source", [from_file("b", optional=True), from_file("EMPTY", optional=True)])
def test_an_optional_variable_of_a_file_may_be_missing(source: dict[str, Any]) -> None:
    container = {"name": "web", "env": [{"name": "A", "valueFrom": source}]}
    assert make_environment(make_pod(), container, INPUTS) == {}


def test_a_probe_knows_the_texts_of_env_alone() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}, {"name": "C", "valueFrom": from_file("a")}]
    assert expand_static(["$(A)", "$(B)", "[$(C)]", "$(HOME)"], {"env": env}) == ["1", "$(A)", "[]", "$(HOME)"]
    assert expand_static(["$(A)"], {}) == ["$(A)"]


def test_services_give_variables_that_replace_nothing() -> None:
    services = [
        {
            "metadata": {"name": "my-db", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.5", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]},
        },
        {"metadata": {"name": "quiet", "namespace": "default"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}},
        {"metadata": {"name": "far", "namespace": "other"}, "spec": {"clusterIP": "10.96.0.6", "ports": [{"port": 1}]}},
        {
            "metadata": {"name": "kubernetes", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
        },
    ]
    inputs = EnvironmentInputs(services=services)
    container = {"name": "web", "env": [{"name": "MY_DB_SERVICE_PORT", "value": "1"}]}
    found = make_environment(make_pod(), container, inputs)
    assert found["MY_DB_SERVICE_PORT"] == "1"
    assert found["MY_DB_SERVICE_PORT_SQL"] == "5432"
    assert found["MY_DB_PORT_5432_TCP"] == "tcp://10.96.0.5:5432"
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert not [name for name in found if name.startswith(("QUIET", "FAR"))]
    unlinked = make_environment(make_pod(enableServiceLinks=False), {"name": "web"}, inputs)
    assert "KUBERNETES_SERVICE_HOST" in unlinked
    assert "MY_DB_SERVICE_HOST" not in unlinked


def test_references_name_each_object_once() -> None:
    reference = {"configMapKeyRef": {"name": "settings", "key": "a"}}
    container = {"env": [{"name": "A", "valueFrom": reference}, {"name": "B", "valueFrom": reference}]}
    assert environment_references(container) == [Reference(kind="configmap", name="settings")]


def test_a_missing_limit_is_the_pods_before_it_is_the_nodes() -> None:
    pod = make_pod()
    pod["spec"]["resources"] = {"limits": {"cpu": "3"}}
    references = {name: {"resourceFieldRef": {"resource": f"limits.{name}"}} for name in ("cpu", "memory")}
    container = {"name": "web", "env": [{"name": name, "valueFrom": value} for name, value in references.items()]}
    assert make_environment(pod, container, INPUTS)["cpu"] == "3"
    assert make_environment(pod, container, INPUTS)["memory"] == str(INPUTS.node.memory_bytes)
