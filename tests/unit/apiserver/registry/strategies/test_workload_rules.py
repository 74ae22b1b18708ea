"""Rules of the workloads beyond the recorded ones, in upstream's words."""

from __future__ import annotations

import pytest

from control.api.builtin_kinds import DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS
from control.api.kinds import Kind
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, change, created, texts, updated

LABELS = {"app": "web"}
WORKLOAD: Object = {
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}
CLAIM: Object = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
CLAIMING = change(WORKLOAD, "spec.volumeClaimTemplates", [CLAIM])
MOUNTING = change(CLAIMING, "spec.template.spec.containers.0.volumeMounts", [{"name": "data", "mountPath": "/data"}])


def causes(kind: Kind, body: Object) -> list[str]:
    return texts(created(kind, body)[1])


def changed_status(kind: Kind, old_status: Object, status: Object) -> list[str]:
    old, _ = created(kind, WORKLOAD)
    old["status"] = {**old["status"], **old_status}
    obj = copy_object(old)
    obj["status"] = {**strategy_for(kind).empty_status, **status}  # type: ignore[attr-defined]
    return texts(strategy_for(kind).validate_status_update(CONTEXT, obj, old))


def test_a_template_may_mount_the_claims_of_its_stateful_set() -> None:
    assert causes(STATEFUL_SETS, MOUNTING) == []


def test_claims_take_the_place_of_volumes_of_their_name() -> None:
    volumes = [{"name": "data", "emptyDir": {}}]
    assert causes(STATEFUL_SETS, change(MOUNTING, "spec.template.spec.volumes", volumes)) == []


def test_claim_templates_are_claims() -> None:
    odd = change(CLAIMING, "spec.volumeClaimTemplates.0.spec.accessModes", [])
    assert causes(STATEFUL_SETS, odd) == [
        "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required"
    ]


def test_what_was_stored_broken_may_stay_so() -> None:
    odd = change(CLAIMING, "spec.volumeClaimTemplates.0.spec.accessModes", [])
    odd = change(odd, "spec.template.spec.containers.0.name", "A")
    old, broken = created(STATEFUL_SETS, odd)
    assert len(broken) == 2

    assert texts(updated(STATEFUL_SETS, old, change(odd, "spec.replicas", 3))) == []


def test_only_one_pod_of_a_stateful_set_is_ever_missing() -> None:
    update = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "0%"}}
    obj, broken = created(STATEFUL_SETS, change(WORKLOAD, "spec.updateStrategy", update))

    assert (obj["spec"]["updateStrategy"]["rollingUpdate"], broken) == ({"partition": 0}, [])


def test_claims_and_endless_histories_are_warned_of() -> None:
    odd = change(CLAIMING, "spec.volumeClaimTemplates.0.spec.resources.requests.storage", "1500m")
    obj, _ = created(STATEFUL_SETS, change(odd, "spec.revisionHistoryLimit", -1))
    strategy = strategy_for(STATEFUL_SETS)
    claim, history = (
        '.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer',
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended",
    )

    assert strategy.warnings_on_create(CONTEXT, obj) == [f"spec.volumeClaimTemplates[0]{claim}", history]
    assert strategy.warnings_on_update(CONTEXT, obj, obj) == [f"spec.volumeClaimTemplates[0].Spec{claim}", history]


UNREADABLE = {"matchExpressions": [{"key": "app", "operator": "Near", "values": ["a"]}]}
OPERATOR = 'spec.selector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator'
SHOWN = '{"matchExpressions":[{"key":"app","operator":"Near","values":["a"]}]}'


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param(kind, expected, id=kind.kind)
        for kind, expected in (
            (DEPLOYMENTS, [OPERATOR, f"spec.selector: Invalid value: {SHOWN}: invalid label selector"]),
            (REPLICA_SETS, [OPERATOR, f"spec.selector: Invalid value: {SHOWN}: invalid label selector"]),
            (STATEFUL_SETS, [OPERATOR, f"spec.selector: Invalid value: {SHOWN}"]),
            (DAEMON_SETS, [OPERATOR]),
        )
    ],
)
def test_a_selector_that_cannot_be_read_is_the_only_cause(kind: Kind, expected: list[str]) -> None:
    assert causes(kind, change(WORKLOAD, "spec.selector", UNREADABLE)) == expected


def test_daemon_sets_judge_numbers_before_what_they_mean_together() -> None:
    update = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "120%", "maxSurge": "x"}}
    where = "spec.updateStrategy.rollingUpdate"

    assert causes(DAEMON_SETS, change(WORKLOAD, "spec.updateStrategy", update)) == [
        f'{where}.maxSurge: Invalid value: "x": a valid percent string must be a numeric string followed by an '
        "ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        f'{where}.maxUnavailable: Invalid value: "120%": must not be greater than 100%',
    ]


STATUSES: list[tuple[str, Kind, Object, Object, list[str]]] = [
    ("counters of stateful sets are bounded", STATEFUL_SETS, {}, {"replicas": 1, "readyReplicas": 2,
     "currentReplicas": 2, "updatedReplicas": 2, "availableReplicas": 3},
     [*(f"status.{name}Replicas: Invalid value: {count}: cannot be greater than status.replicas"
        for name, count in (("ready", 2), ("current", 2), ("updated", 2), ("available", 3))),
      "status.availableReplicas: Invalid value: 3: cannot be greater than status.readyReplicas"]),
    ("counters of stateful sets are not negative", STATEFUL_SETS, {}, {"replicas": -1},
     ["status.replicas: Invalid value: -1: must be greater than or equal to 0",
      *(f"status.{name}Replicas: Invalid value: 0: cannot be greater than status.replicas"
        for name in ("ready", "current", "updated", "available"))]),
    ("collisions of stateful sets are kept", STATEFUL_SETS, {"collisionCount": 2}, {"replicas": 0},
     ["status.collisionCount: Invalid value: 0: cannot be decremented"]),
    ("collisions of deployments are kept", DEPLOYMENTS, {"collisionCount": 2}, {"collisionCount": 1},
     ["status.collisionCount: Invalid value: 1: cannot be decremented"]),
    ("collisions of daemon sets are kept", DAEMON_SETS, {"collisionCount": 2}, {"collisionCount": 1},
     ["status.collisionCount: Invalid value: 1: cannot be decremented"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "status", "expected"), [pytest.param(*row[1:], id=row[0]) for row in STATUSES])
def test_odd_statuses_have_upstream_causes(kind: Kind, old: Object, status: Object, expected: list[str]) -> None:
    assert changed_status(kind, old, status) == expected


@pytest.mark.parametrize("kind", [DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS], ids=lambda kind: kind.kind)
def test_templates_are_warned_of_when_they_change(kind: Kind) -> None:
    odd = change(WORKLOAD, "spec.template.spec.nodeSelector", {"beta.kubernetes.io/os": "linux"})
    old, _ = created(kind, odd)
    same = copy_object(old)
    newer, strategy = change(odd, "spec.template.spec.containers.0.image", "j"), strategy_for(kind)
    for body in (same, newer):
        strategy.default(body)
        strategy.prepare_for_update(CONTEXT, body, old)
    warning = (
        'spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'
    )

    assert strategy.warnings_on_update(CONTEXT, same, old) == []
    assert strategy.warnings_on_update(CONTEXT, newer, old) == [warning]
