"""Workloads, Services, ConfigMaps, Secrets, Namespaces: one base object per kind, one mutation per sentence."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import (
    BUILTIN_KINDS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    SECRETS,
    STATEFUL_SETS,
)
from control.api.kinds import Kind
from control.api.objects import Object
from control.apiserver.registry.strategies import STRATEGIES, strategy_for
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, change, created, texts, updated

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
WORKLOAD: Object = {
    "metadata": {"name": "web"},
    "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE},
}
JOB: Object = {
    "metadata": {"name": "once"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}}},
}


def test_every_strategy_belongs_to_a_built_in_kind() -> None:
    known = {(kind.group, kind.kind) for kind in BUILTIN_KINDS}
    assert set(STRATEGIES) <= known
    for kind in BUILTIN_KINDS:
        strategy_for(kind)


@pytest.mark.parametrize("kind", [DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS], ids=lambda kind: str(kind.plural))
def test_a_selector_is_fixed(kind: Kind) -> None:
    old, errors = created(kind, WORKLOAD)
    assert texts(errors) == []
    moved = change(change(old, "spec.selector.matchLabels.app", "x"), "spec.template.metadata.labels.app", "x")
    found = texts(updated(kind, old, moved))
    assert any("field is immutable" in text or "are forbidden" in text for text in found)


@pytest.mark.parametrize(
    ("kind", "body", "path", "value", "cause"),
    [
        pytest.param(
            DEPLOYMENTS,
            WORKLOAD,
            "spec.template.metadata.labels",
            {"app": "other"},
            'spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` does not match template '
            "`labels`",
            id="a deployment finds its own pods",
        ),
        pytest.param(
            DEPLOYMENTS,
            WORKLOAD,
            "spec.strategy",
            {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
            id="a rolling update can move",
        ),
        pytest.param(
            DEPLOYMENTS,
            WORKLOAD,
            "spec.replicas",
            -1,
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            id="replicas are not negative",
        ),
        pytest.param(
            JOBS,
            JOB,
            "spec.template.spec.restartPolicy",
            "Always",
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
            id="a job's pods end",
        ),
        pytest.param(
            CONFIG_MAPS,
            {"metadata": {"name": "c"}},
            "data",
            {"big": "x" * (1024 * 1024 + 1)},
            "[]: Too long: may not be more than 1048576 bytes",
            id="a config map holds at most 1 MiB",
        ),
        pytest.param(
            SECRETS,
            {"metadata": {"name": "s"}, "type": "kubernetes.io/tls"},
            "data",
            {"tls.crt": "YQ=="},
            "data[tls.key]: Required value",
            id="a tls secret has a key",
        ),
    ],
)
def test_a_changed_object_is_judged(kind: Kind, body: Object, path: str, value: Any, cause: str) -> None:
    _, errors = created(kind, change(body, path, value))
    assert cause in texts(errors)


def test_a_job_makes_its_selector_of_its_uid() -> None:
    job, errors = created(JOBS, JOB)
    assert texts(errors) == []
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert job["spec"]["template"]["metadata"]["labels"]["job-name"] == "once"
    assert "labels" not in job["metadata"]  # copied from the template when it is stored, after validation


def test_string_data_becomes_data() -> None:
    secret, errors = created(SECRETS, {"metadata": {"name": "s"}, "stringData": {"k": "v"}, "data": {"k": "eA=="}})
    assert texts(errors) == []
    assert (secret["type"], secret["data"], "stringData" in secret) == ("Opaque", {"k": "dg=="}, False)


def test_an_immutable_config_map_stays() -> None:
    old, _ = created(CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"a": "b"}, "immutable": True})
    assert texts(updated(CONFIG_MAPS, old, change(old, "data.a", "c"))) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]


def test_a_namespace_keeps_its_finalizers_but_for_the_finalize_subresource() -> None:
    namespace, _ = created(NAMESPACES, {"metadata": {"name": "n"}})
    assert namespace["spec"]["finalizers"] == ["kubernetes"]
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    emptied = change(namespace, "spec", {})
    strategy_for(NAMESPACES).prepare_for_update(CONTEXT, emptied, namespace)
    assert emptied["spec"]["finalizers"] == ["kubernetes"]


def test_a_daemon_set_counts_the_generations_of_its_template() -> None:
    old, _ = created(DAEMON_SETS, WORKLOAD)
    new = change(old, "spec.template.spec.containers.0.image", "i:2")
    strategy_for(DAEMON_SETS).prepare_for_update(CONTEXT, new, old)
    assert new["metadata"]["annotations"] == {"deprecated.daemonset.template.generation": "2"}
