"""Names and labels: what an agent needs after a crash is in them."""

from __future__ import annotations

import re

import pytest

from agent.runtime.identity import (
    ContainerRole,
    NodeIdentity,
    container_labels,
    container_name,
    format_resources,
    hide_image_labels,
    own_identity,
    parse_identity,
    parse_resources,
    sandbox_labels,
    sandbox_name,
    spec_hash,
)

OWNER = NodeIdentity(cluster="c1", node="n1")
POD = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "u-1"},
    "spec": {"terminationGracePeriodSeconds": 7},
}


def test_names_are_the_kubelets_and_legal_for_docker() -> None:
    assert sandbox_name(POD, 2) == "k8s_POD_web_shop_u-1_2"
    assert container_name(POD, "main", 0) == "k8s_main_web_shop_u-1_0"
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", container_name(POD, "main", 0))


def test_a_sandbox_is_read_back_from_its_labels() -> None:
    labels = sandbox_labels(OWNER, POD, attempt=3, pod_ip="10.244.0.5")

    identity = parse_identity(labels)

    assert identity is not None
    assert identity.role is ContainerRole.SANDBOX
    assert (identity.pod_name, identity.pod_namespace, identity.pod_uid) == ("web", "shop", "u-1")
    assert (identity.attempt, identity.pod_ip, identity.grace_period_seconds) == (3, "10.244.0.5", 7)
    assert (identity.cluster, identity.node) == ("c1", "n1")
    assert labels.items() >= OWNER.labels().items()


def test_a_container_is_read_back_from_its_labels() -> None:
    container = {"name": "main", "image": "nginx", "terminationMessagePolicy": "FallbackToLogsOnError"}

    identity = parse_identity(container_labels(OWNER, POD, container, attempt=1, sandbox_id="abc"))

    assert identity is not None
    assert identity.role is ContainerRole.CONTAINER
    assert (identity.container_name, identity.attempt, identity.sandbox_id) == ("main", 1, "abc")
    assert identity.spec_hash == spec_hash(container)
    assert identity.termination_message_path == "/dev/termination-log"
    assert identity.termination_message_policy == "FallbackToLogsOnError"


@pytest.mark.parametrize("damage", [{}, {"io.podling.attempt": "x"}, {"io.kubernetes.docker.type": "y"}])
def test_foreign_and_damaged_labels_are_nobodys(damage: dict[str, str]) -> None:
    labels = {**sandbox_labels(OWNER, POD, attempt=0), **damage} if damage else {"some": "label"}

    assert parse_identity(labels) is None


def test_the_hash_changes_with_the_image_and_with_nothing_that_changes_in_place() -> None:
    container = {"name": "main", "image": "nginx:1", "resources": {"limits": {"cpu": "1"}}}

    assert spec_hash({**container, "image": "nginx:2"}) != spec_hash(container)
    assert spec_hash({**container, "resources": {}}) == spec_hash(container)


def test_labels_that_a_container_has_of_its_image_are_hidden() -> None:
    container = {"name": "main", "image": "nginx"}
    labels = container_labels(OWNER, POD, container, attempt=1, sandbox_id="abc")
    of_image = {
        "io.podling.backoff-seconds": "300",
        "io.podling.restart-round": "3",
        "io.podling.recursive-read-only": "true",
        "io.podling.gpus": "GPU-1",
        "io.podling.attempt": "9",
        "io.kubernetes.pod.uid": "other",
        "maintainer": "us",
    }

    seen = {**of_image, **hide_image_labels(labels, of_image)}

    assert parse_identity(seen) == parse_identity(labels)
    assert seen["maintainer"] == "us"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("k8s_main_web_shop_u-1_1", True), ("k8s_main_web_shop_u-1_0", False), ("friendly_turing", False), ("", False)],
)
def test_a_container_is_ours_by_its_name_too(name: str, expected: bool) -> None:
    labels = container_labels(OWNER, POD, {"name": "main", "image": "nginx"}, attempt=1, sandbox_id="abc")

    assert (own_identity(name, labels) is not None) is expected
    assert own_identity(name, {}) is None


def test_resources_on_a_label_are_read_back_and_compare_as_text() -> None:
    resources = {"requests": {"memory": "1Gi", "cpu": "1"}, "limits": {"cpu": "2"}}
    text = format_resources({"name": "main", "resources": resources})

    # Labels of agents before this one have to compare equal.
    assert text == '{"limits":{"cpu":"2"},"requests":{"cpu":"1","memory":"1Gi"}}'
    assert parse_resources(text) == resources
    assert format_resources({"name": "main"}) == "{}"
