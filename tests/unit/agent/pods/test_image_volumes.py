"""Image volumes: their images are pulled like a container's before anything is mounted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.fakes.agent_node import HollowNode


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[HollowNode]:
    hollow = HollowNode(tmp_path)
    await hollow.start()
    yield hollow
    await hollow.crash()


async def test_a_pod_starts_when_the_image_of_its_volume_is_there(node: HollowNode) -> None:
    await node.create(volumes=[{"name": "files", "image": {"reference": "data:1", "pullPolicy": "IfNotPresent"}}])
    waiting = (await node.status())["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ErrImagePull"
    assert not node.volumes.mounted
    node.runtime.add_registry_image("data:1")
    await node.settle(30)
    assert (await node.status())["phase"] == "Running"
    assert node.volumes.image_volumes == {"files"}
