"""What an agent does that was given a kubeconfig and a node's name alone, and that a node has one agent."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from agent.defaults import default_cluster, default_state_dir
from agent.main import main
from agent.node_lock import only_agent, take_eviction_turn
from agent.server.serving_certificate import ensure_serving_certificate
from control.client.kubeconfig import Access, format_kubeconfig, make_kubeconfig

NOW = datetime(2026, 1, 1, tzinfo=UTC)
#: Locks are on the host: a cluster that no other process of tests has.
MINE = f"mine-{os.getpid()}"


@pytest.mark.parametrize(
    ("name", "cluster"),
    [
        pytest.param("podling-dev", "dev", id="a cluster of podling up keeps its name"),
        pytest.param("kind-kind", "kind-kind", id="another's is taken as it is"),
        pytest.param(
            "arn:aws:eks:eu-west-1:1:cluster/Prod", "arn-aws-eks-eu-west-1-1-cluste", id="what fits of a name"
        ),
        pytest.param("", "kubernetes", id="no name"),
        pytest.param("___", "kubernetes", id="nothing that fits"),
    ],
)
def test_the_cluster_is_called_as_the_kubeconfig_does(name: str, cluster: str) -> None:
    assert default_cluster(name) == cluster


def test_the_node_lives_in_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODLING_DATA_DIR", str(tmp_path))
    assert default_state_dir("c", "n") == tmp_path / "agents" / "c" / "n"
    monkeypatch.delenv("PODLING_DATA_DIR")
    assert default_state_dir("c", "n").parts[-4:] == ("podling", "agents", "c", "n")


def test_a_second_agent_is_refused_wherever_its_directory_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(format_kubeconfig(make_kubeconfig(f"podling-{MINE}", Access(server="https://127.0.0.1:1"))))
    monkeypatch.setattr("agent.node_lock.PREDECESSOR_SECONDS_MAX", 0.1)
    arguments = ["run", "--kubeconfig", str(kubeconfig), "--node-name", "n1", "--state-dir"]
    with only_agent(tmp_path / "one", MINE, "n1"):
        assert main([*arguments, str(tmp_path / "two")]) == 1
        assert capsys.readouterr().err == (
            f"another agent runs node n1 of cluster {MINE!r} on this host, with another --state-dir\n"
        )
        assert main([*arguments, str(tmp_path / "one")]) == 1
        assert f"it holds {tmp_path / 'one' / 'agent.lock'}" in capsys.readouterr().err
        with only_agent(tmp_path / "three", MINE, "n2"), only_agent(tmp_path / "four", f"other-{MINE}", "n1"):
            pass  # other nodes are not in its way
    with only_agent(tmp_path / "two", MINE, "n1"):
        pass


def test_the_lock_of_a_killed_agent_is_free(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from agent.node_lock import only_agent\n"
        "with only_agent(Path(sys.argv[1]), sys.argv[2], 'n'):\n    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "one"), MINE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.getcwd()}) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    with only_agent(tmp_path / "two", MINE, "n"):
        assert [item.name for item in (tmp_path / "two").iterdir()] == ["agent.lock"]


def test_of_the_nodes_of_a_host_one_evicts_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # The host may have nodes that are no test's.
    monkeypatch.setattr("agent.node_lock.EVICTION_NAME", f"\0podling-test-eviction-{os.getpid()}")
    with take_eviction_turn() as first, take_eviction_turn() as second:
        assert (first, second) == (True, False)
    with take_eviction_turn() as again:
        assert again


def test_an_agent_without_a_kubeconfig_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--kubeconfig", str(tmp_path / "none"), "--node-name", "n1"]) == 1
    assert capsys.readouterr().err == f"there is no kubeconfig {tmp_path / 'none'}\n"


def test_the_own_certificate_names_the_node_and_is_kept_until_it_fits_no_longer(tmp_path: Path) -> None:
    path = ensure_serving_certificate(tmp_path, "n1", ["10.244.0.1", "10.244.0.1"], NOW)
    first = path.read_bytes()
    certificate = x509.load_pem_x509_certificate(first)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1", "localhost"]
    assert [str(item) for item in names.get_values_for_type(x509.IPAddress)] == ["10.244.0.1", "127.0.0.1"]
    assert path.stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, path)
    assert ensure_serving_certificate(tmp_path, "n1", ["10.244.0.1"], NOW).read_bytes() == first
    moved = ensure_serving_certificate(tmp_path, "n1", ["10.244.7.1"], NOW).read_bytes()
    assert moved != first
    assert ensure_serving_certificate(tmp_path, "n1", ["10.244.7.1"], NOW + timedelta(days=340)).read_bytes() != moved


def test_a_damaged_certificate_is_made_anew(tmp_path: Path) -> None:
    path = ensure_serving_certificate(tmp_path, "n1", [], NOW)
    path.write_text("garbage")
    assert ensure_serving_certificate(tmp_path, "n1", [], NOW).read_bytes().startswith(b"-----BEGIN CERTIFICATE")
