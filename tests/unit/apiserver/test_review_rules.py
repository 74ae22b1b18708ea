"""Rules of the kinds that are questions, in upstream's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control.api.errors import FieldError
from control.apiserver.handlers.review_rules import local_review_errors, self_review_errors, subject_review_errors
from tests.unit.apiserver.api_calls import ApiCalls

Object = dict[str, Any]
Rules = Callable[[Object], list[FieldError]]

RESOURCE: Object = {"verb": "get", "resource": "pods", "namespace": "ns"}
FIELDS, LABELS = "spec.resourceAttributes.fieldSelector", "spec.resourceAttributes.labelSelector"
ONE = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
NO_KEY = (
    "name part must be non-empty",
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
)


def _asking(user: str = "u", **selectors: Object) -> Object:
    return {"spec": {"user": user, "resourceAttributes": {**RESOURCE, **selectors}}}


CASES: list[tuple[str, Rules, Object, list[str]]] = [
    ("a good question", subject_review_errors, _asking(), []),
    ("a good question of one's own", self_review_errors, {"spec": {"nonResourceAttributes": {"path": "/"}}}, []),
    ("a good local question", local_review_errors, {"metadata": {"namespace": "ns"}, **_asking()}, []),
    ("field managers say nothing", subject_review_errors, {"metadata": {"managedFields": [{}]}, **_asking()}, []),
    ("no question", self_review_errors, {"spec": {}}, [f"spec.resourceAttributes: Invalid value: null: {ONE}"]),
    ("nobody", subject_review_errors, _asking(user=""),
     ['spec.user: Invalid value: "": at least one of user or group must be specified']),
    ("questions have no names", subject_review_errors, {"metadata": {"labels": {"a": "b"}, "name": "n"}, **_asking()},
     ['metadata: Invalid value: {"name":"n","labels":{"a":"b"}}: must be empty']),
    ("own questions have no names", self_review_errors,
     {"metadata": {"name": "n"}, "spec": {"resourceAttributes": {}}},
     ['metadata: Invalid value: {"name":"n"}: must be empty']),
    ("local questions have a namespace alone", local_review_errors,
     {"metadata": {"name": "n", "namespace": "ns"}, **_asking()},
     ['metadata: Invalid value: {"name":"n","namespace":"ns"}: must be empty except for namespace']),
    ("local questions are about resources", local_review_errors,
     {"metadata": {"namespace": "ns"}, "spec": {"user": "u", "nonResourceAttributes": {"path": "/"}}},
     ['spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":""}: disallowed on this kind of request']),
    ("local questions are about their namespace", local_review_errors, {"metadata": {"namespace": "o"}, **_asking()},
     ['spec.resourceAttributes.namespace: Invalid value: "ns": must match metadata.namespace']),
    ("selectors say something", subject_review_errors, _asking(fieldSelector={}, labelSelector={}),
     [f"{FIELDS}.requirements: Required value: when {FIELDS} is specified, requirements or rawSelector is required",
      f"{LABELS}.requirements: Required value: when {LABELS} is specified, requirements or rawSelector is required"]),
    ("selectors take one form", subject_review_errors,
     _asking(fieldSelector={"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}),
     [f'{FIELDS}.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements']),
    ("operators have values or not", self_review_errors,
     {"spec": _asking(fieldSelector={"requirements": [
         {"operator": "In"}, {"key": "a", "operator": "Exists", "values": ["b"]}, {"key": "a", "operator": "New"}]},
     )["spec"]},
     [f"{FIELDS}.requirements[0].key: Required value: must be specified",
      f"{FIELDS}.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      f"{FIELDS}.requirements[1].values: Forbidden: may not be specified when `operator` is 'Exists' or "
      "'DoesNotExist'"]),
    ("labels have keys", subject_review_errors, _asking(labelSelector={"requirements": [{"operator": "New"}]}),
     [f'{LABELS}.requirements[0].key: Invalid value: "": {text}' for text in NO_KEY]),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "review", "expected"), [pytest.param(*row[1:], id=row[0]) for row in CASES])
def test_odd_questions_have_upstream_causes(rules: Rules, review: Object, expected: list[str]) -> None:
    assert [str(error) for error in rules(review)] == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("authentication.k8s.io/v1/tokenreviews", "token is required for TokenReview in authentication"),
        ("authorization.k8s.io/v1/selfsubjectrulesreviews", "no namespace on request"),
    ],
)
async def test_questions_about_nothing_are_bad_requests(api: ApiCalls, path: str, message: str) -> None:
    status = await api.call("POST", f"/apis/{path}", {"spec": {}}, expect=400)

    assert (status["reason"], status["message"]) == ("BadRequest", message)


async def test_refused_questions_name_no_kind(api: ApiCalls) -> None:
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    status = await api.call("POST", path, _asking(fieldSelector={}), expect=422)

    assert status["message"] == (
        f'.authorization.k8s.io "" is invalid: {FIELDS}.requirements: Required value: when {FIELDS} is specified, '
        "requirements or rawSelector is required"
    )
