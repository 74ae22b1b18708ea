"""Kubeconfig files: our entries come and go, foreign ones stay."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path

import pytest
import yaml

from control.api.clock import FakeClock
from control.client.bearer_token import IssuedToken
from control.client.credential_plugin import API_VERSIONS, CredentialPlugin, parse_credential
from control.client.kubeconfig import (
    Access,
    KubeconfigError,
    kubeconfig_paths,
    make_kubeconfig,
    merge_context,
    read_access,
    remove_context,
    writable_path,
)
from control.client.transport import ServerUnavailableError

ACCESS = Access(server="https://127.0.0.1:6443", ca_pem="CA", client_certificate_pem="CERT", client_key_pem="KEY")
FOREIGN = """
apiVersion: v1
kind: Config
preferences: {colors: true}
x-other: kept
clusters:
- {name: prod, cluster: {server: "https://prod", certificate-authority: ca.pem}}
users:
- {name: prod, user: {exec: {command: aws}}}
contexts:
- {name: prod, context: {cluster: prod, user: prod, namespace: n}}
current-context: prod
"""


def load(path: Path) -> dict[str, object]:
    loaded = yaml.safe_load(path.read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_new_file_is_private_and_readable_again(tmp_path: Path) -> None:
    path = tmp_path / "kube" / "config"
    merge_context(path, "podling-a", ACCESS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_access(path) == ACCESS
    assert sorted(item.name for item in path.parent.iterdir()) == ["config"]


def test_foreign_entries_survive_merge_and_removal(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(FOREIGN)
    before = load(path)
    merge_context(path, "podling-a", ACCESS)
    merge_context(path, "podling-a", ACCESS)
    merged = load(path)
    assert merged["current-context"] == "podling-a"
    assert [item["name"] for item in merged["clusters"]] == ["prod", "podling-a"]  # type: ignore[attr-defined]
    assert remove_context(path, "podling-a")
    assert load(path) == {**before, "current-context": ""}
    assert not remove_context(path, "podling-a")


def test_other_current_context_is_kept_on_request(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(FOREIGN)
    merge_context(path, "podling-a", ACCESS, make_current=False)
    assert load(path)["current-context"] == "prod"
    assert read_access(path, "podling-a") == ACCESS


def test_file_that_held_only_us_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge_context(path, "podling-a", ACCESS)
    assert remove_context(path, "podling-a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{not yaml", "- a\n- b\n", "clusters: text\n"], ids=["no YAML", "a list", "a text"])
def test_unreadable_file_is_refused_and_untouched(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(KubeconfigError):
        merge_context(path, "podling-a", ACCESS)
    assert path.read_text() == text
    assert sorted(item.name for item in tmp_path.iterdir()) == ["config"]


def test_symbolic_link_keeps_pointing_at_the_file(tmp_path: Path) -> None:
    target = tmp_path / "real"
    target.write_text(FOREIGN)
    link = tmp_path / "config"
    link.symlink_to(target)
    merge_context(link, "podling-a", ACCESS)
    assert link.is_symlink()
    assert read_access(target, "podling-a") == ACCESS


def test_relative_files_and_tokens_are_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("CA FILE")
    (tmp_path / "token").write_text("secret\n")
    path = tmp_path / "config"
    path.write_text(FOREIGN.replace("{exec: {command: aws}}", "{tokenFile: token}"))
    access = read_access(path)
    assert (access.ca_pem, access.token, access.namespace) == ("CA FILE", "secret", "n")


PLUGIN = """
import json, os, sys
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
open(sys.argv[1], "a").write(os.environ["COLOUR"] + " " + info["spec"]["cluster"]["server"] + "\\n")
token = "token-" + str(len(open(sys.argv[1]).readlines()))
print(json.dumps({"kind": "ExecCredential", "apiVersion": info["apiVersion"], "status": {"token": token}}))
"""


def with_user(path: Path, user: dict[str, object]) -> Path:
    """A kubeconfig whose current user has these fields."""
    config = yaml.safe_load(FOREIGN.replace("certificate-authority: ca.pem", "insecure-skip-tls-verify: true"))
    config["users"][0]["user"] = user
    path.write_text(yaml.safe_dump(config))
    return path


async def test_a_credential_plugin_is_asked_once_and_again_when_its_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    calls = tmp_path / "calls"
    user: dict[str, object] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(tmp_path / "plugin.py"), str(calls)],
            "env": [{"name": "COLOUR", "value": "red"}],
            "provideClusterInfo": True,
        }
    }
    source = read_access(with_user(tmp_path / "config", user)).token_source(FakeClock())
    assert source is not None
    assert await asyncio.gather(source.get(), source.get()) == ["token-1", "token-1"]
    assert source.reject("token-1")
    assert await source.get() == "token-2"
    assert calls.read_text().splitlines() == ["red https://prod"] * 2


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("/none/such", "No such file or directory; install it"),
        ("false", "exit code 1"),
        ("echo", "no ExecCredential"),
    ],
)
async def test_a_credential_plugin_that_fails_says_so(tmp_path: Path, command: str, text: str) -> None:
    settings = {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "installHint": "install it"}
    source = read_access(with_user(tmp_path / "config", {"exec": settings})).token_source(FakeClock())
    assert source is not None
    with pytest.raises(ServerUnavailableError, match=text):
        await source.get()


@pytest.mark.parametrize(
    ("status", "api_version", "text"),
    [
        ({"clientCertificateData": "x"}, API_VERSIONS[0], "client certificates of plugins are not supported"),
        ({}, API_VERSIONS[0], "no token"),
        ({"token": "t"}, API_VERSIONS[1], "not of client.authentication.k8s.io/v1"),
        ({"token": "t", "expirationTimestamp": "soon"}, API_VERSIONS[0], "no ExecCredential"),
    ],
)
def test_credentials_that_cannot_be_used_are_refused(status: object, api_version: str, text: str) -> None:
    output = json.dumps({"kind": "ExecCredential", "apiVersion": api_version, "status": status}).encode()
    with pytest.raises(ServerUnavailableError, match=text):
        parse_credential(output, CredentialPlugin(command="x"), FakeClock())


def test_a_plugins_token_is_good_until_it_expires() -> None:
    status = {"token": "t", "expirationTimestamp": "2026-01-01T00:05:00Z"}
    output = json.dumps({"kind": "ExecCredential", "apiVersion": API_VERSIONS[0], "status": status}).encode()
    issued = parse_credential(output, CredentialPlugin(command="x"), FakeClock())
    assert issued == IssuedToken(token="t", lifetime_seconds=300.0)


async def test_a_token_file_is_read_again_after_a_minute(tmp_path: Path) -> None:
    clock = FakeClock()
    (tmp_path / "token").write_text("old\n")
    access = read_access(with_user(tmp_path / "config", {"tokenFile": "token", "token": "other"}))
    source = access.token_source(clock)
    assert source is not None
    assert await source.get() == "old"
    (tmp_path / "token").write_text("new\n")
    assert await source.get() == "old"
    await clock.advance(60)
    assert await source.get() == "new"


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ({"auth-provider": {"name": "gcp"}}, r"user prod .* an auth provider \(auth-provider\)"),
        ({"username": "me", "password": "secret"}, r"user prod .* a password"),
        ({"as": "other", "token": "t"}, r"user prod .* impersonation \(as\)"),
        ({"exec": {"command": "aws"}}, "exec.apiVersion must be one of"),
        ({"exec": {"apiVersion": API_VERSIONS[0]}}, "exec.command must be specified"),
        ({"exec": {"apiVersion": API_VERSIONS[0], "command": "x", "interactiveMode": "Always"}}, "with a terminal"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path: Path, user: dict[str, object], text: str) -> None:
    with pytest.raises(KubeconfigError, match=text):
        read_access(with_user(tmp_path / "config", user))


def test_a_proxy_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(FOREIGN.replace("certificate-authority: ca.pem", 'proxy-url: "http://proxy"'))
    with pytest.raises(KubeconfigError, match=r"cluster prod .* a proxy"):
        read_access(path)


@pytest.mark.parametrize(("context", "text"), [(None, "no current context"), ("x", "no context named 'x'")])
def test_missing_context_is_named(tmp_path: Path, context: str | None, text: str) -> None:
    path = tmp_path / "config"
    path.write_text("{}")
    with pytest.raises(KubeconfigError, match=text):
        read_access(path, context)


def test_a_file_that_is_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="there is no kubeconfig"):
        read_access(tmp_path / "absent")


def test_files_of_the_environment_merge_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    first.write_text(yaml.safe_dump(make_kubeconfig("a", Access(server="http://first"))))
    second.write_text(yaml.safe_dump(make_kubeconfig("a", Access(server="http://second"))))
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'absent'}:{second}")
    assert read_access().server == "http://first"
    assert writable_path() == first
    assert kubeconfig_paths({})[0].name == "config"
