"""Which logins of image pull secrets an image is given."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from agent.pods.registry_credentials import credentials_from_secrets
from tests.fakes.agent_node import HollowNode


def encode(content: object) -> str:
    return b64encode(content if isinstance(content, bytes) else json.dumps(content).encode()).decode()


def secret(*servers: str, user: str = "") -> dict[str, Any]:
    """A Secret whose users are called after their servers."""
    auths = {server: {"auth": encode(f"{user or server}:word".encode())} for server in servers}
    return {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encode({"auths": auths})}}


@pytest.mark.parametrize(
    ("server", "image", "matches"),
    [
        ("reg.example", "reg.example/app:1", True),
        ("https://reg.example/v1/", "reg.example/app:1", True),
        ("https://reg.example/v2/", "reg.example/app:1", True),
        ("reg.example", "other.example/app", False),
        ("reg.example", "reg.example:5000/app", False),
        ("reg.example:5000", "reg.example:5000/team/app:1", True),
        ("reg.example:5000", "reg.example/app", False),
        ("*.example", "reg.example/app", True),
        ("*.example", "a.reg.example/app", False),
        ("*.*.example", "a.reg.example/app", True),
        ("*.example", "example/app", False),
        ("prefix*.reg.example", "prefix-1.reg.example/app", True),
        ("*.example:5000", "reg.example:5000/app", True),
        ("reg.example/team", "reg.example/team/app", True),
        ("reg.example/team", "reg.example/other/app", False),
        ("reg.example/team", "reg.example/team-2/app", True),
        ("reg.example/v2/team", "reg.example/team/app", True),
        ("*.example/team", f"reg.example/team/app:1@sha256:{'a' * 64}", True),
        ("https://index.docker.io/v1/", "nginx", True),
        ("https://index.docker.io/v1/", "team/app:1", True),
        ("https://index.docker.io/v1/", "docker.io/team/app", True),
        ("https://index.docker.io/v1/", "index.docker.io/team/app", True),
        ("https://index.docker.io/v1/", "localhost/app", False),
        ("docker.io", "nginx:1", True),
        ("docker.io/library", "nginx", True),
        ("docker.io/team", "nginx", False),
        ("localhost:5000", "localhost:5000/app", True),
    ],
)
def test_a_login_is_for_images_of_its_server(server: str, image: str, matches: bool) -> None:
    assert bool(credentials_from_secrets([secret(server)], image)) is matches


def test_secrets_are_tried_in_their_order_and_their_most_specific_login_first() -> None:
    secrets = [secret("*.example", "reg.example", "reg.example/team", "other.example"), secret("reg.example", user="b")]

    found = credentials_from_secrets(secrets, "reg.example/team/app")

    assert [one.username for one in found] == ["reg.example/team", "reg.example", "*.example", "b"]


def test_docker_hub_is_matched_by_name_before_the_default_login() -> None:
    found = credentials_from_secrets([secret("https://index.docker.io/v1/", "docker.io/team")], "team/app")

    assert [one.username for one in found] == ["docker.io/team"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"username": "me", "password": "word"}, ("me", "word", "")),
        ({"auth": encode(b"me:wo:rd"), "username": "other"}, ("me", "wo:rd", "")),
        ({"identitytoken": "token"}, ("", "", "token")),
        ({"auth": "!"}, None),
        ({"auth": encode(b"no colon")}, None),
        ({"auth": encode(b"\xff:\xfe")}, None),
        ("text", None),
    ],
)
def test_an_entry_is_read_or_left_out(entry: Any, expected: tuple[str, str, str] | None) -> None:
    old = {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": encode({"reg.example": entry})}}

    found = credentials_from_secrets([old], "reg.example/app")

    assert [(one.username, one.password, one.identity_token) for one in found] == ([expected] if expected else [])


@pytest.mark.parametrize(
    "other",
    [
        {"type": "Opaque", "data": {".dockerconfigjson": encode({"auths": {"reg.example": {"username": "a"}}})}},
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encode(b"{")}},
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encode([])}},
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encode({"auths": 1})}},
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "?"}},
        {"type": "kubernetes.io/dockerconfigjson"},
    ],
)
def test_other_secrets_and_damaged_ones_hold_no_login(other: dict[str, Any]) -> None:
    assert credentials_from_secrets([other], "reg.example/app") == []


async def test_a_missing_pull_secret_is_named(node: HollowNode) -> None:
    container = {"name": "web", "image": "none:1", "imagePullPolicy": "IfNotPresent"}
    await node.create(containers=[container], imagePullSecrets=[{"name": "gone"}, {"name": "lost"}])
    await node.settle(1)
    assert set(node.event_messages("FailedToRetrieveImagePullSecret")) == {
        "Unable to retrieve some image pull secrets (gone, lost); attempting to pull the image may not succeed."
    }
