"""What can be wrong before anything starts: one line with the mend, exit status 1, nothing left behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from control.cli.failure import CommandError
from control.cli.up import check_kernel


def podling(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PODLING_DATA_DIR": str(directory / "data"), "KUBECONFIG": str(directory / "kubeconfig")}
    return subprocess.run(
        [sys.executable, "-m", "control.cli", *arguments],
        env=env | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def refused(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1, result.stdout + result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def clusters(directory: Path) -> list[Path]:
    return list((directory / "data" / "clusters").glob("*"))


def test_an_engine_that_is_not_there_is_told_with_the_mend(tmp_path: Path) -> None:
    line = refused(podling(tmp_path, "up", DOCKER_HOST=f"unix://{tmp_path}/no.sock"))
    assert line.startswith("podling: ")
    assert "Docker" in line
    assert clusters(tmp_path) == []


def test_a_range_that_overlaps_the_hosts_is_refused(tmp_path: Path) -> None:
    line = refused(podling(tmp_path, "up", "--nodes", "0", "--pod-cidr", "127.0.0.0/16x"))
    assert "is not an IPv4 range" in line


def test_a_bad_cluster_name_is_refused(tmp_path: Path) -> None:
    assert "name 'Not_OK' must be 1 to 30 lower-case letters, digits or dashes" in refused(
        podling(tmp_path, "up", "--nodes", "0", "--name", "Not_OK")
    )


def test_a_cluster_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert "there is no cluster 'dev' (known: none): podling up makes one" in refused(podling(tmp_path, "status"))


def test_deleting_what_does_not_exist_is_no_failure(tmp_path: Path) -> None:
    assert podling(tmp_path, "delete").returncode == 0


@pytest.mark.parametrize("release", ["4.18.0-305.el8.x86_64", "3.10.0"])
def test_an_old_kernel_is_refused(release: str) -> None:
    with pytest.raises(CommandError, match=r"is too old, Podling needs 4\.19: update the kernel"):
        check_kernel("Linux", release)


@pytest.mark.parametrize(("system", "release"), [("Linux", "6.1.0-18-amd64"), ("Linux", "4.19"), ("Darwin", "3.2")])
def test_a_newer_kernel_or_another_system_is_accepted(system: str, release: str) -> None:
    check_kernel(system, release)


def test_a_port_in_use_of_an_existing_cluster_is_told(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        directory = tmp_path / "data" / "clusters" / "dev"
        directory.mkdir(parents=True)
        (directory / "cluster.json").write_text(
            f'{{"name": "dev", "port": {port}, "pod_cidr": "10.244.0.0/16", "service_cidr": "10.96.0.0/16"}}'
        )
        assert f"port {port} of cluster 'dev' is in use: end what listens there" in refused(podling(tmp_path, "up"))


def test_a_damaged_configuration_is_told(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "clusters" / "dev"
    directory.mkdir(parents=True)
    (directory / "cluster.json").write_text("{")
    assert "cannot read" in refused(podling(tmp_path, "up"))


def test_a_first_up_that_fails_leaves_its_logs_alone(tmp_path: Path) -> None:
    """The token file is read by the control plane only, after everything was chosen, written and started."""
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("no-comma-here\n")
    result = podling(tmp_path, "up", "--nodes", "0", "--token-auth-file", str(tokens))
    assert result.returncode == 1
    [cluster] = clusters(tmp_path)
    assert sorted(path.name for path in cluster.iterdir()) == ["logs"]
    assert not (tmp_path / "kubeconfig").exists()
    assert podling(tmp_path, "up", "--nodes", "0").returncode == 0
    assert podling(tmp_path, "delete").returncode == 0
    assert clusters(tmp_path) == []


def test_clusters_started_at_the_same_time_choose_different_ports_and_ranges(tmp_path: Path) -> None:
    """Of different data directories, which know nothing of each other."""
    directories = [tmp_path / "one", tmp_path / "two"]
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(lambda path: podling(path, "up", "--nodes", "0"), directories))
    try:
        assert [result.returncode for result in results] == [0, 0], [result.stderr for result in results]
        chosen = [json.loads((clusters(path)[0] / "cluster.json").read_text())["port"] for path in directories]
        assert chosen[0] != chosen[1]
    finally:
        for path in directories:
            podling(path, "delete")
