"""Every form in which a kubeconfig can name a server and a user reaches a real API server over TLS."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from control.api.exchange import User
from control.client.kubeconfig import KubeconfigError, transport_from_kubeconfig
from tests.fakes.api_server import RunningApiServer, running_api_server

Object = dict[str, Any]
TOKEN = "secret-token"
TOKENS = {TOKEN: User(name="token-user", groups=("system:authenticated",))}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningApiServer]:
    async with running_api_server(static_tokens=TOKENS) as running:
        pair = running.keys.authority.issue_client("certified-user", (), now=datetime.now(UTC))
        (tmp_path / "ca.crt").write_text(running.ca_pem)
        (tmp_path / "user.crt").write_bytes(pair.certificate_pem)
        (tmp_path / "user.key").write_bytes(pair.key_pem)
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        status = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": TOKEN}}
        (tmp_path / "plugin").write_text(f"#!{sys.executable}\nprint({json.dumps(json.dumps(status))})\n")
        (tmp_path / "plugin").chmod(0o755)
        yield running


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


async def who_am_i(server: RunningApiServer, directory: Path, user: Object, **cluster: Any) -> str:
    """The user name that the server sees."""
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server.url, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (directory / "config").write_text(yaml.safe_dump(config))
    transport = transport_from_kubeconfig(directory / "config")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
    try:
        answer = await transport.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
    finally:
        await transport.close()
    return str(answer["status"]["userInfo"]["username"])


@pytest.mark.parametrize(
    ("make_user", "name"),
    [
        pytest.param(lambda d: {"token": TOKEN}, "token-user", id="token"),
        pytest.param(lambda d: {"tokenFile": "token"}, "token-user", id="token file"),
        pytest.param(
            lambda d: {"client-certificate": "user.crt", "client-key": str(d / "user.key")},
            "certified-user",
            id="files",
        ),
        pytest.param(
            lambda d: {
                "client-certificate-data": encoded(d / "user.crt"),
                "client-key-data": encoded(d / "user.key"),
            },
            "certified-user",
            id="data",
        ),
        pytest.param(
            lambda d: {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin"}},
            "token-user",
            id="plugin beside the file",
        ),
    ],
)
async def test_a_user_is_who_the_kubeconfig_says(
    server: RunningApiServer, tmp_path: Path, make_user: Callable[[Path], Object], name: str
) -> None:
    assert await who_am_i(server, tmp_path, make_user(tmp_path), **{"certificate-authority": "ca.crt"}) == name


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param({"insecure-skip-tls-verify": True}, id="unverified"),
        pytest.param({"certificate-authority": "ca.crt", "tls-server-name": "localhost"}, id="under another name"),
    ],
)
async def test_a_server_is_verified_as_the_kubeconfig_says(
    server: RunningApiServer, tmp_path: Path, cluster: Object
) -> None:
    assert await who_am_i(server, tmp_path, {"token": TOKEN}, **cluster) == "token-user"


async def test_a_certificate_that_is_none_is_refused(server: RunningApiServer, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("garbage")
    with pytest.raises(KubeconfigError, match="cannot use the certificates for https://127"):
        await who_am_i(server, tmp_path, {"token": TOKEN}, **{"certificate-authority": "ca.crt"})
