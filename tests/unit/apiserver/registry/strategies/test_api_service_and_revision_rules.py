"""Rules of APIServices and ControllerRevisions beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.kinds import Kind
from control.api.objects import Object
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.registry.strategies.writes import (
    CONTEXT,
    REMOVED,
    change,
    created,
    served_kind,
    texts,
    updated,
)

SERVICES, REVISIONS = served_kind("apiregistration.k8s.io", "apiservices"), served_kind("apps", "controllerrevisions")

SERVICE: Object = {
    "metadata": {"name": "v1.a.b"},
    "spec": {
        "group": "a.b",
        "version": "v1",
        "groupPriorityMinimum": 1,
        "versionPriority": 1,
        "service": {"namespace": "n", "name": "s"},
    },
}
LOCAL = change(SERVICE, "spec.service", REMOVED)
REVISION: Object = {"metadata": {"name": "r"}, "data": {"spec": {}}, "revision": 1}

CREATES: list[tuple[str, Kind, Object, str, Any, list[str]]] = [
    ("a good service", SERVICES, SERVICE, "spec.caBundle", "eHg=", []),
    ("a good local service", SERVICES, LOCAL, "spec.versionPriority", 1000, []),
    ("a good revision", REVISIONS, REVISION, "revision", 0, []),
    ("named by version and group", SERVICES, SERVICE, "metadata.name", "x",
     ['metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.a.b"']),
    ("only v1 has no group", SERVICES, {**LOCAL, "metadata": {"name": "v2."}}, "spec",
     {"version": "v2", "groupPriorityMinimum": 1, "versionPriority": 1},
     ["spec.group: Required value: only v1 may have an empty group and it better be legacy kube"]),
    ("the first group has no name", SERVICES, {**LOCAL, "metadata": {"name": "v1."}}, "spec",
     {"version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}, []),
    ("groups have priorities", SERVICES, SERVICE, "spec.groupPriorityMinimum", 20001,
     ["spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000"]),
    ("versions have priorities", SERVICES, SERVICE, "spec.versionPriority", REMOVED,
     ["spec.versionPriority: Invalid value: 0: must be positive and less than 1000"]),
    ("services are somewhere", SERVICES, SERVICE, "spec.service", {},
     ["spec.service.namespace: Required value", "spec.service.name: Required value"]),
    ("local services are trusted", SERVICES, change(LOCAL, "spec.insecureSkipTLSVerify", True), "spec.caBundle", "eHg=",
     ['spec.caBundle: Invalid value: "2 bytes": local APIServices may not have a caBundle',
      "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify"]),
    ("trusted or verified", SERVICES, change(SERVICE, "spec.insecureSkipTLSVerify", True), "spec.caBundle", "eHg=",
     ["spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"]),
    ("revisions have data", REVISIONS, REVISION, "data", REMOVED, ["data: Required value: data is mandatory"]),
    ("revisions count up", REVISIONS, REVISION, "revision", -1,
     ["revision: Invalid value: -1: must be greater than or equal to 0"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "path", "value", "expected"), [pytest.param(*row[1:], id=row[0]) for row in CREATES]
)
def test_odd_objects_have_upstream_causes(kind: Kind, body: Object, path: str, value: Any, expected: list[str]) -> None:
    assert texts(created(kind, change(body, path, value))[1]) == expected


def test_data_of_a_revision_are_fixed() -> None:
    old = created(REVISIONS, REVISION)[0]

    assert updated(REVISIONS, old, change(REVISION, "revision", 2)) == []
    assert texts(updated(REVISIONS, old, change(REVISION, "data", {"spec": 1}))) == [
        'data: Invalid value: {"spec":1}: field is immutable'
    ]


def test_conditions_of_a_service_are_true_false_or_unknown() -> None:
    old = created(SERVICES, SERVICE)[0]
    obj = {**old, "status": {"conditions": [{"type": "Available", "status": "Odd"}]}}

    assert texts(strategy_for(SERVICES).validate_status_update(CONTEXT, obj, old)) == [
        'status.conditions[0].status: Unsupported value: "Odd": supported values: "True", "False", "Unknown"'
    ]
