"""managedFields as a real API server recorded them: creates, updates, patches and applies of built-in kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.errors import ApiError
from control.api.kinds import Kind
from control.api.objects import copy_object
from control.apiserver.patch.managed_fields import FieldWriter, record_update, reset_fields
from control.apiserver.patch.server_side_apply import apply_configuration
from control.schema.builtin import schema_of

RECORDINGS = Path(__file__).resolve().parents[5] / "shared" / "golden" / "open"

pytestmark = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="no recordings of a real API server beside the repository"
)

#: What a create of these answers has been changed after the record was made: by admission, allocation, the strategy.
CHANGED_LATER = frozenset(
    (
        "CertificateSigningRequest",
        "Job",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "Service",
        "VolumeAttributesClass",
    )
)
#: These follow a deletion, or write what the strategy takes back; the record was made in between.
EXCEPTIONS = {
    "admission/default-ingressclass",
    "auth/clusterrole-aggregation",
    "delete/finalizers",
    "delete/pod-finalizer",
    "subresource/resize",
    "watch/finalizer-delete",
}
KINDS = {(kind.api_version, kind.kind): kind for kind in BUILTIN_KINDS}
COLLECTIONS = {(kind.base_path, kind.plural): kind for kind in BUILTIN_KINDS}
OBJECT_PATH = re.compile(
    r"(?P<base>/api/v1|/apis/[^/]+/[^/]+)/(?:namespaces/[^/]+/)?(?P<plural>[a-z]+)/(?P<name>[^/]+)(?:/(?P<sub>\w+))?"
)


@dataclass(frozen=True)
class Write:
    """One recorded write: the live object before it (None for a create), the request, the answer."""

    scenario: str
    step: int
    request: dict[str, Any]
    live: dict[str, Any] | None
    status: int
    answer: dict[str, Any]
    subresource: str

    @property
    def content_type(self) -> str:
        return str((self.request.get("headers") or {}).get("Content-Type", ""))

    def writer(self, kind: Kind) -> FieldWriter:
        manager = (self.request.get("query") or {}).get("fieldManager", "golden")
        time = f"2026-01-01T00:{self.step // 60:02}:{self.step % 60:02}Z"
        return FieldWriter(manager=manager, api_version=kind.api_version, subresource=self.subresource, time=time)


def recorded_writes() -> Iterator[Write]:
    for path in sorted(RECORDINGS.glob("*/*.json")):
        if path.parent.name == "controllers":
            continue  # other writers in between
        scenario = f"{path.parent.name}/{path.stem}"
        live: dict[str, dict[str, Any]] = {}
        for number, step in enumerate(json.loads(path.read_text())["steps"]):
            request, response = step.get("request") or {}, step.get("response") or {}
            answer, method = response.get("body"), request.get("method")
            if not isinstance(answer, dict) or method not in ("POST", "PUT", "PATCH", "GET"):
                continue
            found = OBJECT_PATH.fullmatch(request["path"]) if method != "POST" else None
            subresource = (found["sub"] or "") if found else ""
            key = request["path"].removesuffix(f"/{subresource}") if subresource else request["path"]
            if method == "POST":
                key += "/" + answer.get("metadata", {}).get("name", "")
            if method != "GET":
                yield Write(scenario, number, request, live.get(key), response["status"], answer, subresource)
            is_dry_run = "dryRun" in (request.get("query") or {})
            if "uid" in answer.get("metadata", {}) and answer["kind"] != "Scale" and not is_dry_run:
                live[key] = answer


def without_times(obj: dict[str, Any]) -> list[dict[str, Any]]:
    recorded = copy_object(obj["metadata"].get("managedFields", []))
    for entry in recorded:
        if "time" in entry:
            entry["time"] = "T"
    order = ("operation", "manager", "subresource", "apiVersion")
    return sorted(recorded, key=lambda entry: [entry.get(field, "") for field in order])


def expected_reset(kind: Kind, subresource: str) -> Any:
    return reset_fields(has_status="status" in schema_of(kind).properties, subresource=subresource)


def test_creates() -> None:
    checked = 0
    for write in recorded_writes():
        kind = KINDS.get((write.answer.get("apiVersion", ""), write.answer.get("kind", "")))
        if write.request["method"] != "POST" or write.status != 201 or kind is None or "metadata" not in write.answer:
            continue
        if kind.kind in CHANGED_LATER or write.scenario in EXCEPTIONS:
            continue
        obj = copy_object(write.answer)
        obj["metadata"].pop("managedFields", None)
        record_update(None, obj, schema_of(kind), write.writer(kind), reset=expected_reset(kind, ""))
        assert without_times(obj) == without_times(write.answer), f"{write.scenario} step {write.step}"
        checked += 1
    assert checked > 500


def test_updates_and_patches() -> None:
    checked = 0
    for write in recorded_writes():
        kind = KINDS.get((write.answer.get("apiVersion", ""), write.answer.get("kind", "")))
        if write.live is None or kind is None or "apply" in write.content_type or write.status != 200:
            continue
        if write.request["method"] == "POST" or write.scenario in EXCEPTIONS or write.answer.get("kind") == "Scale":
            continue
        obj = copy_object(write.answer)
        obj["metadata"].pop("managedFields", None)
        body = write.request.get("body")
        if isinstance(body, dict) and "managedFields" in body.get("metadata", {}):
            obj["metadata"]["managedFields"] = body["metadata"]["managedFields"]
        reset = expected_reset(kind, write.subresource)
        record_update(write.live, obj, schema_of(kind), write.writer(kind), reset=reset)
        assert without_times(obj) == without_times(write.answer), f"{write.scenario} step {write.step}"
        checked += 1
    assert checked > 150


#: Refused by what surrounds the apply: the name of the URL, the parameters, validation.
REFUSED_ELSEWHERE = re.compile(r"^the name of the object|^PatchOptions|^(Pod|Deployment\.apps) \"x\" is invalid")


def test_applies() -> None:
    checked = 0
    for write in recorded_writes():
        found = OBJECT_PATH.fullmatch(write.request["path"])
        kind = COLLECTIONS.get((found["base"], found["plural"])) if found else None
        if "apply" not in write.content_type or kind is None or not isinstance(write.request.get("body"), dict):
            continue
        if REFUSED_ELSEWHERE.match(write.answer.get("message", "")):
            continue
        try:
            result = apply_configuration(
                write.live,
                write.request["body"],
                schema_of(kind),
                write.writer(kind),
                kind=kind.kind,
                force=(write.request.get("query") or {}).get("force") == "true",
                reset=expected_reset(kind, write.subresource),
            )
        except ApiError as error:
            result = error.to_status()
        if write.status < 300:
            assert without_times(result) == without_times(write.answer), f"{write.scenario} step {write.step}"
        else:
            assert result == write.answer, f"{write.scenario} step {write.step}"
        checked += 1
    assert checked > 25
