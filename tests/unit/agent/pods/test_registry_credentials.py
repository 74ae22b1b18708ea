"""Which logins of image pull secrets are meant for an image."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from agent.pods.registry_credentials import credentials_from_secrets
from tests.fakes.agent_node import HollowNode

LOGIN = {"auth": b64encode(b"me:word").decode()}


def make_secret(content: Any, key: str = ".dockerconfigjson") -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    return {"data": {key: b64encode(text.encode()).decode()}}


@pytest.mark.parametrize(
    ("server", "image", "expected"),
    [
        ("https://reg.example:5000", "reg.example:5000/team/app:1", True),
        ("reg.example/v2/", "reg.example/app", True),
        ("reg.example:5000", "reg.example/app", False),
        ("reg.example/team", "reg.example/team/app", True),
        ("reg.example/team", "reg.example/other/app", False),
        ("*.example", "reg.example/app", True),
        ("*.example", "deep.reg.example/app", False),
        ("*.example", "example/app", False),
        ("*.*.example", "deep.reg.example/app", True),
        ("reg*.example", "reg-1.example/app", True),
        ("https://index.docker.io/v1/", "nginx", True),
        ("https://index.docker.io/v1/", "team/app:1", True),
        ("reg.example", "nginx", False),
    ],
)
def test_a_login_is_for_its_registry(server: str, image: str, expected: bool) -> None:
    found = credentials_from_secrets([make_secret({"auths": {server: LOGIN}})], image)
    assert [(one.username, one.password) for one in found] == ([("me", "word")] if expected else [])


def test_the_most_specific_login_comes_first_and_both_forms_of_secrets_count() -> None:
    secrets = [
        make_secret({"reg.example": {"username": "all", "password": "p"}}, ".dockercfg"),
        make_secret({"auths": {"reg.example/team": LOGIN}}),
    ]
    assert [one.username for one in credentials_from_secrets(secrets, "reg.example/team/app")] == ["me", "all"]


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '"text"', {"auths": []}, {"auths": {"reg.example": "text"}}, {"auths": {"reg.example": {"auth": "a"}}}],
)
def test_what_is_no_login_is_none(content: Any) -> None:
    assert credentials_from_secrets([make_secret(content)], "reg.example/app") == []


async def test_a_missing_pull_secret_is_named(node: HollowNode) -> None:
    container = {"name": "web", "image": "none:1", "imagePullPolicy": "IfNotPresent"}
    await node.create(containers=[container], imagePullSecrets=[{"name": "gone"}, {"name": "lost"}])
    await node.settle(1)
    assert set(node.event_messages("FailedToRetrieveImagePullSecret")) == {
        "Unable to retrieve some image pull secrets (gone, lost); attempting to pull the image may not succeed."
    }
