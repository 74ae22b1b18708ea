"""Rules of Events and CertificateSigningRequests beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control.api.kinds import Kind
from control.api.objects import Object, copy_object
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

EVENTS, NEW_EVENTS = served_kind("", "events"), served_kind("events.k8s.io", "events")
REQUESTS = served_kind("certificates.k8s.io", "certificatesigningrequests")
APPROVAL = replace(CONTEXT, subresource="approval")

EVENT: Object = {
    "apiVersion": "events.k8s.io/v1",
    "metadata": {"name": "e"},
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingController": "c.example/d",
    "reportingInstance": "i",
    "action": "Do",
    "reason": "Why",
    "type": "Normal",
    "regarding": {"kind": "Pod", "name": "p", "namespace": "ns"},
}
OLD_EVENT: Object = {"apiVersion": "v1", "metadata": {"name": "e"}, "involvedObject": {"namespace": "ns"}}


def case(sentence: str, *rows: Any) -> Any:
    return pytest.param(*rows, id=sentence)


CREATES = [
    case("the newer form is dated", NEW_EVENTS, EVENT, "eventTime", REMOVED, ["eventTime: Required value"]),
    case("the newer form has nothing of the older", NEW_EVENTS, EVENT, "deprecatedCount", 2,
         ['count: Invalid value: "": needs to be unset']),
    case("a series has more than one", NEW_EVENTS, EVENT, "series", {"count": 1},
         ['series.count: Invalid value: "": should be at least 2', "series.lastObservedTime: Required value"]),
    case("an instance has a short name", NEW_EVENTS, EVENT, "reportingInstance", "i" * 129,
         ['reportingInstance: Invalid value: "": can have at most 128 characters']),
    case("the older form lives with its object", EVENTS, OLD_EVENT, "involvedObject.namespace", "other",
         ['involvedObject.namespace: Invalid value: "other": does not match event.namespace']),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "path", "value", "expected"), CREATES)
def test_odd_events_have_upstream_causes(kind: Kind, body: Object, path: str, value: Any, expected: list[str]) -> None:
    assert texts(created(kind, change(body, path, value))[1]) == expected


def test_a_dated_event_of_the_older_form_says_who_reports() -> None:
    _, broken = created(EVENTS, {**OLD_EVENT, "eventTime": "2026-01-01T00:00:00.000000Z"})

    assert [error.field for error in broken] == [
        "reportingComponent",
        "reportingComponent",
        "reportingComponent",
        "reportingInstance",
        "action",
        "reason",
    ]


def test_only_the_series_of_an_event_goes_on() -> None:
    old, broken = created(NEW_EVENTS, EVENT)
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}

    assert broken == []
    assert updated(NEW_EVENTS, old, change(EVENT, "series", series)) == []
    assert texts(updated(NEW_EVENTS, old, change(EVENT, "note", "more"))) == [
        'message: Invalid value: "more": field is immutable'
    ]


SIGNERS = [
    case("a signer is named", "", ["Required value", 'Invalid value: "": must be a fully qualified domain and path of '
                                   "the form 'example.com/signer-name'"]),
    case("a signer has a domain", "a/b",
         ['Invalid value: "a": should be a domain with at least two segments separated by dots']),
    case("the signer of old is gone", "kubernetes.io/legacy-unknown",
         ['Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version']),
]  # fmt: skip


@pytest.mark.parametrize(("signer", "expected"), SIGNERS)
def test_odd_signers_have_upstream_causes(signer: str, expected: list[str]) -> None:
    body: Object = {"metadata": {"name": "r"}, "spec": {"request": "eA==", "usages": ["any"], "signerName": signer}}

    _, broken = created(REQUESTS, body)

    assert [error.message for error in broken if error.field == "spec.signerName"] == expected


def test_decisions_are_true_and_told_once() -> None:
    body: Object = {"metadata": {"name": "r"}, "spec": {"request": "eA==", "usages": ["any"], "signerName": "a.b/c"}}
    old, _ = created(REQUESTS, body)
    obj = copy_object(old)
    approved = {"type": "Approved", "status": "False"}
    obj["status"] = {"conditions": [approved, approved, {"type": "", "status": ""}]}

    assert texts(strategy_for(REQUESTS).validate_status_update(APPROVAL, obj, old)) == [
        'status.conditions[0].status: Unsupported value: "False": supported values: "True"',
        'status.conditions[1].status: Unsupported value: "False": supported values: "True"',
        'status.conditions[1].type: Duplicate value: "Approved"',
        "status.conditions[2].type: Required value",
        "status.conditions[2].status: Required value",
    ]


def decided(*types: str) -> Object:
    """A request with these conditions."""
    body: Object = {"metadata": {"name": "r"}, "spec": {"request": "eA==", "usages": ["any"], "signerName": "a.b/c"}}
    obj, _ = created(REQUESTS, body)
    obj["status"] = {"conditions": [{"type": kind, "status": "True", "reason": "Old"} for kind in types]}
    return obj


def test_signers_leave_decisions_as_and_where_they_are() -> None:
    old, obj = decided("Odd", "Approved"), decided("Odd", "Approved", "Other")
    obj["status"]["conditions"][1]["reason"] = "New"
    strategy = strategy_for(REQUESTS)

    strategy.prepare_for_status_update(CONTEXT, obj, old)

    kept = [(item["type"], item["reason"]) for item in obj["status"]["conditions"]]
    assert kept == [("Odd", "Old"), ("Approved", "Old"), ("Other", "Old")]
    assert strategy.validate_status_update(CONTEXT, obj, old) == []


@pytest.mark.parametrize(("before", "after", "verb"), [((), ("Denied",), "add"), (("Denied",), (), "remove")])
def test_signers_decide_nothing(before: tuple[str, ...], after: tuple[str, ...], verb: str) -> None:
    old, obj = decided(*before), decided(*after)
    strategy = strategy_for(REQUESTS)

    strategy.prepare_for_status_update(CONTEXT, obj, old)

    assert texts(strategy.validate_status_update(CONTEXT, obj, old)) == [
        f'status.conditions: Forbidden: updates may not {verb} a condition of type "Denied"'
    ]
