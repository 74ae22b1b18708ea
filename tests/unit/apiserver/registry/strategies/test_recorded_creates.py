"""Creates recorded from a real kube-apiserver, through the strategies alone: the same causes, the same defaults.

What admission, allocation and the engine add is not part of a strategy; those parts of the answers are not compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control.api.errors import ApiError
from control.api.kinds import Kind
from control.apiserver.registry.strategies.pods import PodStrategy
from tests.unit.apiserver.registry.strategies.writes import created, kind_named, texts

CORPUS = Path(__file__).resolve().parents[6] / "shared" / "golden" / "open"
GROUPS = ("validation", "defaulting", "crud")

#: fields of a spec that admission plugins or allocators fill
FILLED_ELSEWHERE = {
    "pods": {"volumes", "containers", "initContainers", "serviceAccountName", "serviceAccount", "tolerations",
             "priority", "preemptionPolicy", "priorityClassName"},
    "services": {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "ports", "healthCheckNodePort"},
    "nodes": {"taints"},
    "certificatesigningrequests": {"username", "groups", "uid", "extra"},
    "horizontalpodautoscalers": {"minReplicas"},
}  # fmt: skip

#: expressions are judged by the CEL compiler, addresses by the allocator, reviews by their handler
JUDGED_ELSEWHERE = {"vap-bad", "service-clusterip-outside", "service-ipfamily-v6", "service-dualstack-require"}


def _steps() -> Iterator[Any]:
    for group in GROUPS:
        for file in sorted((CORPUS / group).glob("*.json")) if CORPUS.is_dir() else ():
            if file.stem.startswith("request-") or file.stem in JUDGED_ELSEWHERE:
                continue
            for index, step in enumerate(json.loads(file.read_text())["steps"]):
                kind = _created_kind(step)
                if kind is not None:
                    yield pytest.param(kind, _filled(step), id=f"{group}/{file.stem}[{index}]")


def _filled(step: Any) -> Any:
    """The step with a namespace, a suffix and padding in place of their placeholders."""
    text = json.dumps(step).replace("${NS}", "ns").replace("${U}", "0a1b2c")
    return json.loads(re.sub(r"\$\{PAD:(\d+)\}", lambda match: "x" * int(match[1]), text))


def _created_kind(step: Any) -> Kind | None:
    request, response = step.get("request") or {}, step.get("response") or {}
    body = request.get("body")
    if request.get("method") != "POST" or not isinstance(body, dict) or response.get("status") not in (201, 422):
        return None
    match = re.fullmatch(r"/(?:api|apis/([^/]+))/([^/]+)(?:/namespaces/[^/]+)?/([^/]+)", request["path"])
    return kind_named(match[1] or "", match[2], match[3]) if match else None


RECORDED = list(_steps())


@pytest.mark.skipif(not RECORDED, reason="the recorded requests are not on this machine")
@pytest.mark.parametrize(("kind", "step"), RECORDED)
def test_a_recorded_create_is_answered_alike(kind: Kind, step: Any) -> None:
    if "Review" in kind.kind:
        pytest.skip("reviews are answered by their handlers")
    obj, errors = created(kind, _admitted(kind, step["request"]["body"]))
    expected = step["response"]["body"]
    if step["response"]["status"] == 422:
        wanted = {
            (cause["field"], cause["message"])
            for cause in expected["details"].get("causes", ())
            if not cause["field"].startswith("metadata.") or cause["field"].startswith("metadata.taints")
        }
        found = {(error.field, error.message) for error in errors}
        assert {item for item in wanted if "${" not in item[1]} <= found, texts(errors)
        return
    assert texts(errors) == [] or _needs_admission(kind)
    ignored = FILLED_ELSEWHERE.get(kind.plural, set())
    for name, value in (expected.get("spec") or {}).items():
        if name not in ignored and "${" not in json.dumps(value):
            assert obj["spec"].get(name) == value, name


def _admitted(kind: Kind, body: Any) -> Any:
    """Admission names the ServiceAccount of a Pod."""
    if kind.plural != "pods":
        return body
    return {**body, "spec": {"serviceAccountName": "default", **(body.get("spec") or {})}}


def _needs_admission(kind: Kind) -> bool:
    """Services are refused without the port that the allocator gives them."""
    return kind.plural in ("services",)


def test_decoding_errors_are_not_the_strategies() -> None:
    kind = kind_named("", "v1", "pods")
    assert kind is not None
    with pytest.raises(ApiError):
        created(kind, {"metadata": {"name": "x"}, "spec": {"hostNetwork": "yes"}})
    assert PodStrategy().has_status
