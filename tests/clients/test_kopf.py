"""kopf: an operator on built-in kinds reacts, keeps its finalizer, writes its status and cleans up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import kopf
import pytest
from kubernetes import client

from tests.cluster import Cluster, wait_for

ANNOTATION = "copies.example.com/made"


def make_operator() -> kopf.OperatorRegistry:
    """An operator that keeps a Secret beside every ConfigMap with the label `copied`."""
    registry = kopf.OperatorRegistry()
    options: Any = {"registry": registry, "labels": {"copied": kopf.PRESENT}}

    @kopf.on.login(registry=registry)
    def login(**options: Any) -> Any:
        return kopf.login_with_kubeconfig(**options)

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.persistence.finalizer = "copies.example.com/finalizer"
        settings.watching.server_timeout = 30
        settings.posting.enabled = True

    @kopf.on.create("", "v1", "configmaps", **options)
    @kopf.on.update("", "v1", "configmaps", field="data", **options)
    def copy(body: kopf.Body, patch: kopf.Patch, namespace: str, name: str, **_: Any) -> None:
        copied = {"metadata": {"name": name}, "stringData": dict(body.get("data", {}))}
        kopf.adopt(copied, owner=body)
        secrets = client.CoreV1Api()
        try:
            secrets.create_namespaced_secret(namespace, copied)
        except client.ApiException as error:
            if error.status != 409:
                raise
            secrets.patch_namespaced_secret(name, namespace, copied)
        patch.meta.annotations[ANNOTATION] = ",".join(sorted(body.get("data", {})))
        kopf.info(body, reason="Copied", message=f"copied to secret {name}")

    @kopf.on.delete("", "v1", "configmaps", **options)
    def forget(namespace: str, name: str, **_: Any) -> None:
        client.CoreV1Api().delete_namespaced_secret(name, namespace)

    return registry


@pytest.fixture
def operator(
    control_plane: Cluster, api_client: client.ApiClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[threading.Thread]:
    """The operator at work on the test's namespace, in a thread and a loop of its own."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.directory / "kubeconfig"))
    ready, stop = threading.Event(), threading.Event()
    options: Any = {"registry": make_operator(), "namespaces": [namespace], "ready_flag": ready, "stop_flag": stop}
    running = threading.Thread(target=lambda: kopf.run(**options, standalone=True))
    running.start()
    assert ready.wait(60)
    yield running
    stop.set()
    running.join()


def test_an_operator_copies_updates_and_cleans_up(
    operator: threading.Thread, api_client: client.ApiClient, namespace: str
) -> None:
    core = client.CoreV1Api(api_client)

    def annotated(value: str) -> Any:
        found = core.read_namespaced_config_map("source", namespace)
        return found if (found.metadata.annotations or {}).get(ANNOTATION) == value else None

    metadata = {"name": "source", "labels": {"copied": "yes"}}
    core.create_namespaced_config_map(namespace, {"metadata": metadata, "data": {"a": "1"}})
    made = wait_for(lambda: annotated("a"), "the operator copies")
    assert made.metadata.finalizers == ["copies.example.com/finalizer"]
    secret = core.read_namespaced_secret("source", namespace)
    assert (secret.data, secret.metadata.owner_references[0].uid) == ({"a": "MQ=="}, made.metadata.uid)
    core.patch_namespaced_config_map("source", namespace, {"data": {"b": "2"}})
    wait_for(lambda: annotated("a,b"), "the operator follows the change")
    assert core.read_namespaced_secret("source", namespace).data == {"a": "MQ==", "b": "Mg=="}
    copied = {"field_selector": "reason=Copied"}
    (event, *_) = wait_for(lambda: core.list_namespaced_event(namespace, **copied).items, "the operator tells it")
    assert event.message == "copied to secret source"
    core.delete_namespaced_config_map("source", namespace)
    left = {"label_selector": "copied"}
    wait_for(lambda: not core.list_namespaced_config_map(namespace, **left).items, "the finalizer is taken off")
    assert not core.list_namespaced_secret(namespace, field_selector="metadata.name=source").items
    assert operator.is_alive()
