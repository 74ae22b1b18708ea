"""Rules of Jobs and CronJobs beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import CRON_JOBS, JOBS
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, change, created, texts, updated

JOB: Object = {
    "metadata": {"name": "sums"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
}
INDEXED = change(JOB, "spec", {**JOB["spec"], "completionMode": "Indexed", "completions": 5})
CRON: Object = {
    "metadata": {"name": "nightly"},
    "spec": {"schedule": "0 1 * * *", "jobTemplate": {"spec": JOB["spec"]}},
}


def case(sentence: str, *rows: Any) -> Any:
    return pytest.param(*rows, id=sentence)


def failure_rules(*rules: Object) -> Object:
    return {"rules": list(rules)}


RULE = "spec.podFailurePolicy.rules[0]"
ACTIONS = '"Count", "FailIndex", "FailJob", "Ignore"'
CREATES = [
    case(
        "a rule of failures says what to do and when",
        JOB, "spec.podFailurePolicy", failure_rules({"action": ""}),
        [f'{RULE}.action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
         f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"],
    ),
    case(
        "a rule of failures looks at codes or at conditions",
        JOB, "spec.podFailurePolicy",
        failure_rules({"action": "Odd", "onExitCodes": {"operator": "", "values": [2, 1]},
                       "onPodConditions": [{"type": "Ready", "status": "Maybe"}]}),
        [f'{RULE}.action: Unsupported value: "Odd": supported values: {ACTIONS}',
         f'{RULE}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
         f"{RULE}.onExitCodes.values: Invalid value: [2,1]: must be ordered",
         f'{RULE}.onPodConditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
         f"{RULE}: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"],
    ),
    case(
        "a rule of failures has at most twenty conditions",
        JOB, "spec.podFailurePolicy",
        failure_rules({"action": "Ignore", "onPodConditions": [{"type": "Ready", "status": "True"}] * 21}),
        [f"{RULE}.onPodConditions: Too many: 21: must have at most 20 items"],
    ),
    case(
        "indexes of a success rule can be read",
        INDEXED, "spec.successPolicy", {"rules": [{"succeededIndexes": "1-2-3"}, {"succeededIndexes": "3,2"},
                                                  {"succeededIndexes": "7"}, {"succeededCount": 6}]},
        ['spec.successPolicy.rules[0].succeededIndexes: Invalid value: "1-2-3": error parsing succeededIndexes: the '
         "fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by "
         "'-'",
         'spec.successPolicy.rules[1].succeededIndexes: Invalid value: "3,2": error parsing succeededIndexes: '
         "non-increasing order, previous: 3, current: 2",
         'spec.successPolicy.rules[2].succeededIndexes: Invalid value: "7": error parsing succeededIndexes: too large '
         'index: "7"',
         "spec.successPolicy.rules[3].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of "
         "specified completions)"],
    ),
    case(
        "very many completions bound the failures",
        change(INDEXED, "spec.completions", 100001), "spec.backoffLimitPerIndex", 1,
        ["spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"],
    ),
    case(
        "a manual selector is needed and finds the Pods",
        JOB, "spec.manualSelector", True,
        ["spec.selector: Required value",
         "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path", "value", "expected"), CREATES)
def test_odd_jobs_have_upstream_causes(body: Object, path: str, value: Any, expected: list[str]) -> None:
    assert texts(created(JOBS, change(body, path, value))[1]) == expected


def stored(body: Object, status: Object | None = None) -> Object:
    obj, broken = created(JOBS, body)
    assert broken == []
    obj["status"] = status or {}
    return obj


SUSPENDED = change(JOB, "spec.suspend", True)
RESOURCES = {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}


@pytest.mark.parametrize(
    ("sentence", "body", "status", "path", "value", "may_change"),
    [
        ("resources of a Job that never ran", SUSPENDED, {}, "containers.0.resources", RESOURCES, True),
        ("the node of a Job that never ran", SUSPENDED, {}, "nodeSelector", {"a": "b"}, True),
        ("the node affinity of a Job that never ran", SUSPENDED, {}, "affinity", {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}}, True),
        ("the Pod affinity of a Job that never ran", SUSPENDED, {}, "affinity", {"podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "a", "labelSelector": {"matchLabels": {"a": "b"}}}]}}, False),
        ("the image of a Job that never ran", SUSPENDED, {}, "containers.0.image", "j", False),
        ("resources of a Job that runs", JOB, {}, "containers.0.resources", RESOURCES, False),
        ("resources of a Job that started and was suspended", SUSPENDED, {"startTime": "2026-01-01T00:00:00Z",
         "conditions": [{"type": "Suspended", "status": "True"}]}, "containers.0.resources", RESOURCES, True),
        ("resources of a Job that is about to stop", SUSPENDED, {"startTime": "2026-01-01T00:00:00Z"},
         "containers.0.resources", RESOURCES, False),
    ],
)  # fmt: skip
def test_only_suspended_jobs_change_where_their_pods_run(
    sentence: str, body: Object, status: Object, path: str, value: Any, may_change: bool
) -> None:
    old = stored(body, status)
    newer = change(old, f"spec.template.spec.{path}", value)

    fields = [error.field for error in updated(JOBS, old, newer)]

    assert fields == ([] if may_change else ["spec.template"]), sentence


def test_a_changed_job_is_judged_as_a_new_one_and_once_more() -> None:
    old = stored(JOB)
    cause = "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"

    assert texts(updated(JOBS, old, change(old, "spec.parallelism", -1))) == [cause, cause]


def conditions(*names: str) -> list[Object]:
    return [{"type": name, "status": "True"} for name in names]


START, END = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
DONE = {
    "startTime": START,
    "completionTime": END,
    "succeeded": 1,
    "conditions": conditions("SuccessCriteriaMet", "Complete"),
}
CONDITIONS = "status.conditions: Invalid value"
STATUSES = [
    case("a finished Job is well", JOB, {"startTime": START}, DONE, []),
    case("a complete Job met its criteria and ended", JOB, {"startTime": START},
         {"startTime": START, "conditions": conditions("Complete")},
         ["status.completionTime: Required value: completionTime is required for Complete jobs",
          f"{CONDITIONS}: cannot set Complete=True condition without the SuccessCriteriaMet=true condition"]),
    case("a failed Job failed for a reason and began", JOB, {}, {"conditions": conditions("Failed"), "active": 1},
         [f"{CONDITIONS}: cannot set Failed=True condition without the FailureTarget=true condition",
          "status.active: Invalid value: 1: active>0 is invalid for finished job",
          "status.startTime: Required value: startTime is required for finished job"]),
    case("a finished Job stays finished", JOB, DONE, {**DONE, "conditions": []},
         ["status.completionTime: Invalid value: 2026-01-01 00:01:00 +0000 UTC: cannot set completionTime when there "
          "is no Complete=True condition",
          f"{CONDITIONS}: cannot disable the terminal Complete=True condition",
          f"{CONDITIONS}: cannot disable the SuccessCriteriaMet=True condition"]),
    case("counters only grow", JOB, {"failed": 2, "succeeded": 2}, {"failed": 1, "succeeded": 1},
         ["status.failed: Invalid value: 1: cannot decrease the failed counter",
          "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"]),
    case("Pods that are ready are active", JOB, {}, {"active": 1, "ready": 2},
         ["status.ready: Invalid value: 2: cannot set more ready pods than active"]),
    case("indexes are those of an indexed Job", JOB, {}, {"completedIndexes": "0", "failedIndexes": "0"},
         ['status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed '
          "completion mode",
          'status.failedIndexes: Invalid value: "0": cannot set non-null failedIndexes when backoffLimitPerIndex is '
          "null",
          'status.failedIndexes: Invalid value: "0": failedIndexes and completedIndexes overlap at index: 0']),
    case("the start stays", JOB, {"startTime": START}, {"startTime": END},
         ["status.startTime: Invalid value: 2026-01-01 00:01:00 +0000 UTC: field is immutable for unsuspended job "
          "once set"]),
    case("uncounted Pods are named once", JOB, {},
         {"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}},
         ['status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
          'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"']),
    case("success and failure exclude each other", JOB, {}, {"conditions": conditions(
        "SuccessCriteriaMet", "FailureTarget")},
         [f"{CONDITIONS}: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "old_status", "status", "expected"), STATUSES)
def test_odd_statuses_of_jobs_have_upstream_causes(
    body: Object, old_status: Object, status: Object, expected: list[str]
) -> None:
    old = stored(body, old_status)
    obj = {**copy_object(old), "status": status}

    assert texts(strategy_for(JOBS).validate_status_update(CONTEXT, obj, old)) == expected


SCHEDULES = [
    case("a zone that is none", "TZ=Mars/One 0 1 * * *",
         ["provided bad location Mars/One: unknown time zone Mars/One",
          "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"]),
    case("a duration without a unit", "@every 5",
         ['failed to parse duration @every 5: time: missing unit in duration "5"']),
    case("a duration of an odd unit", "@every 5y",
         ['failed to parse duration @every 5y: time: unknown unit "y" in duration "5y"']),
    case("a duration that is none", "@every x", ['failed to parse duration @every x: time: invalid duration "x"']),
    case("a number that is too large", "99999999999999999999 1 * * *",
         ["failed to parse int from 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value out "
          "of range"]),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "expected"), SCHEDULES)
def test_odd_schedules_have_upstream_causes(schedule: str, expected: list[str]) -> None:
    body = change(CRON, "spec.schedule", schedule)

    assert texts(created(CRON_JOBS, body)[1]) == [
        f'spec.schedule: Invalid value: "{schedule}": {text}' for text in expected
    ]


ZONES = [
    case("an empty zone", "", ["timeZone must be nil or non-empty string"]),
    case("the zone of the machine", "Local",
         ["timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"]),
    case("a zone of an odd name", "../UTC", ["unknown time zone ../UTC"]),
    case("a zone that is none", "Mars/One", ["unknown time zone Mars/One"]),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "expected"), ZONES)
def test_odd_zones_have_upstream_causes(zone: str, expected: list[str]) -> None:
    body = change(CRON, "spec.timeZone", zone)

    assert texts(created(CRON_JOBS, body)[1]) == [
        f'spec.timeZone: Invalid value: "{zone}": {text}' for text in expected
    ]


def test_a_zone_in_an_old_schedule_may_stay_until_there_is_another() -> None:
    old, _ = created(CRON_JOBS, change(CRON, "spec.schedule", "TZ=UTC 0 1 * * *"))

    assert texts(updated(CRON_JOBS, old, old)) == []
    assert texts(updated(CRON_JOBS, old, change(old, "spec.timeZone", "UTC"))) == [
        'spec.schedule: Invalid value: "TZ=UTC 0 1 * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule'
    ]


def test_doubtful_jobs_are_warned_of() -> None:
    body = change(change(INDEXED, "spec.completions", 100001), "spec.parallelism", 10001)
    body = change(body, "metadata.name", "a.b")
    obj, _ = created(JOBS, body)

    warnings = strategy_for(JOBS).warnings_on_create(CONTEXT, obj)

    assert [warning.partition(":")[0] for warning in warnings] == ["metadata.name", "spec"]
    assert strategy_for(JOBS).warnings_on_update(CONTEXT, obj, obj) == []
