"""The official Python client on every kind: its models refuse unknown fields and wrong types in what they are sent."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from kubernetes import client

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.kinds import Kind
from tests.samples import sample_objects

KINDS = {(kind.api_version, kind.kind): kind for kind in BUILTIN_KINDS}
STORED = [kind for kind in BUILTIN_KINDS if {"create", "get", "list", "delete"} <= set(kind.verbs)]
#: kinds whose status is written without their metadata (upstream: ResetObjectMetaForStatus)
METADATA_STAYS = (
    "APIService", "FlowSchema", "PriorityLevelConfiguration", "ResourceClaim", "ValidatingAdmissionPolicy",
    "VolumeAttachment",
)  # fmt: skip
JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH = (
    f"application/{name}" for name in ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json",
                                       "apply-patch+yaml")
)  # fmt: skip


class Calls:
    """The client's methods for one kind, without their long names."""

    def __init__(self, api_client: client.ApiClient, kind: Kind, namespace: str) -> None:
        group = "".join(part.capitalize() for part in (kind.group or "core").removesuffix(".k8s.io").split("."))
        self._api = getattr(client, f"{group}{kind.version.capitalize()}Api")(api_client)
        self._noun = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind.kind).lower()
        self._where = {"namespace": namespace} if kind.namespaced else {}
        self._scope = "namespaced_" if kind.namespaced else ""

    def __call__(self, verb: str, *, part: str = "", collection: bool = False, **arguments: Any) -> Any:
        noun = f"{verb}_collection" if collection else verb
        method = getattr(self._api, f"{noun}_{self._scope}{self._noun}{part}")
        return method(**self._where, **arguments)

    def everywhere(self, name: str) -> Any:
        """The list of all objects of the name, in all namespaces."""
        noun = f"list_{self._noun}_for_all_namespaces" if self._scope else f"list_{self._noun}"
        return getattr(self._api, noun)(field_selector=f"metadata.name={name}")


@pytest.fixture
def name() -> str:
    return f"s{uuid.uuid4().hex[:8]}"


@pytest.fixture(params=STORED, ids=lambda kind: f"{kind.kind} {kind.api_version}")
def kind(request: pytest.FixtureRequest) -> Kind:
    """Every kind that is stored."""
    found: Kind = request.param
    return found


@pytest.fixture
def calls(api_client: client.ApiClient, kind: Kind, namespace: str) -> Calls:
    return Calls(api_client, kind, namespace)


@pytest.fixture
def sample(kind: Kind, name: str, namespace: str, calls: Calls) -> Iterator[dict[str, Any]]:
    """The sample of the kind; gone after the test."""
    samples = {(item["apiVersion"], item["kind"]): item for item in sample_objects(name, namespace)}
    found = samples[kind.api_version, kind.kind]
    yield found
    try:
        calls("delete", name=found["metadata"]["name"])
    except client.ApiException as error:
        if error.status not in (404, 409):
            raise


def plain(api_client: client.ApiClient, model: Any) -> Any:
    """A model as the JSON that it came from."""
    return api_client.sanitize_for_serialization(model)


def missing(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Paths of what was sent and did not come back."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [line for key, value in wanted.items() for line in missing(value, found.get(key), f"{path}.{key}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) <= len(found):
        pairs = enumerate(zip(wanted, found, strict=False))  # admission may add to a list
        return [line for index, (one, other) in pairs for line in missing(one, other, f"{path}[{index}]")]
    same = wanted == found or (as_time(wanted) is not None and as_time(wanted) == as_time(found))
    return [] if same else [f"{path}: {wanted!r} came back as {found!r}"]


