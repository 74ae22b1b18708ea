"""Kubeconfig files: our entries come and go, foreign ones stay."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

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


def test_credential_plugins_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(FOREIGN.replace("certificate-authority: ca.pem", "insecure-skip-tls-verify: true"))
    with pytest.raises(KubeconfigError, match=r"user prod .* credential plugin"):
        read_access(path)


@pytest.mark.parametrize(("context", "text"), [(None, "no current context"), ("x", "no context named 'x'")])
def test_missing_context_is_named(tmp_path: Path, context: str | None, text: str) -> None:
    path = tmp_path / "config"
    path.write_text("{}")
    with pytest.raises(KubeconfigError, match=text):
        read_access(path, context)


def test_files_of_the_environment_merge_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    first.write_text(yaml.safe_dump(make_kubeconfig("a", Access(server="http://first"))))
    second.write_text(yaml.safe_dump(make_kubeconfig("a", Access(server="http://second"))))
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'absent'}:{second}")
    assert read_access().server == "http://first"
    assert writable_path() == first
    assert kubeconfig_paths({})[0].name == "config"
