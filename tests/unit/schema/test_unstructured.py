from __future__ import annotations

from typing import Any

import pytest

from control.schema.builtin import definition_schema
from control.schema.unstructured import conversion_problem

DEPLOYMENT = definition_schema("io.k8s.api.apps.v1.Deployment")


def in_pod(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"spec": {"replicas": 2, "paused": True}}, ""),
        ({"spec": {"replicas": "2"}}, "unrecognized type: int32"),
        ({"spec": {"replicas": 1.5}}, "cannot convert float64 to int32"),
        ({"spec": {"paused": "yes"}}, "unrecognized type: bool"),
        ({"spec": 1}, "cannot restore struct from: int64"),
        ({"metadata": {"labels": []}}, "cannot restore map from slice"),
        ({"metadata": {"labels": {"a": 1}}}, "cannot convert int64 to string"),
        ({"metadata": {"labels": {"a": True}}}, "unrecognized type: string"),
        (in_pod(containers={}), "cannot restore slice from map"),
        (in_pod(containers=[{"name": 1}]), "cannot convert int64 to string"),
        (in_pod(containers=[{"resources": {"limits": {"cpu": "1e"}}}]), "unable to parse quantity's suffix"),
        # The first field of the record decides, not of the text.
        ({"spec": {"paused": 1, "replicas": "x"}}, "unrecognized type: int32"),
    ],
)
def test_wrong_types_are_named_as_the_converter_names_them(value: Any, problem: str) -> None:
    assert conversion_problem(value, DEPLOYMENT) == problem
