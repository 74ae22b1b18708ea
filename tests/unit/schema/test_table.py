from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from control.api.builtin_kinds import BUILTIN_KINDS, CONFIG_MAPS, DEPLOYMENTS, LIMIT_RANGES, NODES, PODS, SERVICES
from control.api.errors import ApiError
from control.api.kinds import Kind
from control.schema.columns import layout_of
from control.schema.columns.column import human_duration
from control.schema.table import make_table
from tests.recordings import Step, filled, needs_recordings, recorded_steps

NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
CREATED = "2026-01-01T00:00:00Z"


def cells_of(kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
    table = make_table(kind, [obj], now=NOW)
    names = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][0]["cells"], strict=True))


def pod(*, metadata: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "x", "creationTimestamp": CREATED, **(metadata or {})},
        "spec": spec or {"containers": [{"name": "c"}]},
        "status": status,
    }


def container(name: str = "c", **fields: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 0, "state": {}, **fields}


RUNNING = {"running": {"startedAt": CREATED}}
INIT_SPEC = {"containers": [{"name": "c"}], "initContainers": [{"name": "a"}, {"name": "b"}]}
SIDECAR_SPEC = {"containers": [{"name": "c"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}


@pytest.mark.parametrize(
    ("obj", "ready", "status"),
    [
        (pod(phase="Pending"), "0/1", "Pending"),
        (pod(phase="Running", containerStatuses=[container(ready=True, state=RUNNING)]), "1/1", "Running"),
        (
            pod(phase="Running", containerStatuses=[container(state={"waiting": {"reason": "CrashLoopBackOff"}})]),
            "0/1",
            "CrashLoopBackOff",
        ),
        (
            pod(phase="Failed", containerStatuses=[container(state={"terminated": {"exitCode": 3}})]),
            "0/1",
            "ExitCode:3",
        ),
        (
            pod(phase="Failed", containerStatuses=[container(state={"terminated": {"exitCode": 137, "signal": 9}})]),
            "0/1",
            "Signal:9",
        ),
        (pod(phase="Failed", reason="Evicted"), "0/1", "Evicted"),
        (
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
            "0/1",
            "SchedulingGated",
        ),
        (
            pod(spec=INIT_SPEC, phase="Pending", initContainerStatuses=[container("a", state=DONE), container("b")]),
            "0/1",
            "Init:1/2",
        ),
        (
            pod(
                spec=INIT_SPEC,
                phase="Pending",
                initContainerStatuses=[container("a", state={"terminated": {"exitCode": 1, "reason": "Error"}})],
            ),
            "0/1",
            "Init:Error",
        ),
        (
            pod(
                spec=SIDECAR_SPEC,
                phase="Running",
                initContainerStatuses=[container("s", started=True, ready=True, state=RUNNING)],
                containerStatuses=[container(ready=True, state=RUNNING)],
            ),
            "2/2",
            "Running",
        ),
        (
            pod(
                spec={"containers": [{"name": "c"}, {"name": "d"}]},
                phase="Running",
                containerStatuses=[container(state=DONE), container("d", ready=True, state=RUNNING)],
                conditions=[{"type": "Ready", "status": "False"}],
            ),
            "1/2",
            "NotReady",
        ),
        (pod(metadata={"deletionTimestamp": CREATED}, phase="Running"), "0/1", "Terminating"),
        (pod(metadata={"deletionTimestamp": CREATED}, phase="Running", reason="NodeLost"), "0/1", "Unknown"),
        (pod(metadata={"deletionTimestamp": CREATED}, phase="Succeeded"), "0/1", "Succeeded"),
    ],
    ids=[
        "waits for a node",
        "runs",
        "crashes",
        "ended with a code and no reason",
        "ended by a signal",
        "was evicted",
        "is gated",
        "initializes",
        "failed to initialize",
        "counts sidecars",
        "has one container done and one running",
        "is being deleted",
        "is on a lost node",
        "was deleted after it was done",
    ],
)
def test_status_of_a_pod_that(obj: dict[str, Any], ready: str, status: str) -> None:
    cells = cells_of(PODS, obj)
    assert (cells["Ready"], cells["Status"]) == (ready, status)


def test_restarts_tell_when_the_last_one_was() -> None:
    last = {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:02:00Z"}}
    obj = pod(phase="Running", containerStatuses=[container(restartCount=2, lastState=last, state=RUNNING)])
    assert cells_of(PODS, obj)["Restarts"] == "2 (3m ago)"


def test_a_completed_pod_is_marked_for_clients_that_hide_it() -> None:
    row = make_table(PODS, [pod(phase="Succeeded")], now=NOW)["rows"][0]
    assert row["conditions"][0]["reason"] == "Succeeded"
    assert "conditions" not in make_table(PODS, [pod(phase="Running")], now=NOW)["rows"][0]


def test_a_deployment_shows_ready_of_wanted_and_what_it_runs() -> None:
    template = {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    obj = {"metadata": {"name": "x", "creationTimestamp": CREATED}, "spec": spec, "status": {"readyReplicas": 1}}
    cells = cells_of(DEPLOYMENTS, obj)
    assert (cells["Ready"], cells["Available"], cells["Age"]) == ("1/3", 0, "5m")
    assert (cells["Containers"], cells["Images"], cells["Selector"]) == ("a,b", "i,j", "app=web")


def test_a_node_shows_roles_readiness_and_cordon() -> None:
    obj = {
        "metadata": {
            "name": "n",
            "labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"},
        },
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
    }
    cells = cells_of(NODES, obj)
    assert (cells["Status"], cells["Roles"], cells["Age"]) == (
        "NotReady,SchedulingDisabled",
        "control-plane,edge",
        "<unknown>",
    )


def test_a_service_shows_ports_and_addresses() -> None:
    ports = [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    spec = {"type": "LoadBalancer", "clusterIPs": ["10.96.0.5"], "ports": ports}
    obj = {"metadata": {"name": "s", "creationTimestamp": CREATED}, "spec": spec, "status": {}}
    cells = cells_of(SERVICES, obj)
    assert (cells["External-IP"], cells["Port(s)"]) == ("<pending>", "80:30080/TCP,53/UDP")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (7 * 3600 + 60, "7h1m"),
        (8 * 3600, "8h"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (2 * 365 * 86400, "2y"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400 + 86400, "9y"),
    ],
)
def test_durations_are_short_for_people(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def test_rows_carry_what_was_asked_for() -> None:
    obj = {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}
    rows = {
        choice: make_table(CONFIG_MAPS, [obj], now=NOW, include_object=choice)["rows"][0]["object"]
        for choice in ("None", "Object", "Metadata", "")
    }
    assert rows["None"] is None
    assert rows["Object"] == obj
    assert rows["Metadata"]["kind"] == rows[""]["kind"] == "PartialObjectMetadata"
    with pytest.raises(ApiError, match="must be 'Metadata', 'Object', 'None', or empty"):
        make_table(CONFIG_MAPS, [obj], now=NOW, include_object="All")


def test_a_kind_without_columns_shows_name_and_creation() -> None:
    obj = {"metadata": {"name": "x", "creationTimestamp": CREATED}}
    assert cells_of(LIMIT_RANGES, obj) == {"Name": "x", "Created At": CREATED}


def test_later_events_of_a_watch_have_no_headers() -> None:
    assert make_table(CONFIG_MAPS, [], now=NOW, with_headers=False)["columnDefinitions"] is None


@pytest.mark.parametrize("kind", [kind for kind in BUILTIN_KINDS if "list" in kind.verbs], ids=lambda kind: kind.kind)
def test_an_object_with_a_name_alone_makes_a_row(kind: Kind) -> None:
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}}
    row = make_table(kind, [obj], now=NOW)["rows"][0]["cells"]
    extra = 1 if kind.kind == "IPAddress" else 0
    assert len(row) == len(layout_of(kind).columns) + extra
    assert "x" in row


def kind_of(step: Step) -> Kind:
    path = step.request["path"].replace("/namespaces/${NS}", "")
    return next(
        kind
        for kind in BUILTIN_KINDS
        if path.startswith(f"{kind.base_path}/") and path.split("/")[kind.base_path.count("/") + 1] == kind.plural
    )


@needs_recordings
def test_tables_equal_the_recorded_ones() -> None:
    compared = 0
    seen: dict[str, dict[tuple[str, str], Any]] = {}
    for step in recorded_steps("table/*"):
        if not isinstance(step.body, dict):
            continue
        objects = seen.setdefault(step.scenario, {})
        if step.body.get("kind") != "Table":
            name = step.body.get("metadata", {}).get("name")
            objects[step.body.get("kind", ""), name] = filled(step.body)
            continue
        kind = kind_of(step)
        position = [column["name"] for column in step.body["columnDefinitions"]].index("Name")
        chosen = [objects[kind.kind, row["cells"][position]] for row in step.body["rows"]]
        table = make_table(kind, chosen, now=NOW)
        assert table["columnDefinitions"] == step.body["columnDefinitions"], step.scenario
        for row, expected in zip(table["rows"], filled(step.body["rows"]), strict=True):
            cells = [
                "${AGE}" if text == "${AGE}" else cell
                for cell, text in zip(row["cells"], expected["cells"], strict=True)
            ]
            assert [str(cell).replace(":30000/", ":${NODEPORT1}/") for cell in cells] == list(
                map(str, expected["cells"])
            )
            assert [type(cell) for cell in cells] == [type(cell) for cell in expected["cells"]], step.scenario
            assert row.get("conditions") == expected.get("conditions")
        compared += 1
    assert compared > 50
