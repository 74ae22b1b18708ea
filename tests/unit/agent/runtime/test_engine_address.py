"""Which engine an agent uses, and what it says about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import PROFILES, AgentConfig
from agent.engine_check import explain_unreachable
from agent.runtime.engine_address import engine_address, engine_socket_path
from agent.server.configuration import kubelet_configuration


@pytest.mark.parametrize(
    ("docker_host", "address", "socket_path"),
    [
        ("", "unix:///var/run/docker.sock", "/var/run/docker.sock"),
        ("unix:///run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock", "/run/user/1000/docker.sock"),
        ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375", None),
    ],
)
def test_the_engine_is_that_of_docker_host(
    monkeypatch: pytest.MonkeyPatch, docker_host: str, address: str, socket_path: str | None
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    assert engine_address() == address
    assert engine_socket_path(address) == socket_path


def test_an_engine_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    assert explain_unreachable("refused") == (
        "cannot reach the Docker Engine at tcp://127.0.0.1:2375 (DOCKER_HOST): refused"
    )


def test_configz_says_which_engine_runs_the_containers(tmp_path: Path) -> None:
    config = AgentConfig(cluster="c", node_name="n", state_dir=tmp_path, timings=PROFILES["default"])
    shown = kubelet_configuration(config, engine_address="tcp://127.0.0.1:2375")
    assert shown["containerRuntimeEndpoint"] == "tcp://127.0.0.1:2375"
