"""`/configz` in the words of KubeletConfiguration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import PROFILES, AgentConfig
from agent.images.settings import GarbagePolicy, ImageSettings
from agent.runtime.shared_pulls import PullLimits
from agent.server.configuration import kubelet_configuration
from control.api.objects import Object


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    return AgentConfig(cluster="c", node_name="n", state_dir=tmp_path, timings=PROFILES["upstream"])


def shown(config: AgentConfig) -> Object:
    return kubelet_configuration(config, engine_address="unix:///var/run/docker.sock")


def test_durations_are_written_as_go_writes_them(config: AgentConfig) -> None:
    found = shown(config)
    assert (found["nodeStatusReportFrequency"], found["imageMinimumGCAge"]) == ("5m0s", "2m0s")
    assert (found["imageMaximumGCAge"], found["crashLoopBackOff"]) == ("0s", {"maxContainerRestartPeriod": "5m0s"})


def test_defaults_are_those_of_the_kubelet(config: AgentConfig) -> None:
    found = shown(config)
    assert found["nodeLeaseDurationSeconds"] == 40
    assert (found["imageGCHighThresholdPercent"], found["imageGCLowThresholdPercent"]) == (85, 80)
    assert (found["containerLogMaxSize"], found["containerLogMaxFiles"]) == ("10Mi", 5)
    assert (found["podPidsLimit"], found["nodeStatusMaxImages"]) == (-1, 50)
    assert found["authorization"]["webhook"] == {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"}
    assert found["authentication"]["anonymous"] == {"enabled": False}
    assert not {"staticPodPath", "maxParallelImagePulls"} & set(found)


def test_flags_are_told(config: AgentConfig) -> None:
    images = ImageSettings(garbage=GarbagePolicy(high_percent=70), pulls=PullLimits(parallel_max=1), reported_max=-1)
    found = shown(
        replace(
            config,
            images=images,
            pod_pids_max=64,
            pod_manifest_path=Path("/manifests"),
            allowed_unsafe_sysctls=("net.*",),
        )
    )
    assert (found["serializeImagePulls"], found["maxParallelImagePulls"]) == (True, 1)
    assert (found["imageGCHighThresholdPercent"], found["nodeStatusMaxImages"]) == (70, -1)
    assert (found["podPidsLimit"], found["staticPodPath"]) == (64, "/manifests")
    assert found["allowedUnsafeSysctls"] == ["net.*"]
