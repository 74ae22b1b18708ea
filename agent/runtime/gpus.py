"""NVIDIA's graphics cards as a resource: what containers ask for, and how Docker is told which they have. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.runtime.protocol import EngineInfo
from control.api.objects import ReadOnlyObject
from control.api.pods import resource_amounts

#: the name that NVIDIA's device plugin gives them
GPU_RESOURCE = "nvidia.com/gpu"
ENGINE_RUNTIME = "nvidia"


def offered_gpus(on_host: Sequence[str], engine: EngineInfo) -> tuple[str, ...]:
    """The cards (by UUID) that containers can be given: the host's, where the engine has NVIDIA's runtime."""
    return tuple(on_host) if ENGINE_RUNTIME in engine.runtimes else ()


def gpu_count(container: ReadOnlyObject) -> int:
    """How many cards a container asks for. Limit and request of such a resource are the same."""
    return resource_amounts((container.get("resources") or {}).get("limits")).get(GPU_RESOURCE, 0)


def device_requests(gpus: Sequence[str]) -> list[dict[str, Any]]:
    """HostConfig.DeviceRequests: these cards and no others."""
    return [{"Driver": ENGINE_RUNTIME, "DeviceIDs": list(gpus), "Capabilities": [["gpu"]]}]