def as_time(text: Any) -> datetime | None:
    """The time that a text is; None if it is none."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def replace_label(api_client: client.ApiClient, calls: Calls, name: str) -> Any:
    """Replace an object by itself with one label more, again when a controller wrote in between."""
    while True:
        read = plain(api_client, calls("read", name=name))
        read["metadata"].setdefault("labels", {})["replaced"] = "yes"
        try:
            return calls("replace", name=name, body=read)
        except client.ApiException as error:
            if error.status != 409:
                raise


def test_every_stored_kind_has_a_sample() -> None:
    found = {(item["apiVersion"], item["kind"]) for item in sample_objects("one", "default")}
    assert found == {(kind.api_version, kind.kind) for kind in STORED}


def test_a_kind_is_created_read_listed_and_deleted(
    api_client: client.ApiClient, calls: Calls, sample: dict[str, Any]
) -> None:
    created = calls("create", body=sample)
    assert not missing(sample, plain(api_client, created))
    name, uid = sample["metadata"]["name"], created.metadata.uid
    assert calls("read", name=name).metadata.uid == uid
    assert uid in [item.metadata.uid for item in calls("list").items]
    assert uid in [item.metadata.uid for item in calls.everywhere(name).items]
    with pytest.raises(client.ApiException) as refused:
        calls("create", body=sample)
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")
    deleted = plain(api_client, calls("delete", name=name))
    # Most kinds answer a Status that names what went; a few answer the object.
    assert uid in (deleted.get("details", {}).get("uid"), deleted.get("metadata", {}).get("uid"))


def test_a_kind_is_replaced_and_patched_in_every_way(
    api_client: client.ApiClient, calls: Calls, sample: dict[str, Any], kind: Kind
) -> None:
    name = calls("create", body=sample).metadata.name
    assert replace_label(api_client, calls, name).metadata.labels["replaced"] == "yes"
    merge = {"metadata": {"labels": {"merged": "yes", "replaced": None}}}
    for content_type, body in (
        (MERGE_PATCH, merge),
        (STRATEGIC_PATCH, {"metadata": {"labels": {"strategic": "yes"}}}),
        (JSON_PATCH, [{"op": "add", "path": "/metadata/labels/patched", "value": "yes"}]),
        (APPLY_PATCH, {"apiVersion": kind.api_version, "kind": kind.kind,
                       "metadata": {"name": name, "labels": {"applied": "yes"}}}),
    ):  # fmt: skip
        options = {"field_manager": "tests"} if content_type == APPLY_PATCH else {}
        patched = calls("patch", name=name, body=body, _content_type=content_type, **options)
    labels = patched.metadata.labels
    assert {key: labels.get(key) for key in ("merged", "strategic", "patched", "applied", "replaced")} == {
        "merged": "yes", "strategic": "yes", "patched": "yes", "applied": "yes", "replaced": None,
    }  # fmt: skip
    assert ("tests", "Apply") in [(item.manager, item.operation) for item in patched.metadata.managed_fields]


@pytest.mark.parametrize(
    "kind", [kind for kind in STORED if "deletecollection" in kind.verbs],
    ids=lambda kind: f"{kind.kind} {kind.api_version}",
)  # fmt: skip
def test_a_kind_is_deleted_as_a_collection(calls: Calls, sample: dict[str, Any]) -> None:
    sample["metadata"]["labels"] = {"collected": sample["metadata"]["name"]}
    created = calls("create", body=sample)
    calls("delete", collection=True, label_selector=f"collected={sample['metadata']['name']}")
    left = [item for item in calls("list").items if item.metadata.uid == created.metadata.uid]
    assert all(item.metadata.deletion_timestamp for item in left), "it waits for a finalizer, or is gone"


@pytest.mark.parametrize(
    "kind", [kind for kind in STORED if any(item.name == "status" for item in kind.subresources)],
    ids=lambda kind: f"{kind.kind} {kind.api_version}",
)  # fmt: skip
def test_the_status_of_a_kind_is_read_and_patched(calls: Calls, sample: dict[str, Any], kind: Kind) -> None:
    created = calls("create", body=sample)
    name = created.metadata.name
    assert calls("read", part="_status", name=name).metadata.uid == created.metadata.uid
    body = {"metadata": {"annotations": {"seen": "yes"}}}
    patched = calls("patch", part="_status", name=name, body=body, _content_type=MERGE_PATCH)
    assert (patched.metadata.uid, (patched.metadata.annotations or {}).get("seen")) == (
        created.metadata.uid,
        None if kind.kind in METADATA_STAYS else "yes",
    )


@pytest.mark.parametrize(
    "kind", [kind for kind in STORED if any(item.name == "scale" for item in kind.subresources)],
    ids=lambda kind: kind.kind,
)  # fmt: skip
def test_the_scale_of_a_kind_is_read_replaced_and_patched(
    api_client: client.ApiClient, calls: Calls, sample: dict[str, Any]
) -> None:
    name = calls("create", body=sample).metadata.name
    scale = calls("read", part="_scale", name=name)
    assert (scale.kind, scale.spec.replicas or 0, scale.metadata.name) == ("Scale", 0, name)
    assert scale.status.selector.startswith(f"app={name}")
    body = {"spec": {"replicas": 0}, "metadata": {"name": name}}
    assert calls("replace", part="_scale", name=name, body=body).metadata.name == name
    assert calls("patch", part="_scale", name=name, body={"spec": {"replicas": 0}}).metadata.name == name
